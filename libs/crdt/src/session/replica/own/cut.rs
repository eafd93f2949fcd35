//! From edits to batches with the bytes that are pushed.

use std::sync::Arc;

use super::{FORMER_MAX, OUTBOX_MAX, Pending, PushState, Sent};
use crate::{
    Batch, BatchHash,
    session::{
        Event, KeyPlace, Keys, Record, Sealing, Signature,
        replica::{Piece, Replica},
    },
};

impl Replica {
    /// Makes batches of edits, as far as they are to be pushed now.
    pub(in crate::session::replica) fn cut(&mut self, keys: &mut dyn Keys) {
        if self.own.refused.is_some() || self.awaits_keys() {
            return;
        }
        while self.own.outbox.len() < OUTBOX_MAX && !self.own.pending.is_empty() {
            let count = self.own.gather();
            let Some(edits) = self.own.merge(count) else { return };
            let Some((record, hash)) = self.seal(&edits.batch, self.own.prev(), keys) else {
                self.own.pending.push_front(edits);
                return;
            };
            self.journal.append(&Piece::Cut { count: count as u64, record: &record });
            self.put_out(edits, record, hash);
        }
        if self.own.pending.is_empty() {
            self.own.one_by_one = false;
        }
    }

    pub(in crate::session::replica) fn put_out(
        &mut self,
        edits: Pending,
        record: Arc<[u8]>,
        hash: BatchHash,
    ) {
        let (number, former) = (self.journal.number(), Vec::new());
        let Pending { at, batch } = edits;
        let state = PushState::Waits;
        self.own.outbox.push_back(Sent { at, batch, record, hash, former, number, state });
    }

    /// The record of a batch behind one with the hash `prev`. Nothing where the key is missing.
    fn seal(
        &mut self,
        batch: &Batch,
        prev: BatchHash,
        keys: &mut dyn Keys,
    ) -> Option<(Arc<[u8]>, BatchHash)> {
        let bytes = match self.sealing {
            Sealing::Plain => Some(batch.encode(prev)),
            Sealing::Epoch(epoch) => {
                let place = KeyPlace { document: &self.name, epoch };
                keys.seal_batch(place, batch, prev)
            }
        };
        let Some(bytes) = bytes else {
            self.miss_key(self.sealing.epoch());
            return None;
        };
        self.own.needs_key = None;
        let (device, sealing) = (keys.device(), self.sealing);
        let record = |signature| Record::Batch { device, sealing, batch: &bytes, signature };
        let signed = record(Signature([0; 64])).signed_bytes(&self.name);
        let record = record(keys.sign(&signed)).to_bytes();
        Some((record.into(), BatchHash::of(&bytes)))
    }

    /// Whether the relay says that batches are sealed with a key that no roster told of yet: nothing is pushed before.
    pub(in crate::session::replica) fn awaits_keys(&self) -> bool {
        self.own.asked > self.sealing
    }

    /// All was read, and who is to be believed did not say what the relay says.
    pub(in crate::session) fn tell_awaited_key(&mut self) {
        if self.awaits_keys() {
            self.miss_key(self.own.asked.epoch());
        }
    }

    pub(in crate::session::replica) fn miss_key(&mut self, epoch: u32) {
        if self.own.needs_key.replace(epoch) != Some(epoch) {
            self.tell(Event::NeedsKey(epoch));
        }
    }

    /// Gives all batches new bytes, from the first that is not acknowledged on: under another key, or with other
    /// stamps.
    pub(in crate::session::replica) fn reseal(&mut self, keys: &mut dyn Keys) {
        let safe = self.own.outbox.iter().take_while(|it| it.state == PushState::Acknowledged);
        let waiting = self.own.outbox.split_off(safe.count());
        let mut waiting = waiting.into_iter();
        while let Some(sent) = waiting.next() {
            let Some((record, hash)) = self.seal(&sent.batch, self.own.prev(), keys) else {
                // Without a key they are edits again.
                let rest = std::iter::once(sent).chain(waiting);
                let edits: Vec<Pending> =
                    rest.map(|it| Pending { at: it.at, batch: it.batch }).collect();
                edits.into_iter().rev().for_each(|edit| self.own.pending.push_front(edit));
                break;
            };
            let mut former = sent.former;
            former.push(sent.hash);
            former.drain(..former.len().saturating_sub(FORMER_MAX));
            let (number, state) = (self.journal.number(), PushState::Waits);
            self.own.outbox.push_back(Sent { record, hash, former, number, state, ..sent });
        }
        self.checkpoint();
    }
}
