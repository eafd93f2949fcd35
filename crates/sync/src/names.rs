//! What documents and snapshots are called in the log that they share with others.

use selvedge_crdt::session::{DocumentId, SnapshotHash};

/// How names of documents begin.
pub(crate) const DOCUMENTS: &str = "sync/doc/";
/// How names of snapshots begin.
const SNAPSHOTS: &str = "sync/snap/";
/// How names of documents' keys begin.
const KEYS: &str = "sync/keys/";

/// The stream of a document's records.
pub(crate) fn document(id: &DocumentId) -> String {
    format!("{DOCUMENTS}{id}")
}

/// The stream of a document's keys: they stay when its log is cut.
pub(crate) fn keys(id: &DocumentId) -> String {
    format!("{KEYS}{id}")
}

/// How the streams begin of all documents of a tenant.
pub(crate) fn tenant(tenant: &str) -> String {
    format!("{DOCUMENTS}{tenant}/")
}

/// How the streams of a document's snapshots begin: no name has a `#`.
pub(crate) fn snapshots(of: &DocumentId) -> String {
    format!("{SNAPSHOTS}{of}#")
}

/// The stream of a snapshot's bytes.
pub(crate) fn snapshot(of: &DocumentId, hash: &SnapshotHash) -> String {
    format!("{}{hash}", snapshots(of))
}
