//! One operation: an entry that it puts, dots that it covers, or marks of a deletion.

use crate::{
    Dot, DotRange, EntityId, Field, Hlc, Stamp,
    dot::{check_covers, check_marks},
    wire::Malformed,
};

/// An operation, as it lies in a batch. Applying it joins a document with the smallest one that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// Which operation.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// What it is about.
    pub entity: &'a EntityId,
    /// What it does.
    pub change: Change<'a>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// An entry in a cell.
    Put {
        /// In which field.
        field: &'a Field,
        /// What is written.
        payload: &'a [u8],
        /// What the author saw there and replaces, in order and apart.
        covers: &'a [DotRange],
    },
    /// Entries are gone.
    Cover {
        /// In which field, for the history; the dots say what goes.
        field: &'a Field,
        /// What the author saw and takes away, in order and apart.
        covers: &'a [DotRange],
    },
    /// The entity is deleted, unless there is an entry that its author did not see.
    Delete {
        /// For each replica one range of length one: the entity's entries up to there are marked.
        marks: &'a [DotRange],
    },
}

impl<'a> Op<'a> {
    /// What decides between this and others that did not know of it.
    pub fn stamp(&self) -> Stamp {
        Stamp { hlc: self.hlc, dot: self.dot }
    }

    /// The field that this is about; deletions are about none.
    pub fn field(&self) -> Option<&'a Field> {
        match self.change {
            Change::Put { field, .. } | Change::Cover { field, .. } => Some(field),
            Change::Delete { .. } => None,
        }
    }

    /// The ranges that this names.
    pub(crate) fn ranges(&self) -> &'a [DotRange] {
        match self.change {
            Change::Put { covers, .. } | Change::Cover { covers, .. } => covers,
            Change::Delete { marks } => marks,
        }
    }

    /// What this puts.
    pub(crate) fn payload(&self) -> &'a [u8] {
        if let Change::Put { payload, .. } = self.change { payload } else { &[] }
    }

    /// Checks what every operation promises.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        if self.dot.seq == 0 || self.hlc == Hlc::ZERO {
            return Err(Malformed::Invalid("sequences and stamps begin with 1"));
        }
        match self.change {
            Change::Put { field, payload, covers } => {
                check_payload(field, payload)?;
                check_covers(self.dot, covers)
            }
            Change::Cover { covers: [], .. } => {
                Err(Malformed::Invalid("a cover without anything to cover"))
            }
            Change::Cover { covers, .. } => check_covers(self.dot, covers),
            Change::Delete { marks } => check_marks(self.dot, marks),
        }
    }
}

pub(crate) fn check_payload(field: &Field, payload: &[u8]) -> Result<(), Malformed> {
    if payload.is_empty() {
        Err(Malformed::Invalid("a payload without a type"))
    } else if payload.len() > field.kind().payload_bytes_max() {
        Err(Malformed::TooMuch("bytes of a payload"))
    } else {
        Ok(())
    }
}
