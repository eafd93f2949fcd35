//! What the relay's log says, without what was only written here.

use super::journal::LONG_BYTES;
use crate::{Batch, Document, Hlc, ReplicaId};

/// A document as bytes, and what came after it.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    /// A snapshot; nothing for a document in which nothing was written.
    base: Vec<u8>,
    tail: Vec<Step>,
    tail_bytes: usize,
}

/// What a record of the log does to a document.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) enum Step {
    Batch(Batch),
    Compact { horizon: Hlc, retired: Vec<ReplicaId> },
}

impl Step {
    pub fn perform(&self, document: &mut Document) {
        match self {
            Step::Batch(batch) => document.apply(batch),
            Step::Compact { horizon, retired } => document.compact(*horizon, retired),
        }
    }
}

impl Confirmed {
    /// Begins anew with a snapshot that was read or written here.
    pub fn begin(&mut self, base: Vec<u8>) {
        *self = Confirmed { base, ..Confirmed::default() };
    }

    pub fn push(&mut self, step: Step) {
        if let Step::Batch(batch) = &step {
            self.tail_bytes += batch.weight();
        }
        self.tail.push(step);
    }

    /// Returns whether a new base costs less than what came after this one.
    pub fn is_long(&self) -> bool {
        self.tail_bytes > LONG_BYTES.max(2 * self.base.len())
    }

    /// About how long a new base would be.
    pub fn bytes(&self) -> usize {
        self.base.len() + self.tail_bytes
    }

    /// What the base's bytes say.
    pub fn base(&self) -> &[u8] {
        &self.base
    }

    /// The document.
    pub fn document(&self) -> Document {
        let mut document = if self.base.is_empty() {
            Document::new()
        } else {
            Document::load(&self.base).expect("a base is the snapshot of a document that was here")
        };
        self.tail.iter().for_each(|step| step.perform(&mut document));
        document
    }
}
