//! Where the event log is kept: on the disk of this machine, or by servers of NATS with a copy here.

use std::path::Path;

use selvedge_config::CoreProcess;
use selvedge_eventlog::{Log, OpenError, Settings};

use crate::exit::{Exit, Failure, chain};

/// The folder of a log in the data-dir that is kept here alone.
const LOG: &str = "log";
/// The folder of the copy of a log that is kept by NATS.
const COPY: &str = "log-nats";
/// The file by which a folder is known as a copy.
const MARK: &str = "journal";

/// The log, and who keeps it.
#[derive(Clone)]
pub(in crate::core) struct Kept {
    log: Log,
    #[cfg(feature = "nats")]
    nats: Option<selvedge_eventlog_nats::NatsLog>,
}

impl Kept {
    /// Opens the log; what was torn when the last core died is put right first. Blocks.
    pub(in crate::core) fn open(process: &CoreProcess) -> Result<Self, Failure> {
        find_forgotten(&process.data_dir, process.nats.is_some())?;
        match &process.nats {
            #[cfg(feature = "nats")]
            Some(nats) => nats::open(&process.data_dir, nats),
            #[cfg(not(feature = "nats"))]
            Some(_) => Err(Failure::new(Exit::Config, NOT_BUILT_IN)),
            None => Self::open_here(&process.data_dir),
        }
    }

    fn open_here(data_dir: &Path) -> Result<Self, Failure> {
        let opened = Log::open(&data_dir.join(LOG), bounds());
        let log = opened.map_err(|error| not_opened(&error))?;
        Ok(Self {
            log,
            #[cfg(feature = "nats")]
            nats: None,
        })
    }

    pub(in crate::core) fn log(&self) -> &Log {
        &self.log
    }

    /// Why nothing is written at present, if nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        #[cfg(feature = "nats")]
        if let Some(trouble) = self.nats.as_ref().and_then(|nats| nats.trouble()) {
            return Some(trouble);
        }
        self.log.fault().map(|fault| fault.to_string())
    }

    /// Why what is acknowledged may be lost all the same, if it may.
    pub(in crate::core) fn doubt(&self) -> Option<String> {
        #[cfg(feature = "nats")]
        if let Some(nats) = &self.nats
            && let selvedge_eventlog_nats::Durability::Doubtful(doubt) = nats.durability()
        {
            return Some(doubt.clone());
        }
        None
    }

    /// Lets appends that wait for servers that are away fail, so that the core can end.
    pub(super) fn leave(&self) {
        #[cfg(feature = "nats")]
        if let Some(nats) = &self.nats {
            nats.leave();
        }
    }
}

/// What is said of a config with NATS by a program without.
pub(crate) const NOT_BUILT_IN: &str = "the config keeps the log on NATS, and this program was built without it: build it with `--features nats`";

/// Records may be as large as the relay's.
fn bounds() -> Settings {
    Settings { record_bytes_max: selvedge_sync::RECORD_BYTES_MAX, ..Settings::default() }
}

fn not_opened(error: &OpenError) -> Failure {
    Failure::new(exit_of(error), format!("the log cannot be opened: {}", chain(error)))
}

fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Damaged { .. } | OpenError::Version { .. } => Exit::Data,
        _ => Exit::Unavailable,
    }
}

/// A log that lies where this config does not look is not forgotten in silence.
fn find_forgotten(data_dir: &Path, on_nats: bool) -> Result<(), Failure> {
    let is_there = |name: &str| data_dir.join(name).exists();
    let at = data_dir.display();
    let forgotten = match (on_nats, is_there(LOG), is_there(COPY)) {
        (true, true, false) => format!(
            "the config keeps the log on NATS, and {at}/{LOG} is a log that is kept here alone: rename it to {COPY}, and \
             it is sent at the next start; or move it away"
        ),
        (false, false, true) => format!(
            "{at}/{COPY} is the copy of a log that is kept on NATS, which the config does not name: write `log {{ nats … }}` \
             again; or, to keep the log here from now on, rename it to {LOG} and delete the file {MARK} in it"
        ),
        (false, true, _) if data_dir.join(LOG).join(MARK).exists() => format!(
            "{at}/{LOG} is marked as the copy of a log that is kept on NATS: delete the file {MARK} in it to keep the log \
             here from now on"
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::Unavailable, forgotten))
}

#[cfg(feature = "nats")]
mod nats {
    use std::path::Path;

    use selvedge_config::{CoreNats, CoreNatsLogin};
    use selvedge_eventlog_nats::{Login, NatsLog, OpenError, Settings, Tls};

    use super::{COPY, Kept, bounds, exit_of};
    use crate::exit::{Exit, Failure, chain};

    pub(super) fn open(data_dir: &Path, nats: &CoreNats) -> Result<Kept, Failure> {
        let opened = NatsLog::open(&data_dir.join(COPY), bounds(), settings(nats));
        let nats = opened.map_err(|error| {
            let exit = match &error {
                OpenError::Lost { .. } | OpenError::Damaged { .. } | OpenError::Foreign(_) => {
                    Exit::Data
                }
                OpenError::Log(error) => exit_of(error),
                _ => Exit::Unavailable,
            };
            Failure::new(exit, format!("the log on NATS cannot be opened: {}", chain(&error)))
        })?;
        Ok(Kept { log: nats.log().clone(), nats: Some(nats) })
    }

    fn settings(nats: &CoreNats) -> Settings {
        let CoreNats { servers, stream, replicas, login, ca, identity, sync_always, monitors } =
            nats.clone();
        let login = match login {
            CoreNatsLogin::Anonymous => Login::Anonymous,
            CoreNatsLogin::Password { user, password } => Login::Password { user, password },
            CoreNatsLogin::Token(token) => Login::Token(token),
        };
        let tls = Tls { ca, identity };
        Settings { servers, stream, replicas, login, tls, sync_always, monitors }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check(folders: &[&str], on_nats: bool, expected: Option<&str>) {
        let data_dir = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(data_dir.path().join(folder)).unwrap();
        }
        let found = find_forgotten(data_dir.path(), on_nats).err().map(|failure| failure.text);
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?}, and not {expected:?}"),
        }
    }

    #[test]
    fn no_log_is_forgotten() {
        check(&[], false, None);
        check(&[], true, None);
        check(&["log"], false, None);
        check(&["log-nats"], true, None);
        check(&["log", "log-nats"], true, None);
        check(&["log", "log-nats"], false, None);
        check(&["log"], true, Some("rename it to log-nats"));
        check(&["log-nats"], false, Some("rename it to log"));
        check(&["log/journal"], false, Some("marked as the copy"));
    }
}
