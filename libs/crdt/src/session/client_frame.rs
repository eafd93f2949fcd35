//! What a device says.

use super::{
    CONNECTION, DeviceId, DocumentId, LogId, MESSAGE_BYTES_MAX, PIECE_BYTES_MAX,
    PRESENCE_BYTES_MAX, RECORD_BYTES_MAX, REPLICAS_MAX, RecordHash, Signature, SnapshotHash,
    TOKEN_BYTES_MAX, VERSION,
    name::{put_bytes, read_str},
    refusal::{put_option, read_option},
};
use crate::{
    ReplicaId,
    wire::{Malformed, Reader, put_count, put_varint},
};

/// Bytes of the address of a push service, at most.
const ENDPOINT_BYTES_MAX: usize = 1024;

/// The type of CLOSE.
const CLOSE: u8 = 12;

/// A message of a device to a relay. All but HELLO and CREDIT are about the channel that they travel on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// The first message of a connection.
    Hello {
        /// The highest version that the device speaks.
        version: u8,
        /// Which device.
        device: DeviceId,
        /// Bytes of RECORDs and PIECEs that it takes before it says CREDIT.
        credit: u32,
    },
    /// Opens a document on a new channel.
    Open {
        /// Which document.
        document: DocumentId,
        /// The capability.
        token: &'a str,
        /// By the device, over [`proof_bytes`](super::proof_bytes).
        proof: Signature,
        /// Where it was.
        resume: Option<Resume>,
        /// Whose heads it wants to know, in order: replicas that it has batches of.
        replicas: Vec<ReplicaId>,
    },
    /// A batch, or keys, for the log.
    Push {
        /// A [`Record`](super::Record).
        record: &'a [u8],
    },
    /// It holds everything before this offset, durably, and what it wrote before it saw that is acknowledged.
    Saw {
        /// The next offset.
        next: u64,
    },
    /// A snapshot that it would put in place of another; pieces follow.
    Offer {
        /// A [`Record::Snapshot`](super::Record::Snapshot).
        record: &'a [u8],
        /// The current one, as far as it knows.
        replaces: Option<SnapshotHash>,
    },
    /// Bytes of the snapshot that was offered last, in order.
    Piece {
        /// Behind how many bytes.
        from: u64,
        /// They.
        bytes: &'a [u8],
    },
    /// Asks for a snapshot.
    Fetch {
        /// Which.
        snapshot: SnapshotHash,
        /// From which byte on.
        from: u64,
    },
    /// What others may know of it now; nothing if it is gone.
    Presence {
        /// Sealed, or as the application likes.
        state: &'a [u8],
    },
    /// A new capability, before the old one ends.
    Token {
        /// The capability.
        token: &'a str,
        /// By the device, over [`proof_bytes`](super::proof_bytes).
        proof: Signature,
    },
    /// It takes more bytes of RECORDs and PIECEs.
    Credit {
        /// How many more.
        bytes: u32,
    },
    /// How to wake it when something waits.
    Wake {
        /// Nothing if it should be let sleep.
        subscription: Option<Subscription<'a>>,
    },
    /// It closes the channel; on channel 0 the connection.
    Close,
}

/// Where a device stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// In which log.
    pub log: LogId,
    /// The next offset.
    pub next: u64,
    /// The hash of the record before it, by which a relay that lost records shows.
    pub last: RecordHash,
}

/// A Web Push subscription (RFC 8030, section 4; RFC 8291, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The `https` address to post to.
    pub endpoint: &'a str,
    /// The P-256 public key of the browser, uncompressed.
    pub key: [u8; 65],
    /// The authentication secret.
    pub secret: [u8; 16],
}

impl<'a> ClientFrame<'a> {
    /// Appends this as a message on `channel`.
    pub fn write(&self, channel: u32, out: &mut Vec<u8>) {
        out.push(self.code());
        put_varint(out, channel.into());
        match self {
            ClientFrame::Hello { version, device, credit } => {
                out.push(*version);
                out.extend(device.0);
                put_varint(out, (*credit).into());
            }
            ClientFrame::Open { document, token, proof, resume, replicas } => {
                document.write(out);
                put_bytes(out, token.as_bytes());
                out.extend(proof.0);
                put_option(out, *resume, |out, resume| resume.write(out));
                put_count(out, replicas.len());
                replicas.iter().for_each(|replica| out.extend(replica.0));
            }
            ClientFrame::Push { record } => out.extend(*record),
            ClientFrame::Saw { next } => put_varint(out, *next),
            ClientFrame::Offer { record, replaces } => {
                put_option(out, *replaces, |out, hash| out.extend(hash.0));
                out.extend(*record);
            }
            ClientFrame::Piece { from, bytes } => {
                put_varint(out, *from);
                out.extend(*bytes);
            }
            ClientFrame::Fetch { snapshot, from } => {
                out.extend(snapshot.0);
                put_varint(out, *from);
            }
            ClientFrame::Presence { state } => out.extend(*state),
            ClientFrame::Token { token, proof } => {
                put_bytes(out, token.as_bytes());
                out.extend(proof.0);
            }
            ClientFrame::Credit { bytes } => put_varint(out, (*bytes).into()),
            ClientFrame::Wake { subscription } => {
                put_option(out, *subscription, |out, it| it.write(out));
            }
            ClientFrame::Close => {}
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
            ClientFrame::Hello { .. } => 1,
            ClientFrame::Open { .. } => 2,
            ClientFrame::Push { .. } => 3,
            ClientFrame::Saw { .. } => 4,
            ClientFrame::Offer { .. } => 5,
            ClientFrame::Piece { .. } => 6,
            ClientFrame::Fetch { .. } => 7,
            ClientFrame::Presence { .. } => 8,
            ClientFrame::Token { .. } => 9,
            ClientFrame::Credit { .. } => 10,
            ClientFrame::Wake { .. } => 11,
            ClientFrame::Close => CLOSE,
        }
    }

    /// Reads a message: its channel, and what it says.
    ///
    /// # Errors
    /// What is not the one encoding of a message within its bounds, or not for such a channel.
    pub fn read(message: &'a [u8]) -> Result<(u32, Self), Malformed> {
        read_message(message, CLOSE, Self::read_content)
    }

    fn read_content(code: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match code {
            1 => hello(reader)?,
            2 => open(reader)?,
            3 => ClientFrame::Push { record: rest(reader, RECORD_BYTES_MAX, "bytes of a record")? },
            4 => ClientFrame::Saw { next: reader.varint()? },
            5 => {
                let replaces = read_option(reader, |it| it.array().map(SnapshotHash))?;
                let record = rest(reader, RECORD_BYTES_MAX, "bytes of a record")?;
                ClientFrame::Offer { record, replaces }
            }
            6 => {
                let from = reader.varint()?;
                ClientFrame::Piece {
                    from,
                    bytes: rest(reader, PIECE_BYTES_MAX, "bytes of a piece")?,
                }
            }
            7 => {
                let snapshot = SnapshotHash(reader.array()?);
                ClientFrame::Fetch { snapshot, from: reader.varint()? }
            }
            8 => ClientFrame::Presence { state: rest(reader, PRESENCE_BYTES_MAX, "presence")? },
            9 => {
                let token = read_token(reader)?;
                ClientFrame::Token { token, proof: Signature(reader.array()?) }
            }
            10 => ClientFrame::Credit { bytes: read_u32(reader)? },
            11 => ClientFrame::Wake { subscription: read_option(reader, Subscription::read)? },
            CLOSE => ClientFrame::Close,
            _ => return Err(Malformed::Invalid("a message of no known type")),
        })
    }
}

fn hello<'a>(reader: &mut Reader<'_>) -> Result<ClientFrame<'a>, Malformed> {
    let version = reader.byte()?;
    if version < VERSION {
        return Err(Malformed::Version(version.into()));
    }
    let device = DeviceId(reader.array()?);
    Ok(ClientFrame::Hello { version, device, credit: read_u32(reader)? })
}

fn open<'a>(reader: &mut Reader<'a>) -> Result<ClientFrame<'a>, Malformed> {
    let document = DocumentId::read(reader)?;
    let (token, proof) = (read_token(reader)?, Signature(reader.array()?));
    let resume = read_option(reader, Resume::read)?;
    let count = reader.count(REPLICAS_MAX, "replicas that are asked after")?;
    let ids = (0..count).map(|_| reader.array().map(ReplicaId));
    let replicas: Vec<ReplicaId> = ids.collect::<Result<_, _>>()?;
    if !replicas.is_sorted_by(|a, b| a < b) {
        return Err(Malformed::NotCanonical("replicas that are asked after"));
    }
    Ok(ClientFrame::Open { document, token, proof, resume, replicas })
}

fn read_token<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    read_str(reader, TOKEN_BYTES_MAX, "bytes of a token")
}

impl Resume {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.log.0);
        put_varint(out, self.next);
        out.extend(self.last.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (log, next) = (LogId(reader.array()?), reader.varint()?);
        Ok(Resume { log, next, last: crate::BatchHash(reader.array()?) })
    }
}

impl<'a> Subscription<'a> {
    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.endpoint.as_bytes());
        out.extend(self.key);
        out.extend(self.secret);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let endpoint = read_str(reader, ENDPOINT_BYTES_MAX, "bytes of a push service's address")?;
        Ok(Subscription { endpoint, key: reader.array()?, secret: reader.array()? })
    }
}

/// Reads a message: its channel, and what `read` makes of its type and its content. Both sides have two types that are
/// the connection's (1, 10), and one that ends either (`close`).
pub(super) fn read_message<'a, F>(
    message: &'a [u8],
    close: u8,
    read: impl FnOnce(u8, &mut Reader<'a>) -> Result<F, Malformed>,
) -> Result<(u32, F), Malformed> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed::TooMuch("bytes of a message"));
    }
    let mut reader = Reader::new(message);
    let (code, channel) = (reader.byte()?, read_u32(&mut reader)?);
    let frame = read(code, &mut reader)?;
    reader.finish()?;
    let is_connections = matches!(code, 1 | 10);
    if code != close && is_connections != (channel == CONNECTION) {
        return Err(Malformed::Invalid("a message on a channel that it is not for"));
    }
    Ok((channel, frame))
}

pub(super) fn read_u32(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| Malformed::Invalid("a number beyond 32 bits"))
}

/// Everything up to the end of the message.
pub(super) fn rest<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
) -> Result<&'a [u8], Malformed> {
    let len = reader.remaining();
    if len > max { Err(Malformed::TooMuch(what)) } else { reader.take(len) }
}
