//! What must be durable, piece by piece.

use std::collections::VecDeque;

use crate::{Batch, BatchHash, Hlc, session::RecordHash, wire::put_varint};

/// Less than this is not worth beginning anew.
pub(super) const LONG_BYTES: usize = 256 << 10;

/// What is to be stored, as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// From 1 on, without a gap.
    pub number: u64,
    /// In this order.
    pub changes: Vec<Change>,
}

/// A change to what is stored of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything that is stored goes, and this is there instead.
    Begin(Vec<u8>),
    /// This comes behind everything that is stored.
    Append(Vec<u8>),
}

/// What is stored of a replica: the last beginning, and what came behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The last [`Change::Begin`].
    pub begin: Vec<u8>,
    /// Each [`Change::Append`] since, in order.
    pub appended: Vec<Vec<u8>>,
}

impl Saved {
    /// Takes in a transaction, as every store does in its way.
    pub fn store(&mut self, transaction: Transaction) {
        for change in transaction.changes {
            match change {
                Change::Begin(begin) => *self = Saved { begin, appended: Vec::new() },
                Change::Append(piece) => self.appended.push(piece),
            }
        }
    }
}

/// A step of a replica, which happens again when it is restored.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// An edit, and the next offset when it was written.
    Wrote { at: u64, batch: &'a Batch },
    /// So many edits became a batch with these bytes.
    Cut { count: u64, record: &'a [u8] },
    /// The first batch that waits was read in the log.
    Confirmed,
    /// A batch of the log, as it was pushed; and plain, where it is sealed.
    Batch { record: &'a [u8], plain: Option<&'a [u8]> },
    /// Keys.
    Keys(&'a [u8]),
    /// A snapshot's record.
    Snapshot(&'a [u8]),
    /// A compaction.
    Compact(&'a [u8]),
    /// A record that was passed over.
    Passed(RecordHash),
    /// The clock was seen elsewhere.
    Clock(Hlc),
    /// What was lost is there again.
    Healed,
    /// The key of this epoch was missing, and what it seals was passed over.
    Missed(u32),
    /// The relay cannot have forgotten this device before that time.
    Leased(u64),
}

impl Piece<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Piece::Wrote { at, batch } => {
                out.push(1);
                put_varint(&mut out, *at);
                out.extend(batch.encode(BatchHash::NONE));
            }
            Piece::Cut { count, record } => {
                out.push(2);
                put_varint(&mut out, *count);
                out.extend(*record);
            }
            Piece::Confirmed => out.push(3),
            Piece::Batch { record, plain } => {
                out.push(4);
                put_varint(&mut out, record.len() as u64);
                out.extend(*record);
                out.extend(plain.unwrap_or_default());
            }
            Piece::Keys(record) => put(&mut out, 5, record),
            Piece::Snapshot(record) => put(&mut out, 6, record),
            Piece::Compact(record) => put(&mut out, 7, record),
            Piece::Passed(hash) => put(&mut out, 8, &hash.0),
            Piece::Clock(seen) => put(&mut out, 9, &seen.0.to_le_bytes()),
            Piece::Healed => out.push(10),
            Piece::Missed(epoch) => put_number(&mut out, 11, (*epoch).into()),
            Piece::Leased(until_ms) => put_number(&mut out, 12, *until_ms),
        }
        out
    }
}

fn put(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    out.push(code);
    out.extend(bytes);
}

fn put_number(out: &mut Vec<u8>, code: u8, number: u64) {
    out.push(code);
    put_varint(out, number);
}

/// What is not stored yet, and how much of it is.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Journal {
    changes: Vec<Change>,
    /// The last transaction that was taken.
    taken: u64,
    saved: u64,
    /// Transactions that are being stored, with the next offset that each has seen.
    storing: VecDeque<(u64, u64)>,
    saved_next: u64,
    /// Of the last beginning, and since then.
    begun: usize,
    bytes: usize,
}

impl Journal {
    pub fn append(&mut self, piece: &Piece<'_>) {
        let piece = piece.to_bytes();
        self.bytes += piece.len();
        self.changes.push(Change::Append(piece));
    }

    /// Begins anew; what was to be stored is in it.
    pub fn begin(&mut self, state: Vec<u8>) {
        (self.begun, self.bytes) = (state.len(), 0);
        self.changes = vec![Change::Begin(state)];
    }

    /// Returns whether a new beginning costs less than reading all of this again and again. It is about as long as the last one, with all
    /// that it keeps.
    pub fn is_long(&self) -> bool {
        self.bytes > LONG_BYTES.max(self.begun / 2)
    }

    /// Returns whether a new beginning of so many bytes is worth it: it is paid for by what was stored since the last one, or what is stored
    /// is much longer.
    pub fn is_worth(&self, bytes: usize) -> bool {
        let is_paid = self.bytes >= LONG_BYTES.max(bytes / 4);
        is_paid || self.begun + self.bytes >= LONG_BYTES + bytes + bytes / 2
    }

    /// The transaction that what happens now will be in.
    pub fn number(&self) -> u64 {
        self.taken + 1
    }

    pub fn take(&mut self, next: u64) -> Option<Transaction> {
        if self.changes.is_empty() {
            return None;
        }
        self.taken += 1;
        self.storing.push_back((self.taken, next));
        Some(Transaction { number: self.taken, changes: std::mem::take(&mut self.changes) })
    }

    pub fn saved(&mut self, number: u64) {
        let number = number.min(self.taken);
        self.saved = self.saved.max(number);
        while let Some((stored, next)) = self.storing.front().copied()
            && stored <= number
        {
            self.saved_next = next;
            self.storing.pop_front();
        }
    }

    pub fn saved_number(&self) -> u64 {
        self.saved
    }

    /// Up to which offset everything is durable.
    pub fn saved_next(&self) -> u64 {
        self.saved_next
    }

    /// It reads another log from here on: what was seen before says nothing.
    pub fn relocated(&mut self) {
        self.saved_next = 0;
        self.storing.iter_mut().for_each(|(_, next)| *next = 0);
    }

    /// Everything is stored, and up to this offset: a beginning of so many bytes, and so many since.
    pub fn restored(&mut self, next: u64, (begun, bytes): (usize, usize)) {
        *self = Journal { saved_next: next, begun, bytes, ..Journal::default() };
    }
}
