//! What a document's log keeps: each record as it was pushed, signed where a device made it.

use super::{
    DeviceId, DocumentId, Signature, SnapshotInfo,
    name::{put_bytes, read_bytes},
};
use crate::{
    BATCH_BYTES_MAX, BatchHash, Hlc, ReplicaId,
    wire::{Malformed, Reader, put_count, put_varint},
};

/// What sealing may add to a batch: padding to the next Padmé length, nonce, tag, key commitment.
const SEALED_MORE: usize = BATCH_BYTES_MAX / 16;

/// Bytes of a record, at most.
pub const RECORD_BYTES_MAX: usize = BATCH_BYTES_MAX + SEALED_MORE + 256;

/// Bytes of a list of members with their wrapped keys, at most.
pub const KEYS_BYTES_MAX: usize = 512 << 10;

/// Replicas that one compaction retires, at most.
const RETIRED_MAX: usize = 16 << 10;

/// Whether something is sealed, and under the key of which epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sealing {
    /// The relay can read it.
    #[default]
    Plain,
    /// Sealed under the key of this epoch, which is 1 or more.
    Epoch(u32),
}

impl Sealing {
    /// 0 for what is plain.
    pub fn epoch(self) -> u32 {
        match self {
            Sealing::Plain => 0,
            Sealing::Epoch(epoch) => epoch,
        }
    }

    /// The inverse of [`epoch`](Sealing::epoch).
    pub fn of(epoch: u32) -> Self {
        if epoch == 0 { Sealing::Plain } else { Sealing::Epoch(epoch) }
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch().into());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let epoch = reader.count(u32::MAX as usize, "epochs")?;
        Ok(Sealing::of(epoch as u32))
    }
}

/// The first half of SHA-256 over a record's bytes.
pub type RecordHash = BatchHash;

/// A record of a document's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Operations of one replica.
    Batch {
        /// Who wrote them.
        device: DeviceId,
        /// Whether the body is sealed.
        sealing: Sealing,
        /// The batch: its plain header, and its body.
        batch: &'a [u8],
        /// By `device`, over [`signed_bytes`](Record::signed_bytes).
        signature: Signature,
    },
    /// Who may read from here on: members with the epoch's key, wrapped for each.
    Keys {
        /// The member who wrote this.
        device: DeviceId,
        /// The epoch that begins, or goes on with more members; 1 or more.
        epoch: u32,
        /// The members, which the relay does not read.
        members: &'a [u8],
        /// By `device`, over [`signed_bytes`](Record::signed_bytes).
        signature: Signature,
    },
    /// A snapshot lies at the relay, durable.
    Snapshot {
        /// Which.
        info: SnapshotInfo,
        /// By its device, over [`signed_bytes`](Record::signed_bytes).
        signature: Signature,
    },
    /// The relay's own: whoever reads this compacts his document here (RFC 8).
    Compact {
        /// Up to which stamp.
        horizon: Hlc,
        /// Whose leases ran out, in order.
        retired: Vec<ReplicaId>,
    },
}

impl<'a> Record<'a> {
    /// Appends the one encoding of this.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_unsigned(out);
        match self {
            Record::Batch { signature, .. }
            | Record::Keys { signature, .. }
            | Record::Snapshot { signature, .. } => out.extend(signature.0),
            Record::Compact { .. } => {}
        }
    }

    /// The one encoding of this.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// What the device signs: the document it is for, and everything before the signature.
    pub fn signed_bytes(&self, document: &DocumentId) -> Vec<u8> {
        let mut out = b"selvedge-sync.1 record\0".to_vec();
        document.write(&mut out);
        self.write_unsigned(&mut out);
        out
    }

    /// Who made this, and his signature; what the relay itself says has none.
    pub fn signature(&self) -> Option<(DeviceId, Signature)> {
        match self {
            Record::Batch { device, signature, .. } | Record::Keys { device, signature, .. } => {
                Some((*device, *signature))
            }
            Record::Snapshot { info, signature } => Some((info.device, *signature)),
            Record::Compact { .. } => None,
        }
    }

    fn write_unsigned(&self, out: &mut Vec<u8>) {
        match self {
            Record::Batch { device, sealing, batch, .. } => {
                out.push(1);
                out.extend(device.0);
                sealing.write(out);
                put_bytes(out, batch);
            }
            Record::Keys { device, epoch, members, .. } => {
                out.push(2);
                out.extend(device.0);
                put_varint(out, (*epoch).into());
                put_bytes(out, members);
            }
            Record::Snapshot { info, .. } => {
                out.push(3);
                info.write(out);
            }
            Record::Compact { horizon, retired } => {
                out.push(4);
                out.extend(horizon.0.to_le_bytes());
                put_count(out, retired.len());
                retired.iter().for_each(|replica| out.extend(replica.0));
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// What is not the one encoding of a record within its bounds.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(Malformed::TooMuch("bytes of a record"));
        }
        let mut reader = Reader::new(bytes);
        let record = match reader.byte()? {
            1 => batch(&mut reader)?,
            2 => keys(&mut reader)?,
            3 => {
                let info = SnapshotInfo::read(&mut reader)?;
                Record::Snapshot { info, signature: Signature(reader.array()?) }
            }
            4 => compact(&mut reader)?,
            _ => return Err(Malformed::Invalid("a record of no known type")),
        };
        reader.finish()?;
        Ok(record)
    }
}

fn batch<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let (device, sealing) = (DeviceId(reader.array()?), Sealing::read(reader)?);
    let batch = read_bytes(reader, BATCH_BYTES_MAX + SEALED_MORE, "bytes of a batch")?;
    Ok(Record::Batch { device, sealing, batch, signature: Signature(reader.array()?) })
}

fn keys<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let (device, sealing) = (DeviceId(reader.array()?), Sealing::read(reader)?);
    let Sealing::Epoch(epoch) = sealing else {
        return Err(Malformed::Invalid("epochs begin with 1"));
    };
    let members = read_bytes(reader, KEYS_BYTES_MAX, "bytes of members")?;
    Ok(Record::Keys { device, epoch, members, signature: Signature(reader.array()?) })
}

fn compact<'a>(reader: &mut Reader<'_>) -> Result<Record<'a>, Malformed> {
    let horizon = Hlc(reader.u64()?);
    let count = reader.count(RETIRED_MAX, "replicas that retire")?;
    let ids = (0..count).map(|_| reader.array().map(ReplicaId));
    let retired: Vec<ReplicaId> = ids.collect::<Result<_, _>>()?;
    if !retired.is_sorted_by(|a, b| a < b) {
        return Err(Malformed::NotCanonical("replicas that retire"));
    }
    Ok(Record::Compact { horizon, retired })
}
