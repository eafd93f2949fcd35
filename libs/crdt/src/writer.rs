//! Who writes: a replica with its clock and its next sequence, and what it has not handed out yet.

use std::collections::VecDeque;

use crate::{
    Batch, BatchBuilder, Clock, Document, Dot, Edit, Hlc, Op, Paused, ReplicaId, sorted::Map,
};

/// Entries of which it is known under which name an undo put them back, at most; the eldest are forgotten.
const PUT_BACK_MAX: usize = 16 << 10;

/// A replica that writes to a document.
///
/// What it wrote is in the document at once, and waits here as batches. Who keeps the document keeps
/// [`next_seq`](Writer::next_seq) and [`last_hlc`](Writer::last_hlc) with it, in one transaction: a writer that goes
/// back writes other operations under the same names.
#[derive(Clone, Debug)]
pub struct Writer {
    replica: ReplicaId,
    next_seq: u64,
    clock: Clock,
    open: BatchBuilder,
    full: VecDeque<Batch>,
    /// What was put back by an undo, by the name that it had before: who takes an earlier change back means this.
    put_back: Map<Dot, Dot>,
}

impl Writer {
    /// A replica that has never written. Its id is drawn at random by the caller, and used for one copy
    /// of one document only.
    pub fn new(replica: ReplicaId) -> Self {
        Writer::resume(replica, 1, Hlc::ZERO)
    }

    /// A replica that goes on where it was.
    pub fn resume(replica: ReplicaId, next_seq: u64, last: Hlc) -> Self {
        let (clock, open) = (Clock::after(last), BatchBuilder::new(replica));
        let (full, put_back) = (VecDeque::new(), Map::new());
        Writer { replica, next_seq: next_seq.max(1), clock, open, full, put_back }
    }

    /// Who this is.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The sequence of its next operation.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The last stamp that it gave or saw.
    pub fn last_hlc(&self) -> Hlc {
        self.clock.last()
    }

    /// Takes notice of somebody else's stamp.
    pub(crate) fn observe(&mut self, seen: Hlc) {
        self.clock.observe(seen);
    }

    /// Goes on behind `last`, where that is earlier: what was stamped later was given other stamps.
    pub(crate) fn set_back(&mut self, last: Hlc) {
        self.clock = Clock::after(last.min(self.clock.last()));
    }

    /// Begins a change: what it does has one stamp, and can be undone as a whole.
    pub fn edit<'a>(&'a mut self, document: &'a mut Document, now_ms: u64) -> Edit<'a> {
        self.clock.observe(document.latest());
        let hlc = self.clock.tick(now_ms);
        Edit::new(self, document, hlc)
    }

    /// Goes on with a change that was [laid aside](Edit::pause): with its stamp, unless the document has seen a
    /// later one since.
    pub fn resume_edit<'a>(&'a mut self, document: &'a mut Document, paused: Paused) -> Edit<'a> {
        let Paused { mut hlc, undo } = paused;
        self.clock.observe(document.latest());
        if self.clock.last() > hlc {
            hlc = self.clock.tick(0);
        }
        Edit::resume(self, document, (hlc, undo))
    }

    /// The oldest operations that were not taken yet, as one batch.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.full.pop_front().or_else(|| self.next_builder().finish())
    }

    /// An entry was put back under another name.
    pub(crate) fn put_back(&mut self, before: Dot, now: Dot) {
        self.put_back.insert(before, now);
        if self.put_back.len() > PUT_BACK_MAX {
            self.put_back.pop_first();
        }
    }

    /// What an entry is called by now. Each name is later than the one before, so that this ends.
    pub(crate) fn called_now(&self, mut dot: Dot) -> Dot {
        while let Some(now) = self.put_back.get(&dot) {
            dot = *now;
        }
        dot
    }

    fn next_builder(&mut self) -> BatchBuilder {
        std::mem::replace(&mut self.open, BatchBuilder::new(self.replica))
    }

    pub(crate) fn push(&mut self, op: Op<'_>) {
        if self.open.push(op).is_err() {
            let full = self.next_builder();
            self.full.extend(full.finish());
            self.open.push(op).expect("an operation within its bounds fits into an empty batch");
        }
        self.next_seq += 1;
    }
}
