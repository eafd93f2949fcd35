//! What a batch says to those who cannot read it.

use crate::{
    Hlc, ReplicaId,
    batch::BATCH_OPS_MAX,
    chain::BatchHash,
    wire::{Malformed, Reader, put_varint},
};

/// The only version there is.
const VERSION: u8 = 1;

/// The plain part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who wrote it.
    pub replica: ReplicaId,
    /// The hash of that replica's batch before.
    pub prev: BatchHash,
    /// The sequence of the first operation.
    pub first: u64,
    /// How many operations there are.
    pub count: u32,
    /// The stamp of the first operation.
    pub stamp_first: Hlc,
    /// The stamp of the last operation.
    pub stamp_last: Hlc,
}

impl Header {
    /// The sequence of the last operation.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count).saturating_sub(1))
    }

    /// Takes a header apart from the body behind it.
    ///
    /// # Errors
    /// Another version, or numbers out of bounds.
    pub fn read(bytes: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(Malformed::Version(version.into()));
        }
        let (replica, prev) = (ReplicaId(reader.array()?), BatchHash(reader.array()?));
        let first = reader.varint()?;
        let count = reader.count(BATCH_OPS_MAX, "operations of a batch")? as u32;
        let stamp_first = Hlc(reader.u64()?);
        let stamp_last = stamp_first.0.checked_add(reader.varint()?).map(Hlc);
        let stamp_last = stamp_last.ok_or(Malformed::Invalid("a stamp after the last one"))?;
        if first == 0 || count == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(Malformed::Invalid("sequences out of range"));
        }
        let header = Header { replica, prev, first, count, stamp_first, stamp_last };
        Ok((header, reader.take(reader.remaining())?))
    }

    /// Appends the bytes of this.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.replica.0);
        out.extend(self.prev.0);
        put_varint(out, self.first);
        put_varint(out, self.count.into());
        out.extend(self.stamp_first.0.to_le_bytes());
        put_varint(out, self.stamp_last.0.saturating_sub(self.stamp_first.0));
    }
}
