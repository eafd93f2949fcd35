//! Backups of a core's data, so that a lost machine is a lost hour.
//!
//! A backup is a manifest over immutable objects that are called by the digest of their bytes; the next
//! one sends what is new. The crate owns that format, which outlives the program, and keeps the client of
//! S3-compatible stores out of everybody else's build. It does not know who asks, where a running core
//! listens, or how a terminal looks: [`Hold`] is how it has the log's files kept, [`Progress`] what it tells.
//!
//! ```
//! use selvedge_backup::{Create, Stopped, Store, Trusted, create, restore};
//! use selvedge_eventlog::{Append, Log, Settings, StreamOptions, block_on};
//!
//! # let (data, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let (data, other) = (data.path(), other.path());
//! let log = Log::open(&data.join("log"), Settings::default())?;
//! let orders = block_on(log.create("orders", StreamOptions::default()))?;
//! log.append(Append::to(orders).record(b"first")).wait()?;
//! drop(log);
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let store = Store::in_memory();
//! let made = create(&store, &Create::of(data), &mut Stopped::open(data)?, &mut |_| ()).await?;
//! let back = restore(&store, None, other, &Trusted::default(), &mut |_| ()).await?;
//! assert_eq!(back.backup, made.backup);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//!
//! let log = Log::open(&other.join("log"), Settings::default())?;
//! assert_eq!(log.read(orders, 0, 1)?.records().count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod busy;
mod catalog;
mod create;
mod digest;
mod error;
mod fetch;
mod gather;
mod manifest;
mod moment;
mod newest;
mod prune;
mod restore;
mod store;
mod upload;
mod verify;

pub use audit::{Proven, Trusted};
pub use catalog::{Backup, all, find, names};
pub use create::{Create, Created, create};
pub use digest::{Digest, NoDigest};
pub use error::{Error, ErrorKind};
pub use manifest::{AuditMark, Damage, Folder, LogMark, Manifest};
pub use moment::{Hold, LOG, Moment, MomentFile, Stopped};
pub use newest::KeysIncluded;
pub use prune::{Pruned, Unreadable, prune};
pub use restore::{Restored, restore};
pub use store::{Destination, Store};
pub use verify::{Fault, Verified, verify};

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes, or objects, that are done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
    /// Bytes that went to the store.
    pub sent: u64,
}
