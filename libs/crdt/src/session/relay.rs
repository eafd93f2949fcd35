//! The relay's side of a session: what it knows of a document, and how it talks to one connection.
//!
//! A [`RelayDocument`] folds over the records of a document's log, says which may be appended, and when to
//! compact. A [`RelayConnection`] takes messages apart, keeps what goes out within its bounds and in order,
//! and serves slow readers from the log. Whoever drives them owns the log and the sockets, and appends what
//! was admitted in the order in which it was.

mod admission;
mod channel;
mod checkpoint;
mod connection;
mod document;
mod lease;
mod marks;
mod outbox;
mod presence;
mod vetted;

pub use admission::{Session, Verdict};
pub use checkpoint::Checkpoint;
pub use connection::{Asked, Opening, RelayConnection, Want};
pub use document::{Placed, RelayDocument, SNAPSHOTS_KEPT};
pub use outbox::Answer;
pub use presence::Presences;
pub use vetted::Vetted;

use super::{DeviceId, DocumentId, Limits, NONCE_BYTES, Record, Signature};
use crate::Schema;

/// The right to get records, snapshots and presence.
pub const READ: u8 = 1;
/// The right to push batches.
pub const WRITE: u8 = 2;
/// The right to put a snapshot in place of the current one.
pub const SNAPSHOT: u8 = 4;
/// The right to say who is a member.
pub const ADMIN: u8 = 8;
/// The right to bring in one more device: what a link is for.
pub const JOIN: u8 = 16;

/// What a capability gives, once it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What may be done with the document that was asked for.
    pub rights: u8,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// By what it is revoked.
    pub id: String,
}

/// Who knows keys: what is signed, and what a capability gives.
pub trait Trust {
    /// What `token` gives `device` on `document`; nothing if it is not valid, or not for these.
    fn grant(
        &self,
        document: &DocumentId,
        device: &DeviceId,
        token: &str,
        now_ms: u64,
    ) -> Option<Grant>;

    /// Whether the device proved that the token is its own: `shown` are the token and the proof.
    fn is_proven(
        &self,
        challenge: &[u8; NONCE_BYTES],
        document: &DocumentId,
        device: &DeviceId,
        shown: (&str, &Signature),
    ) -> bool;

    /// Whether a record was signed by the device that it names.
    fn is_signed(&self, document: &DocumentId, record: &Record<'_>) -> bool;
}

/// Whether batches must be sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// As the document's members like.
    #[default]
    Any,
    /// The relay must not be able to read them.
    Sealed,
    /// The relay must be able to read them.
    Plain,
}

/// What a relay expects of its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a device may be away before it is forgotten.
    pub lease_ms: u64,
    /// How far a stamp may be ahead of the relay's clock.
    pub drift_ms: u64,
    /// Records between two compactions, at least, unless they are long.
    pub compact_records: u64,
    /// So many bytes of records are compacted though they are few: until then every device keeps them twice.
    pub compact_bytes: u64,
    /// Bytes of records of a document that are kept, at most.
    pub bytes_max: u64,
    /// Bytes of a snapshot, at most.
    pub snapshot_bytes_max: u64,
    /// Replicas of a document, at most.
    pub replicas_max: usize,
    /// Devices whose leases are known, at most: a further one is not waited for.
    pub devices_max: usize,
    /// When somebody who is over a quota may try again.
    pub again_ms: u64,
    /// Whether batches must be sealed.
    pub demand: Demand,
    /// What plain batches must follow.
    pub schema: Option<std::sync::Arc<Schema>>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            lease_ms: 30 * 86_400_000,
            drift_ms: 120_000,
            compact_records: 256,
            compact_bytes: 4 << 20,
            bytes_max: 1 << 30,
            snapshot_bytes_max: u64::MAX,
            replicas_max: 16 << 10,
            devices_max: 8 << 10,
            again_ms: 60_000,
            demand: Demand::Any,
            schema: None,
        }
    }
}

/// What a relay takes of one connection, where nothing else is said.
impl Default for Limits {
    fn default() -> Self {
        Limits { channels: 256, credit: 2 << 20, presence_ms: 50, presence_ends_ms: 30_000 }
    }
}
