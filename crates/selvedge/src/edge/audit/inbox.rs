//! Events of commands: a folder beside the spool, from which the running edge takes them.
//!
//! A command that changes something leaves an event here, durably, before it says that it is done. Edge
//! and core may run or not; the event is in the log when both do.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use selvedge_audit::{
    event::Event,
    spool::Spool,
    wire::{EVENT_BYTES_MAX, WireError},
};
use selvedge_telemetry::Level;

use super::{Office, now};
use crate::exit::chain;

/// Files taken in one go; the others wait for the next.
const TAKEN_MAX: usize = 64;
const FOLDER: &str = "inbox";
const ENDING: &str = "event";

/// The folder of events that commands leave.
#[derive(Debug)]
pub(crate) struct Inbox(PathBuf);

impl Inbox {
    /// That of an edge that keeps its spool in `dir`.
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.join(FOLDER))
    }

    /// Leaves an event; it is durable when this returns.
    pub(crate) fn leave(&self, event: &Event) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let folder = File::open(&self.0)?;
        let name = format!("{:020}-{}", event.time.0, std::process::id());
        let draft = self.0.join(format!("{name}.draft"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let (owner, own) = (folder.metadata()?, file.metadata()?);
        // The edge has to read and remove what somebody else left.
        if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(&event.to_wire())?;
        file.sync_all()?;
        // Unlike a rename, it takes nobody's place.
        let linked = fs::hard_link(&draft, self.0.join(format!("{name}.{ENDING}")));
        fs::remove_file(&draft)?;
        linked?;
        folder.sync_all()
    }

    /// Brings what lies there into the spool. What cannot be read there is told of and goes as well.
    pub(super) fn pick_up(&self, spool: &Spool, office: &Office) {
        for path in self.waiting() {
            if let Err(why) = take(&path, spool) {
                let message = "audit: an event that a command left cannot be taken up";
                office.hub.event(Level::Warn, message, &[("file", &path.display()), ("why", &why)]);
                return;
            }
            office.tally.kept(1);
        }
    }

    /// The oldest first; none where there is no folder.
    fn waiting(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|it| it == ENDING)).collect();
        paths.sort_unstable();
        paths.truncate(TAKEN_MAX);
        paths
    }
}

fn take(path: &Path, spool: &Spool) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(EVENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let event = match Event::from_wire(&bytes) {
        Ok(_) => bytes,
        Err(error) => unreadable(&bytes, error),
    };
    // Its name makes it one event, however often we die before it is removed.
    spool.keep_once(&name, &event).map_err(|error| chain(&error))?;
    fs::remove_file(path).map_err(|error| error.to_string())
}

fn unreadable(bytes: &[u8], error: WireError) -> Vec<u8> {
    Event::instead_of(bytes, &error, now()).to_wire()
}

#[cfg(test)]
mod tests {
    use selvedge_audit::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_left_is_taken_once_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 1 << 20, Timestamp(1)).unwrap();
        let inbox = Inbox::of(folder.path());
        assert!(inbox.waiting().is_empty());
        let event = |time| Event::by_system(Timestamp(time), "key.create", ("key", "k"));
        inbox.leave(&event(20)).unwrap();
        inbox.leave(&event(3)).unwrap();
        assert!(inbox.leave(&event(3)).is_err(), "nothing takes the place of another");
        fs::write(inbox.0.join("4.event"), "{").unwrap();
        fs::write(inbox.0.join("5.draft"), "{").unwrap();
        for path in inbox.waiting() {
            take(&path, &spool).unwrap();
        }
        let told = spool.next().unwrap().unwrap().events;
        let told: Vec<_> = told.iter().map(|event| Event::from_wire(event).unwrap()).collect();
        assert_eq!(told[0], event(3));
        assert_eq!(told[1], event(20));
        assert_eq!(told[2].action, "audit.refuse");
        assert!(inbox.waiting().is_empty());
    }
}
