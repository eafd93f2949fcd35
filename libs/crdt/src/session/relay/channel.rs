//! One open document of a connection.

use super::{Grant, READ, Session};
use crate::session::{CloseReason, DocumentId, SnapshotHash};

/// An open document.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub id: u32,
    /// By which others know it.
    pub session: u64,
    pub document: DocumentId,
    pub grant: Grant,
    /// The offset that comes next.
    pub next: u64,
    pub mode: Mode,
    pub fetch: Option<Fetch>,
}

/// Where its records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Open was asked for, and not answered yet.
    Opening,
    /// As they become durable.
    Live,
    /// The document's keys come first, from this one on; then as [`Log`](Self::Log).
    Keys(u64),
    /// From the log, as it takes them.
    Log,
}

/// A snapshot that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub snapshot: SnapshotHash,
    pub at: u64,
    pub end: u64,
}

impl Channel {
    pub fn reads(&self) -> bool {
        self.grant.rights & READ != 0
    }

    /// Why it ends now, if it does.
    pub fn over(&self, now_ms: u64) -> Option<CloseReason> {
        (now_ms >= self.grant.expires_ms).then_some(CloseReason::Expired)
    }
}

impl Channel {
    /// As its document knows it.
    pub fn session(&self, device: crate::session::DeviceId) -> Session {
        Session { device, rights: self.grant.rights }
    }
}
