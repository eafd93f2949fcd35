//! A moment of a core's log that somebody holds on to.

use std::path::Path;

use selvedge_eventlog::{Log, Settings, Snapshot};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The log's folder in a data-dir.
pub const LOG: &str = "log";
/// The stream of audit entries.
const AUDIT: &str = selvedge_audit::service::STREAM;

/// What a copy of the log is made of. A running core says it in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The log's random name, in hexadecimal.
    pub log: String,
    /// Everything before this position is in the moment.
    pub durable: u64,
    /// Files of the log's folder: segments in their order, then catalogues.
    pub files: Vec<MomentFile>,
    /// The first audit entry that the log still has, if there is an audit log.
    pub audit_start: Option<u64>,
}

/// A file, and how many of its bytes count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentFile {
    /// Its name in the log's folder.
    pub name: String,
    /// How many of its bytes belong to the moment.
    pub length: u64,
}

/// Holds on to moments of a log.
pub trait Hold {
    /// Begins a moment, and lets go of the one before.
    fn take(&mut self) -> Result<Moment, Error>;

    /// Says that the moment is still wanted; called all the time. Where nobody hears it, files may go away:
    /// then the backup finds them missing, and begins with another moment.
    fn keep(&mut self);

    /// Lets go of the moment: all its files were read.
    fn release(&mut self);
}

impl Moment {
    /// What a snapshot of an open log is.
    pub fn of(log: &Log, snapshot: &Snapshot) -> Self {
        let files = snapshot.files().iter();
        let files =
            files.map(|file| MomentFile { name: file.name.clone(), length: file.length }).collect();
        // A stream only ever loses its beginning: what it has now, it had at the moment.
        let audit = log.stream(AUDIT).and_then(|stream| log.info(stream).ok());
        Self {
            log: data_encoding::HEXLOWER.encode(&snapshot.log()),
            durable: snapshot.durable().0,
            files,
            audit_start: audit.map(|audit| audit.start),
        }
    }
}

/// The log of a data-dir without a core: opened, and so recovered, for as long as the backup takes.
pub struct Stopped {
    log: Log,
    snapshot: Option<Snapshot>,
}

impl Stopped {
    /// Opens the log. The caller makes sure that no core starts meanwhile.
    pub fn open(data_dir: &Path) -> Result<Self, selvedge_eventlog::OpenError> {
        let log = Log::open(&data_dir.join(LOG), Settings::default())?;
        Ok(Self { log, snapshot: None })
    }
}

impl Hold for Stopped {
    fn take(&mut self) -> Result<Moment, Error> {
        let taken = self.log.snapshot().map_err(|error| Error::Hold(error.to_string()))?;
        let moment = Moment::of(&self.log, &taken);
        self.snapshot = Some(taken);
        Ok(moment)
    }

    fn keep(&mut self) {}

    fn release(&mut self) {
        self.snapshot = None;
    }
}
