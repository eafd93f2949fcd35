//! The event log on NATS JetStream: what was acknowledged survives the machine that the core runs on.
//!
//! A [`Log`] writes files. Here its disk is a stream of JetStream: what the log syncs is published, and
//! is acknowledged when the servers have it; a copy of the files lies in a folder, from which everything
//! is read. Everything that a log promises on a disk it therefore promises here: batches over several
//! streams, gapless numbers, producers. What the servers promise is their word, and how they are to be run
//! for it is in `docs/guide/at-scale.md`.
//!
//! It knows nothing of records, streams of the log, or who calls: it sees files and bytes.
//!
//! ```no_run
//! use selvedge_eventlog::Settings as Bounds;
//! use selvedge_eventlog_nats::{NatsLog, Settings};
//!
//! let settings = Settings::new(vec!["nats://127.0.0.1:4222".to_owned()]);
//! let nats = NatsLog::open("data/log-nats".as_ref(), Bounds::default(), settings)?;
//! println!("{}", nats.durability());
//! let streams = nats.log().list("", "", 100);
//! # Ok::<(), selvedge_eventlog_nats::OpenError>(())
//! ```

mod copy;
mod error;
mod link;
mod mirror;
mod monitor;
mod operation;
mod restore;
mod session;
mod settings;
#[cfg(test)]
mod sim;
mod standing;

use std::{io, path::Path, sync::Arc};

use selvedge_eventlog::{Disk, Folder, Log};

pub use error::OpenError;
pub use monitor::Durability;
pub use settings::{Login, Settings, Tls};

use self::{error::folder, link::Link, mirror::Mirror, standing::Standing};

/// A log whose files are kept by JetStream, with a copy of them in a folder.
#[derive(Clone)]
pub struct NatsLog {
    log: Log,
    standing: Arc<Standing>,
    durability: Durability,
}

impl NatsLog {
    /// Connects, brings the copy up to date, takes the log over from whoever had it, and opens it. Blocks.
    pub fn open(
        path: &Path,
        bounds: selvedge_eventlog::Settings,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let disk = Folder::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => folder("opening the folder of the log's copy")(error),
        })?;
        Self::open_on(Arc::new(disk), bounds, settings)
    }

    /// Does the same with a copy on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        bounds: selvedge_eventlog::Settings,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let found = copy::look(disk.as_ref()).map_err(folder("looking at the log's copy"))?;
        let link = Arc::new(Link::open(settings, found.known())?);
        let copy = restore::restore(disk, found, link.as_ref())?;
        let (standing, durability) = (Arc::clone(link.standing()), link.hello().durability.clone());
        let log =
            Log::open_on(Arc::new(Mirror::new(copy, link)), bounds).map_err(OpenError::Log)?;
        Ok(Self { log, standing, durability })
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Why nothing is written at present, if nothing is.
    pub fn trouble(&self) -> Option<String> {
        self.standing.trouble()
    }

    /// Whether what is acknowledged survives a power cut of the servers.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// Lets appends that wait for servers that are away fail, so that the process can end.
    pub fn leave(&self) {
        self.standing.leave();
    }
}
