//! What is known of a snapshot without reading it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{DeviceId, record::Sealing, refusal::read_flag};
use crate::wire::{Malformed, Reader, put_varint};

/// Bytes of a snapshot, at most, as it lies at the relay.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;

/// The SHA-256 of a snapshot's bytes as they lie at the relay, which is its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotHash(pub [u8; 32]);

impl SnapshotHash {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        SnapshotHash(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for SnapshotHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotHash({self})")
    }
}

/// A document's state as somebody saved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Which bytes.
    pub hash: SnapshotHash,
    /// How many there are.
    pub bytes: u64,
    /// All records before this offset are in it, and none from there on.
    pub offset: u64,
    /// It may hold what the log lost: whoever reads the record that names it joins it there.
    pub heals: bool,
    /// Whether, and under which key, it is sealed.
    pub sealing: Sealing,
    /// Who made it.
    pub device: DeviceId,
}

impl SnapshotInfo {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.hash.0);
        put_varint(out, self.bytes);
        put_varint(out, self.offset);
        out.push(u8::from(self.heals));
        self.sealing.write(out);
        out.extend(self.device.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let hash = SnapshotHash(reader.array()?);
        let (bytes, offset) = (reader.varint()?, reader.varint()?);
        if bytes > SNAPSHOT_BYTES_MAX {
            return Err(Malformed::TooMuch("bytes of a snapshot"));
        }
        let heals = read_flag(reader)?;
        let (sealing, device) = (Sealing::read(reader)?, DeviceId(reader.array()?));
        Ok(SnapshotInfo { hash, bytes, offset, heals, sealing, device })
    }
}
