//! What this replica wrote and has not read in the log yet, on its way to the relay.

use std::{collections::VecDeque, sync::Arc};

use super::{Piece, Replica, kept::KeptRecord};
use crate::{
    Batch, BatchBuilder, BatchHash, Head, Header, ReplicaId,
    session::{Event, KeyPlace, Keys, Record, Refusal, Sealing, Signature},
};

/// Batches that are made before the first of them is acknowledged, at most; what is written then goes together.
const OUTBOX_MAX: usize = 32;

/// Edits go together in one batch up to so many bytes.
const CUT_BYTES: usize = 128 << 10;

/// Hashes that a batch had before it was changed, at most.
const FORMER_MAX: usize = 8;

/// What waits, in its order: batches with the bytes that are pushed, then edits.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Where the chain of this replica ends in the log, as far as that was read.
    pub head: Head,
    pub outbox: VecDeque<Sent>,
    pub pending: VecDeque<Pending>,
    /// What the relay has lost, of everybody.
    pub again: VecDeque<Again>,
    /// Keys for the log, and how many of them are on their way.
    pub keys: VecDeque<Arc<[u8]>>,
    pub keys_in_flight: usize,
    /// What was refused first; what becomes of it is decided when everything was answered.
    pub refused: Option<(u64, Refusal)>,
    /// Nothing is pushed before this time.
    pub hold_ms: u64,
    /// The key of this epoch is missing.
    pub needs_key: Option<u32>,
    /// The token does not allow writing.
    pub denied: bool,
    /// Edits go one by one, so that one that cannot be taken stops no others.
    pub one_by_one: bool,
}

/// An edit.
#[derive(Debug)]
pub(super) struct Pending {
    /// The next offset when it was written.
    pub at: u64,
    pub batch: Batch,
}

/// A batch whose bytes are decided.
#[derive(Debug)]
pub(super) struct Sent {
    /// The next offset when its first edit was written.
    pub at: u64,
    pub batch: Batch,
    pub record: Arc<[u8]>,
    /// Of the batch as it is pushed.
    pub hash: BatchHash,
    /// Of the same operations as they were pushed before.
    pub former: Vec<BatchHash>,
    /// The transaction that makes its bytes durable.
    pub number: u64,
    pub state: PushState,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushState {
    Waits,
    InFlight,
    /// Safe at the relay, and not read in its place in the log yet.
    Acknowledged,
}

/// A record that is pushed again, as it was.
#[derive(Debug)]
pub(super) struct Again {
    pub kept: KeptRecord,
    pub in_flight: bool,
}

/// What a record under this replica's id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The first that waits.
    Front,
    /// The first that waits, as it was before it was changed.
    Former,
    /// One that was read before.
    Known,
    /// One that this replica did not write, or does not remember.
    Foreign,
}

/// A record to be pushed.
pub(in crate::session) struct Push {
    /// The record.
    pub record: Arc<[u8]>,
    again: Option<usize>,
    outbox: Option<usize>,
}

impl Sent {
    pub fn first(&self) -> u64 {
        self.batch.first()
    }

    pub fn last(&self) -> u64 {
        self.batch.first() + self.batch.len() as u64 - 1
    }

    fn is(&self, header: &Header) -> bool {
        self.first() == header.first && self.last() == header.last()
    }
}

impl Own {
    pub fn wrote(&mut self, pending: Pending) {
        self.pending.push_back(pending);
    }

    /// Everything that was written and not read in the log, in order.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &Batch> {
        let outbox = self.outbox.iter().map(|sent| &sent.batch);
        outbox.chain(self.pending.iter().map(|pending| &pending.batch))
    }

    pub fn is_confirmed(&self) -> bool {
        self.outbox.is_empty() && self.pending.is_empty()
    }

    fn waiting(&self) -> impl Iterator<Item = &Sent> {
        self.outbox.iter().filter(|sent| sent.state != PushState::Acknowledged)
    }

    pub fn unacknowledged(&self) -> u64 {
        let edits = self.pending.iter().map(|pending| pending.batch.len());
        self.waiting().map(|sent| sent.batch.len()).chain(edits).sum::<usize>() as u64
    }

    /// The next offset at the oldest edit that is not acknowledged.
    pub fn first_at(&self) -> Option<u64> {
        let edits = self.pending.iter().map(|pending| pending.at);
        self.waiting().map(|sent| sent.at).chain(edits).min()
    }

    /// What the next batch continues.
    pub fn prev(&self) -> BatchHash {
        self.outbox.back().map_or(self.head.hash, |sent| sent.hash)
    }

    /// Says what a record under this replica's id is.
    pub fn whose(&self, header: &Header, hash: BatchHash) -> Whose {
        match self.outbox.front() {
            _ if header.last() <= self.head.seq => Whose::Known,
            Some(front) if front.is(header) && front.hash == hash => Whose::Front,
            Some(front) if front.is(header) && front.former.contains(&hash) => Whose::Former,
            _ => Whose::Foreign,
        }
    }

    pub fn in_flight(&self) -> usize {
        let batches = self.outbox.iter().filter(|sent| sent.state == PushState::InFlight);
        batches.count() + self.again.iter().filter(|again| again.in_flight).count()
    }

    /// The connection is gone, and with it every answer.
    pub fn disconnected(&mut self) {
        for sent in &mut self.outbox {
            if sent.state == PushState::InFlight {
                sent.state = PushState::Waits;
            }
        }
        self.again.clear();
        self.keys_in_flight = 0;
        self.refused = None;
    }

    /// The first edits that go together, and how many they are.
    fn gather(&self) -> usize {
        let limit = if self.one_by_one { 0 } else { CUT_BYTES };
        let (mut bytes, mut next) = (0, None);
        let fits = |pending: &&Pending| {
            let first = pending.batch.first();
            let follows = next.is_none_or(|next| next == first);
            next = Some(first + pending.batch.len() as u64);
            bytes += pending.batch.weight();
            bytes <= limit && follows
        };
        self.pending.iter().take_while(fits).count().max(1).min(self.pending.len())
    }

    /// Takes the first `count` edits as one batch; nothing if they do not fit, which [`gather`](Self::gather) sees to.
    pub fn merge(&mut self, count: usize) -> Option<Pending> {
        let first = self.pending.pop_front()?;
        if count <= 1 {
            return Some(first);
        }
        let mut builder = BatchBuilder::new(first.batch.replica());
        let more = self.pending.drain(..(count - 1).min(self.pending.len()));
        let (at, edits) = (first.at, std::iter::once(first).chain(more));
        for edit in edits {
            for op in edit.batch.ops() {
                builder.push(op).ok()?;
            }
        }
        builder.finish().map(|batch| Pending { at, batch })
    }
}

impl Replica {
    /// Makes batches of edits, as far as they are to be pushed now.
    pub(super) fn cut(&mut self, keys: &mut dyn Keys) {
        if self.own.refused.is_some() {
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

    pub(super) fn put_out(&mut self, edits: Pending, record: Arc<[u8]>, hash: BatchHash) {
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

    fn miss_key(&mut self, epoch: u32) {
        if self.own.needs_key.replace(epoch) != Some(epoch) {
            self.tell(Event::NeedsKey(epoch));
        }
    }

    /// Gives all batches new bytes, from the first that is not acknowledged on: under another key, or with other
    /// stamps.
    pub(super) fn reseal(&mut self, keys: &mut dyn Keys) {
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

    /// What is to be pushed next, at `now_ms`.
    pub(in crate::session) fn next_push(&self, now_ms: u64) -> Option<Push> {
        let own = &self.own;
        let halted = own.refused.is_some() || own.denied || self.rename.is_some();
        if halted || now_ms < own.hold_ms {
            return None;
        }
        if let Some(at) = own.again.iter().position(|again| !again.in_flight) {
            let record = own.again[at].kept.record.clone();
            return Some(Push { record, again: Some(at), outbox: None });
        }
        let waits = |sent: &Sent| sent.state == PushState::Waits;
        let at = own.outbox.iter().position(waits)?;
        let sent = &own.outbox[at];
        let durable = sent.number <= self.journal.saved_number();
        durable.then(|| Push { record: sent.record.clone(), again: None, outbox: Some(at) })
    }

    /// A batch lies in the log before what was read: it is in the snapshot that was read instead.
    pub(in crate::session) fn acknowledged_before(&mut self, (replica, seq): (ReplicaId, u64)) {
        let front = self.own.outbox.front().map(Sent::last);
        if replica != self.id() || front != Some(seq) {
            return;
        }
        if let Some(sent) = self.own.outbox.pop_front() {
            self.own.head = Head { seq, hash: sent.hash };
            self.kept.push(KeptRecord::read(sent.record, replica));
            self.rebuild();
            self.checkpoint();
        }
    }

    /// Keys that are to be pushed next.
    pub(in crate::session) fn next_keys(&self) -> Option<Arc<[u8]>> {
        self.own.keys.get(self.own.keys_in_flight).cloned()
    }

    pub(in crate::session) fn pushed_keys(&mut self) {
        self.own.keys_in_flight += 1;
    }

    /// Keys were read in the log, or refused: none of them is pushed again.
    pub(in crate::session) fn keys_answered(&mut self, record: Option<&[u8]>) {
        let at = match record {
            Some(record) => self.own.keys.iter().position(|keys| **keys == *record),
            None => (self.own.keys_in_flight > 0).then_some(0),
        };
        if let Some(at) = at {
            self.own.keys.remove(at);
            self.own.keys_in_flight = self.own.keys_in_flight.saturating_sub(1);
        }
    }

    /// It is on its way.
    pub(in crate::session) fn pushed(&mut self, push: &Push) {
        if let Some(again) = push.again.and_then(|at| self.own.again.get_mut(at)) {
            again.in_flight = true;
        }
        if let Some(sent) = push.outbox.and_then(|at| self.own.outbox.get_mut(at)) {
            sent.state = PushState::InFlight;
        }
    }

    /// A batch is safe. Returns the record that lies at its offset, if it was on its way.
    pub(in crate::session) fn acknowledged(
        &mut self,
        replica: ReplicaId,
        seq: u64,
    ) -> Option<Arc<[u8]>> {
        let is_it = |again: &Again| {
            let header = again.kept.header.as_ref();
            again.in_flight && header.is_some_and(|it| it.replica == replica && it.last() == seq)
        };
        if let Some(at) = self.own.again.iter().position(is_it) {
            return self.own.again.remove(at).map(|again| again.kept.record);
        }
        let own = replica == self.id();
        let was_sent = |sent: &&mut Sent| sent.last() == seq && sent.state != PushState::Waits;
        let sent = self.own.outbox.iter_mut().find(was_sent).filter(|_| own)?;
        let news = sent.state == PushState::InFlight;
        sent.state = PushState::Acknowledged;
        let record = sent.record.clone();
        if news {
            self.tell(Event::Acknowledged { replica, seq });
        }
        Some(record)
    }
}
