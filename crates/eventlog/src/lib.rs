//! An append-only log of many streams, which never loses a record that it said is safe.
//!
//! All streams share one sequence of segment files. One committer gathers what they append into one
//! write and one sync, and only then answers, shows it to readers and wakes followers: nobody ever
//! sees a record that a crash can undo. The bytes are described in `docs/reference/event-log-format.md`.
//!
//! It knows no runtime, no socket and no meaning of records. Futures of this crate run anywhere; a
//! thread without a runtime calls [`Ticket::wait`] or [`block_on`].
//!
//! ```
//! use selvedge_eventlog::{Append, Log, Settings, StreamOptions, block_on};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let log = Log::open(folder, Settings::default())?;
//! let orders = block_on(log.create("orders", StreamOptions::default()))?;
//! let committed = log.append(Append::to(orders).record(b"first").record(b"second")).wait()?;
//! assert_eq!(committed.placed.tail, 2);
//!
//! let mut follower = log.follow(orders, 1)?;
//! let chunk = block_on(follower.next())?;
//! assert_eq!(chunk.records().collect::<Vec<_>>(), [(1, "second".into())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod catalogue;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod core;
mod disk;
mod engine;
mod error;
mod follow;
mod format;
mod index;
mod log;
mod producers;
mod read;
mod recent;
mod settings;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod snapshot;
mod stream;
mod ticket;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use batch::{
    Append, Batch, Committed, Lsn, Placed, Producer, Retention, StreamId, StreamOptions,
};
pub use disk::{Disk, File, Folder, finished_name, is_derived};
pub use engine::EventLog;
pub use error::{AppendError, ErrorKind, OpenError, ReadError};
pub use follow::{Changed, Follower};
pub use log::{Log, StreamInfo};
pub use read::{Chunk, Slice};
pub use settings::Settings;
pub use snapshot::{Snapshot, SnapshotFile, whole_until};
pub use ticket::{Ticket, block_on};

/// Locks what stays consistent when a holder panics: every change under a lock is made last.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_locked<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write_locked<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
