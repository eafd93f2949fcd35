//! A device: it writes whenever it likes, pushes and pulls when it can, restarts, stays away.

use std::collections::VecDeque;

use super::{
    Chance, Report,
    relay::{Record, Relay},
    scribble::{Scribbler, Verb},
};
use crate::{Batch, BatchHash, Document, Hlc, Reissue, ReplicaId, Undo, Writer};

#[rustfmt::skip]
const SCRIBBLER: Scribbler = Scribbler {
    entities: &["a", "b", "c/1", "c/2", "d"],
    keeps_first: true,
    verbs: &[
        Verb::Set, Verb::Set, Verb::Set, Verb::Set, Verb::Assign, Verb::Raise, Verb::Lower, Verb::Include,
        Verb::Add, Verb::Add, Verb::Remove, Verb::Increment, Verb::Unset, Verb::Delete, Verb::Bury, Verb::EraseOrCreate,
    ],
};

pub(super) struct Site {
    number: usize,
    document: Document,
    writer: Writer,
    prev: BatchHash,
    /// How far its clock is off, and where it is.
    skew_ms: u64,
    /// What was written and not pushed.
    pending: VecDeque<Batch>,
    /// What was pushed and has not come back.
    unconfirmed: VecDeque<Batch>,
    pulled: usize,
    undos: Vec<Undo>,
    leased: bool,
}

impl Site {
    pub fn new(number: usize, chance: &mut Chance) -> Self {
        Site {
            number,
            document: Document::new(),
            writer: Writer::new(ReplicaId(chance.id())),
            prev: BatchHash::NONE,
            skew_ms: chance.next() % 5_000,
            pending: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            pulled: 0,
            undos: Vec::new(),
            leased: true,
        }
    }

    pub fn snapshot(&self) -> Vec<u8> {
        self.document.snapshot()
    }

    pub fn document(&self) -> &Document {
        &self.document
    }

    pub fn write(&mut self, now_ms: u64, chance: &mut Chance, report: &mut Report) {
        let mut edit = self.writer.edit(&mut self.document, now_ms + self.skew_ms);
        if chance.below(8) == 0 && !self.undos.is_empty() {
            let undo = self.undos.swap_remove(chance.below(self.undos.len()));
            edit.undo(&undo);
            report.undone += 1;
        } else {
            for _ in 0..=chance.below(3) {
                SCRIBBLER.write(&mut edit, chance).expect("everything is within its bounds");
            }
        }
        let undo = edit.finish();
        if !undo.is_empty() && self.undos.len() < 8 {
            self.undos.push(undo);
        }
        self.keep(report);
    }

    fn keep(&mut self, report: &mut Report) {
        while let Some(batch) = self.writer.take_batch() {
            report.ops += batch.len() as u64;
            self.pending.push_back(batch);
        }
    }

    /// Drops what is dead, for all.
    pub fn sweep(&mut self, now_ms: u64, report: &mut Report) {
        self.writer.edit(&mut self.document, now_ms + self.skew_ms).sweep();
        self.keep(report);
    }

    pub fn push(&mut self, relay: &mut Relay, report: &mut Report) {
        if !self.leased {
            return;
        }
        for batch in self.pending.drain(..) {
            let bytes = batch.encode(self.prev);
            self.prev = BatchHash::of(&bytes);
            relay.push(bytes, report);
            self.unconfirmed.push_back(batch);
        }
    }

    pub fn pull(&mut self, relay: &Relay, count: usize, report: &mut Report) {
        if !self.leased {
            return;
        }
        let end = relay.log.len().min(self.pulled.saturating_add(count));
        for record in &relay.log[self.pulled..end] {
            match record {
                Record::Batch(bytes) => self.take(bytes, report),
                Record::Compact { horizon, retired } => self.compact(*horizon, retired),
            }
        }
        self.pulled = end;
    }

    fn take(&mut self, bytes: &[u8], report: &mut Report) {
        let (header, batch) = Batch::decode(bytes).expect("what was pushed is read");
        self.document.apply(&batch);
        report.joins += 1;
        if header.replica == self.writer.replica() {
            let own = self.unconfirmed.pop_front();
            assert_eq!(own.as_ref(), Some(&batch), "what comes back is what was pushed");
        }
    }

    fn compact(&mut self, horizon: Hlc, retired: &[ReplicaId]) {
        self.document.compact(horizon, retired);
        let own = self.unconfirmed.iter().chain(&self.pending);
        own.for_each(|batch| self.document.apply(batch));
    }

    /// Acknowledges what was pulled, once everything that was written before is pushed.
    pub fn acknowledge(&self, relay: &mut Relay) {
        if self.leased && self.pending.is_empty() {
            relay.acked[self.number] = Some(self.pulled);
        }
    }

    pub fn restart(&mut self) {
        let bytes = self.document.snapshot();
        self.document = Document::load(&bytes).expect("what was saved is read");
        assert_eq!(self.document.snapshot(), bytes, "a snapshot is read as it was");
        let (next, last) = (self.writer.next_seq(), self.writer.last_hlc());
        self.writer = Writer::resume(self.writer.replica(), next, last);
        self.undos.clear();
    }

    pub fn stay_away(&mut self, relay: &mut Relay) {
        if std::mem::take(&mut self.leased) {
            relay.acked[self.number] = None;
            relay.expired.push(self.writer.replica());
        }
    }

    /// Comes back: what it holds is the relay's, and what it had not pushed is issued under a new id.
    pub fn come_back(&mut self, relay: &mut Relay, now_ms: u64, chance: &mut Chance) -> bool {
        if std::mem::replace(&mut self.leased, true) {
            return false;
        }
        let (old, replica) = (self.writer.next_seq(), ReplicaId(chance.id()));
        self.document = Document::load(&relay.document.snapshot()).expect("the relay saves well");
        let mut clock = crate::Clock::after(self.document.latest());
        let not_before = clock.tick(now_ms + self.skew_ms);
        let since = self.pending.front().map_or(old, Batch::first);
        let name = Reissue { replica, first: 1, since, not_before };
        for batch in &mut self.pending {
            *batch = batch.reissued(&name).expect("sequences are left");
            self.document.apply(batch);
        }
        let last = self.document.latest();
        self.writer = Writer::resume(replica, 1 + old - since, last);
        self.prev = BatchHash::NONE;
        self.unconfirmed.clear();
        self.undos.clear();
        self.pulled = relay.log.len();
        relay.acked[self.number] = Some(0);
        true
    }
}
