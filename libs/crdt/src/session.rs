//! The sync session: what a device and a relay say to each other about documents.
//!
//! `docs/rfcs/0010-sync.md` says why, `docs/reference/sync-protocol.md` what the bytes are. A message of the
//! connection is one [`ClientFrame`] or one [`RelayFrame`]; what a document's log keeps is a [`Record`].
//! Nothing here signs, seals or trusts: signatures and keys are bytes, and what is to be signed is made by
//! [`Record::signed_bytes`] and [`proof_bytes`].

mod backoff;
mod client;
mod client_frame;
mod entropy;
mod event;
mod keys;
mod name;
mod record;
mod refusal;
pub mod relay;
mod relay_frame;
mod replica;
mod snapshot_info;

pub use client::{Client, Settings, Token, WakeUp, Want};
pub use client_frame::{ClientFrame, Resume, Subscription};
pub use event::{Event, Remedy, Rename, Suspicion};
pub use keys::{KeyPlace, Keys, Unreadable};
pub use name::{
    DOCUMENT_BYTES_MAX, DeviceId, DocumentId, LogId, NONCE_BYTES, Signature, TENANT_BYTES_MAX,
    proof_bytes,
};
pub use record::{KEYS_BYTES_MAX, RECORD_BYTES_MAX, Record, RecordHash, Sealing};
pub use refusal::{CloseReason, Refusal};
pub use relay_frame::{Limits, OpenDocument, RelayFrame, Start};
pub use replica::{Change, Replica, RestoreError, Saved, Transaction};
pub use snapshot_info::{SNAPSHOT_BYTES_MAX, SnapshotHash, SnapshotInfo};

/// The subprotocol of the WebSocket (RFC 6455, section 1.9).
pub const SUBPROTOCOL: &str = "selvedge-sync.1";

/// The only version of the session there is.
pub const VERSION: u8 = 1;

/// Bytes of a message, at most.
pub const MESSAGE_BYTES_MAX: usize = RECORD_BYTES_MAX + 64;

/// Bytes of a capability token, at most.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Bytes of a piece of a snapshot, at most.
pub const PIECE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a device's presence, at most.
pub const PRESENCE_BYTES_MAX: usize = 4096;

/// Replicas that one OPEN asks after, at most.
pub const REPLICAS_MAX: usize = 1024;

/// Bytes of the largest OPEN, about: before a token opened something, a relay takes no larger message.
pub const OPEN_BYTES_MAX: usize = TOKEN_BYTES_MAX + 16 * REPLICAS_MAX + 512;

/// The channel of the connection itself; documents have channels from 1.
pub const CONNECTION: u32 = 0;
