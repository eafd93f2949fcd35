//! Why a relay does not do what it was asked.

use std::fmt;

use super::{
    SnapshotHash,
    name::{put_bytes, read_str},
};
use crate::wire::{Malformed, Reader, put_varint};

/// Bytes of an explanation, at most.
const TEXT_BYTES_MAX: usize = 1024;

/// Why something that a device sent for a document was not taken. It carries what the device needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Batches before this one are missing; the replica's next begins with this sequence.
    Expected(u64),
    /// Somebody else wrote under this replica's id.
    Forked,
    /// A stamp is too far ahead; the relay's clock, in milliseconds since 1970.
    Drift(u64),
    /// It must be sealed under the key of this epoch, or plain if 0.
    Epoch(u32),
    /// This tenant or document has used up what it may; try again after so many milliseconds.
    Quota(u64),
    /// The relay's disk is full or failing; try again after so many milliseconds.
    Unavailable(u64),
    /// The device's lease ran out: what it holds may be undead.
    SnapshotRequired,
    /// The token does not allow this.
    Denied,
    /// The signature is not the device's.
    Signature,
    /// It does not follow the document's schema; where and why.
    Schema(String),
    /// Another one came before; of snapshots, this is the current one.
    Superseded(Option<SnapshotHash>),
    /// It is not what it says it is, or out of its bounds; why.
    Invalid(String),
}

impl Refusal {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (code, number) = match self {
            Refusal::Expected(seq) => (1, Some(*seq)),
            Refusal::Forked => (2, None),
            Refusal::Drift(now) => (3, Some(*now)),
            Refusal::Epoch(epoch) => (4, Some(u64::from(*epoch))),
            Refusal::Quota(after) => (5, Some(*after)),
            Refusal::Unavailable(after) => (6, Some(*after)),
            Refusal::SnapshotRequired => (7, None),
            Refusal::Denied => (8, None),
            Refusal::Signature => (9, None),
            Refusal::Schema(_) => (10, None),
            Refusal::Superseded(_) => (11, None),
            Refusal::Invalid(_) => (12, None),
        };
        out.push(code);
        number.into_iter().for_each(|number| put_varint(out, number));
        match self {
            Refusal::Schema(text) | Refusal::Invalid(text) => put_text(out, text),
            Refusal::Superseded(current) => {
                put_option(out, *current, |out, hash| out.extend(hash.0))
            }
            _ => {}
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            1 => Refusal::Expected(reader.varint()?),
            2 => Refusal::Forked,
            3 => Refusal::Drift(reader.varint()?),
            4 => Refusal::Epoch(reader.count(u32::MAX as usize, "epochs")? as u32),
            5 => Refusal::Quota(reader.varint()?),
            6 => Refusal::Unavailable(reader.varint()?),
            7 => Refusal::SnapshotRequired,
            8 => Refusal::Denied,
            9 => Refusal::Signature,
            10 => Refusal::Schema(read_text(reader)?),
            11 => {
                Refusal::Superseded(read_option(reader, |reader| reader.array().map(SnapshotHash))?)
            }
            12 => Refusal::Invalid(read_text(reader)?),
            _ => return Err(Malformed::Invalid("a refusal of no known kind")),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Expected(seq) => write!(f, "operations from sequence {seq} on are missing"),
            Refusal::Forked => f.write_str("another copy writes under this replica's id"),
            Refusal::Drift(now) => write!(f, "the clock is ahead; here it is {now} ms since 1970"),
            Refusal::Epoch(0) => f.write_str("this document is not encrypted"),
            Refusal::Epoch(epoch) => write!(f, "the key of epoch {epoch} is in use"),
            Refusal::Quota(after) => write!(f, "the quota is used up; again in {after} ms"),
            Refusal::Unavailable(after) => write!(f, "the relay cannot write; again in {after} ms"),
            Refusal::SnapshotRequired => f.write_str("the lease ran out: the snapshot comes first"),
            Refusal::Denied => f.write_str("the token does not allow this"),
            Refusal::Signature => f.write_str("the signature does not hold"),
            Refusal::Schema(text) => write!(f, "against the schema: {text}"),
            Refusal::Superseded(_) => f.write_str("another one is the current one"),
            Refusal::Invalid(text) => f.write_str(text),
        }
    }
}

/// Why a channel or the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The other side asked for it.
    Asked,
    /// The token is not valid, or not for this.
    Denied,
    /// The token ended, or was revoked.
    Expired,
    /// The other side does not keep to the protocol.
    Protocol,
    /// More channels, or messages, than are allowed.
    Limit,
    /// The relay goes away; come again.
    Leaving,
    /// The relay cannot read or write; come again.
    Unavailable,
}

impl CloseReason {
    const ALL: [CloseReason; 7] = [
        CloseReason::Asked,
        CloseReason::Denied,
        CloseReason::Expired,
        CloseReason::Protocol,
        CloseReason::Limit,
        CloseReason::Leaving,
        CloseReason::Unavailable,
    ];

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(self as u8 + 1);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let code = usize::from(reader.byte()?);
        let known = code.checked_sub(1).and_then(|at| CloseReason::ALL.get(at));
        known.copied().ok_or(Malformed::Invalid("a reason of no known kind"))
    }
}

/// Appends as much of a text as is allowed.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, &text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    read_str(reader, TEXT_BYTES_MAX, "bytes of an explanation").map(str::to_owned)
}

/// Appends whether there is something, and what.
pub(super) fn put_option<T>(out: &mut Vec<u8>, it: Option<T>, put: impl Fn(&mut Vec<u8>, T)) {
    out.push(u8::from(it.is_some()));
    if let Some(it) = it {
        put(out, it);
    }
}

/// The inverse of [`put_option`].
pub(super) fn read_option<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if read_flag(reader)? { read(reader).map(Some) } else { Ok(None) }
}

/// A byte that is 0 or 1.
pub(super) fn read_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::NotCanonical("whether something is so")),
    }
}
