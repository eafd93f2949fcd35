//! What a relay says.

use super::{
    CloseReason, LogId, NONCE_BYTES, PIECE_BYTES_MAX, PRESENCE_BYTES_MAX, RECORD_BYTES_MAX,
    REPLICAS_MAX, Refusal, Sealing, Signature, SnapshotHash, SnapshotInfo,
    client_frame::{read_message, read_u32, rest},
    refusal::{put_option, read_option},
};
use crate::{
    BatchHash, Head, ReplicaId,
    wire::{Malformed, Reader, put_count, put_varint},
};

/// The type of CLOSED.
const CLOSED: u8 = 11;

/// A message of a relay to a device. All but WELCOME and CREDIT are about the channel that they travel on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayFrame<'a> {
    /// The answer to HELLO.
    Welcome {
        /// The version that both speak from here on.
        version: u8,
        /// What proofs of this connection are made with.
        challenge: [u8; NONCE_BYTES],
        /// Its clock, in milliseconds since 1970.
        now_ms: u64,
        /// What it takes.
        limits: Limits,
    },
    /// The answer to OPEN; records follow.
    Opened(Box<OpenDocument>),
    /// A batch of this channel is safe; it stands for the RECORD at this offset.
    Ack {
        /// Whose.
        replica: ReplicaId,
        /// The sequence of its last operation.
        seq: u64,
        /// Where it lies.
        offset: u64,
    },
    /// A batch was not taken.
    Refused {
        /// Whose.
        replica: ReplicaId,
        /// The sequence of its first operation.
        first: u64,
        /// Why not.
        why: Refusal,
    },
    /// Something else than a batch was not taken: keys, a snapshot, a presence, a subscription.
    Rejected {
        /// The type of the message that was not taken.
        frame: u8,
        /// Why not.
        why: Refusal,
    },
    /// What lies in the log, in order.
    Record {
        /// Where.
        offset: u64,
        /// A [`Record`](super::Record).
        record: &'a [u8],
    },
    /// Bytes of a snapshot that was asked for, in order.
    Piece {
        /// Which.
        snapshot: SnapshotHash,
        /// Behind how many bytes.
        from: u64,
        /// They.
        bytes: &'a [u8],
    },
    /// What another session shows of itself; nothing if it is gone.
    Presence {
        /// Which session.
        session: u64,
        /// Sealed, or as the application likes.
        state: &'a [u8],
    },
    /// The device reads slower than others write, and is served from the log; 0 when that is over.
    Lag {
        /// How many records it is behind.
        behind: u64,
    },
    /// It takes more bytes of PUSHes and PIECEs.
    Credit {
        /// How many more.
        bytes: u32,
    },
    /// The channel ends; on channel 0 the connection.
    Closed {
        /// Why.
        why: CloseReason,
        /// When to come again, in milliseconds; nothing if it makes no sense.
        again_ms: Option<u64>,
    },
    /// Keys that lie in the document's log, before anything else of it: who begins anew opens the rest with them.
    Keys {
        /// A [`Record`](super::Record) of keys.
        record: &'a [u8],
    },
}

/// What a relay takes of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Documents that may be open at once.
    pub channels: u32,
    /// Bytes of PUSHes and PIECEs before it says CREDIT.
    pub credit: u32,
    /// Least time between two presences of a channel, in milliseconds.
    pub presence_ms: u32,
    /// How long a presence lasts, in milliseconds.
    pub presence_ends_ms: u32,
}

/// What a device must know of a document that it opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDocument {
    /// The life of the log.
    pub log: LogId,
    /// What becomes of what the device has.
    pub start: Start,
    /// The offset of the first RECORD that follows.
    pub next: u64,
    /// The offset after the last record.
    pub tail: u64,
    /// The current snapshot, signed as in the [`Record`](super::Record) that names it.
    pub snapshot: Option<(SnapshotInfo, Signature)>,
    /// Of the replicas that were asked after those that have a head, in order.
    pub heads: Vec<(ReplicaId, Head)>,
    /// How batches must be sealed.
    pub sealing: Sealing,
    /// What the token allows.
    pub rights: u8,
    /// How long the device may be away before it is forgotten, in milliseconds.
    pub lease_ms: u64,
    /// When the relay lost records, by its clock, in milliseconds since 1970; 0 if it never did.
    pub lost_ms: u64,
}

/// How a device goes on after OPENED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From where it was: RECORDs follow from there.
    Resumed,
    /// From the snapshot, where there is one: the device had nothing, or what follows was cut off.
    Snapshot,
    /// The relay lost records that the device has: it joins the snapshot, and pushes what the heads lack.
    Lost,
    /// The device's lease ran out: it keeps nothing but what it has not pushed.
    Expired,
}

impl Start {
    const ALL: [Start; 4] = [Start::Resumed, Start::Snapshot, Start::Lost, Start::Expired];
}

impl<'a> RelayFrame<'a> {
    /// Appends this as a message on `channel`.
    pub fn write(&self, channel: u32, out: &mut Vec<u8>) {
        out.push(self.code());
        put_varint(out, channel.into());
        match self {
            RelayFrame::Welcome { version, challenge, now_ms, limits } => {
                out.push(*version);
                out.extend(challenge);
                put_varint(out, *now_ms);
                limits.write(out);
            }
            RelayFrame::Opened(opened) => opened.write(out),
            RelayFrame::Ack { replica, seq, offset } => {
                out.extend(replica.0);
                put_varint(out, *seq);
                put_varint(out, *offset);
            }
            RelayFrame::Refused { replica, first, why } => {
                out.extend(replica.0);
                put_varint(out, *first);
                why.write(out);
            }
            RelayFrame::Rejected { frame, why } => {
                out.push(*frame);
                why.write(out);
            }
            RelayFrame::Record { offset, record } => {
                put_varint(out, *offset);
                out.extend(*record);
            }
            RelayFrame::Piece { snapshot, from, bytes } => {
                out.extend(snapshot.0);
                put_varint(out, *from);
                out.extend(*bytes);
            }
            RelayFrame::Presence { session, state } => {
                put_varint(out, *session);
                out.extend(*state);
            }
            RelayFrame::Lag { behind } => put_varint(out, *behind),
            RelayFrame::Credit { bytes } => put_varint(out, (*bytes).into()),
            RelayFrame::Closed { why, again_ms } => {
                why.write(out);
                put_option(out, *again_ms, put_varint);
            }
            RelayFrame::Keys { record } => out.extend(*record),
        }
    }

    /// This as a message on `channel`.
    pub fn to_bytes(&self, channel: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(channel, &mut out);
        out
    }

    fn code(&self) -> u8 {
        match self {
            RelayFrame::Welcome { .. } => 1,
            RelayFrame::Opened { .. } => 2,
            RelayFrame::Ack { .. } => 3,
            RelayFrame::Refused { .. } => 4,
            RelayFrame::Rejected { .. } => 5,
            RelayFrame::Record { .. } => 6,
            RelayFrame::Piece { .. } => 7,
            RelayFrame::Presence { .. } => 8,
            RelayFrame::Lag { .. } => 9,
            RelayFrame::Credit { .. } => 10,
            RelayFrame::Closed { .. } => CLOSED,
            RelayFrame::Keys { .. } => 12,
        }
    }

    /// Reads a message: its channel, and what it says.
    ///
    /// # Errors
    /// What is not the one encoding of a message within its bounds, or not for such a channel.
    pub fn read(message: &'a [u8]) -> Result<(u32, Self), Malformed> {
        read_message(message, CLOSED, Self::read_content)
    }

    fn read_content(code: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match code {
            1 => {
                let (version, challenge) = (reader.byte()?, reader.array()?);
                let (now_ms, limits) = (reader.varint()?, Limits::read(reader)?);
                RelayFrame::Welcome { version, challenge, now_ms, limits }
            }
            2 => RelayFrame::Opened(Box::new(OpenDocument::read(reader)?)),
            3 => {
                let replica = ReplicaId(reader.array()?);
                RelayFrame::Ack { replica, seq: reader.varint()?, offset: reader.varint()? }
            }
            4 => {
                let (replica, first) = (ReplicaId(reader.array()?), reader.varint()?);
                RelayFrame::Refused { replica, first, why: Refusal::read(reader)? }
            }
            5 => RelayFrame::Rejected { frame: reader.byte()?, why: Refusal::read(reader)? },
            6 => {
                let offset = reader.varint()?;
                RelayFrame::Record {
                    offset,
                    record: rest(reader, RECORD_BYTES_MAX, "bytes of a record")?,
                }
            }
            7 => {
                let (snapshot, from) = (SnapshotHash(reader.array()?), reader.varint()?);
                let bytes = rest(reader, PIECE_BYTES_MAX, "bytes of a piece")?;
                RelayFrame::Piece { snapshot, from, bytes }
            }
            8 => {
                let session = reader.varint()?;
                RelayFrame::Presence {
                    session,
                    state: rest(reader, PRESENCE_BYTES_MAX, "presence")?,
                }
            }
            9 => RelayFrame::Lag { behind: reader.varint()? },
            10 => RelayFrame::Credit { bytes: read_u32(reader)? },
            CLOSED => {
                let why = CloseReason::read(reader)?;
                RelayFrame::Closed { why, again_ms: read_option(reader, Reader::varint)? }
            }
            12 => RelayFrame::Keys { record: rest(reader, RECORD_BYTES_MAX, "bytes of keys")? },
            _ => return Err(Malformed::Invalid("a message of no known type")),
        })
    }
}

impl Limits {
    fn write(&self, out: &mut Vec<u8>) {
        let Limits { channels, credit, presence_ms, presence_ends_ms } = *self;
        for limit in [channels, credit, presence_ms, presence_ends_ms] {
            put_varint(out, limit.into());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Limits {
            channels: read_u32(reader)?,
            credit: read_u32(reader)?,
            presence_ms: read_u32(reader)?,
            presence_ends_ms: read_u32(reader)?,
        })
    }
}

impl OpenDocument {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.log.0);
        out.push(self.start as u8 + 1);
        put_varint(out, self.next);
        put_varint(out, self.tail);
        put_option(out, self.snapshot, |out, (info, signature)| {
            info.write(out);
            out.extend(signature.0);
        });
        put_count(out, self.heads.len());
        for (replica, head) in &self.heads {
            out.extend(replica.0);
            put_varint(out, head.seq);
            out.extend(head.hash.0);
        }
        self.sealing.write(out);
        out.push(self.rights);
        put_varint(out, self.lease_ms);
        put_varint(out, self.lost_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(OpenDocument {
            log: LogId(reader.array()?),
            start: read_start(reader)?,
            next: reader.varint()?,
            tail: reader.varint()?,
            snapshot: read_option(reader, read_snapshot)?,
            heads: read_heads(reader)?,
            sealing: Sealing::read(reader)?,
            rights: reader.byte()?,
            lease_ms: reader.varint()?,
            lost_ms: reader.varint()?,
        })
    }
}

fn read_snapshot(reader: &mut Reader<'_>) -> Result<(SnapshotInfo, Signature), Malformed> {
    Ok((SnapshotInfo::read(reader)?, Signature(reader.array()?)))
}

fn read_start(reader: &mut Reader<'_>) -> Result<Start, Malformed> {
    let code = usize::from(reader.byte()?);
    let known = code.checked_sub(1).and_then(|at| Start::ALL.get(at));
    known.copied().ok_or(Malformed::Invalid("a start of no known kind"))
}

fn read_heads(reader: &mut Reader<'_>) -> Result<Vec<(ReplicaId, Head)>, Malformed> {
    let count = reader.count(REPLICAS_MAX, "heads")?;
    let mut head = || -> Result<(ReplicaId, Head), Malformed> {
        let (replica, seq) = (ReplicaId(reader.array()?), reader.varint()?);
        Ok((replica, Head { seq, hash: BatchHash(reader.array()?) }))
    };
    let heads: Vec<_> = (0..count).map(|_| head()).collect::<Result<_, _>>()?;
    if heads.is_sorted_by(|a, b| a.0 < b.0) {
        Ok(heads)
    } else {
        Err(Malformed::NotCanonical("heads"))
    }
}
