//! What this replica wrote and has not read in the log yet, on its way to the relay.

mod cut;
mod push;

use std::{collections::VecDeque, sync::Arc};

use super::kept::KeptRecord;
use crate::{
    Batch, BatchBuilder, BatchHash, Head, Header,
    session::{Refusal, Sealing},
};

/// Batches that are made before the first of them is acknowledged, at most; what is written then goes together.
const OUTBOX_MAX: usize = 32;

/// Edits go together in one batch up to so many bytes.
const CUT_BYTES: usize = 64 << 10;

/// Hashes that a batch had before it was changed, at most.
const FORMER_MAX: usize = 8;

/// What waits, in its order: batches with the bytes that are pushed, then edits.
#[cfg_attr(feature = "sim", derive(Clone))]
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
    /// No keys are pushed before this time.
    pub keys_hold_ms: u64,
    /// What was refused first; what becomes of it is decided when everything was answered.
    pub refused: Option<(u64, Refusal)>,
    /// Nothing is pushed before this time.
    pub hold_ms: u64,
    /// How the relay says that batches are sealed, for as long as the channel is open.
    pub asked: Sealing,
    /// The key of this epoch is missing.
    pub needs_key: Option<u32>,
    /// The token does not allow writing.
    pub denied: bool,
    /// Edits go one by one, so that one that cannot be taken stops no others.
    pub one_by_one: bool,
}

/// An edit.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Pending {
    /// The next offset when it was written.
    pub at: u64,
    pub batch: Batch,
}

/// A batch whose bytes are decided.
#[cfg_attr(feature = "sim", derive(Clone))]
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
#[cfg_attr(feature = "sim", derive(Clone))]
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

    /// About how long all of it is.
    pub fn bytes(&self) -> usize {
        let records: usize = self.outbox.iter().map(|sent| sent.record.len()).sum();
        records + self.unconfirmed().map(Batch::weight).sum::<usize>()
    }

    pub fn is_confirmed(&self) -> bool {
        self.outbox.is_empty() && self.pending.is_empty()
    }

    fn waiting(&self) -> impl Iterator<Item = &Sent> {
        self.outbox.iter().filter(|sent| sent.state != PushState::Acknowledged)
    }

    pub fn unacknowledged(&self) -> u64 {
        self.unacknowledged_batches().map(Batch::len).sum::<usize>() as u64
    }

    pub fn unacknowledged_batches(&self) -> impl Iterator<Item = &Batch> {
        let edits = self.pending.iter().map(|pending| &pending.batch);
        self.waiting().map(|sent| &sent.batch).chain(edits)
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
        self.asked = Sealing::Plain;
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
