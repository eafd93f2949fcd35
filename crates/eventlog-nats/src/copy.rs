//! The copy of the log's files on the disk of this machine.
//!
//! It never holds what the server does not have. It is not synced with every group: after a power cut
//! it is brought up to date from where it was surely written, which a file beside it remembers.

use std::{collections::BTreeSet, io, sync::Arc};

use selvedge_eventlog::{Disk, File, is_derived};
use serde_json::{Value, json};

use crate::operation::{Operation, Stamp};

/// The file that says which stream of the server this is a copy of, and how much of it.
pub(crate) const MARK: &str = "journal";
const MARK_DRAFT: &str = "journal.draft";
/// What is applied at most before it is synced: so much is read again after a power cut.
const UNSETTLED_MAX: usize = 32 << 20;

/// Which stream of the server: its name, and when it was made, so that one made anew is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) stream: String,
    pub(crate) created: String,
}

/// A message of the stream, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Its sequence; 0 is before the first.
    pub(crate) sequence: u64,
    pub(crate) stamp: Stamp,
}

impl Position {
    pub(crate) const START: Self = Self { sequence: 0, stamp: Stamp { writer: 0, ordinal: 0 } };
}

/// What a folder holds before it is opened as a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A log that is a copy of no stream.
    Log,
    Copy {
        of: Identity,
        settled: Position,
    },
}

impl Found {
    /// How many messages of a stream are surely copied, if it is a copy.
    pub(crate) fn known(&self) -> Option<u64> {
        match self {
            Self::Copy { settled, .. } => Some(settled.sequence),
            Self::Nothing | Self::Log => None,
        }
    }
}

/// Looks at what a folder holds.
pub(crate) fn look(disk: &dyn Disk) -> io::Result<Found> {
    let names = disk.list()?;
    if names.iter().any(|name| name == MARK) {
        let (of, settled) = read_mark(disk)?;
        return Ok(Found::Copy { of, settled });
    }
    let has_files = names.iter().any(|name| name != MARK_DRAFT);
    Ok(if has_files { Found::Log } else { Found::Nothing })
}

/// The copy while it follows its stream.
pub(crate) struct Copy {
    disk: Arc<dyn Disk>,
    of: Identity,
    /// The last message that was applied.
    reached: Position,
    /// Files that were changed since the last sync, and by how many bytes.
    unsettled: BTreeSet<String>,
    unsettled_bytes: usize,
    /// A sync failed: what it was to make durable may be lost, and counts as synced. The next start does
    /// all of it again.
    doubtful: bool,
    /// The file that was written last.
    open: Option<(String, Arc<dyn File>)>,
}

impl Copy {
    /// Takes up a copy where it surely is, or begins one.
    pub(crate) fn new(disk: Arc<dyn Disk>, of: Identity, settled: Position) -> Self {
        let unsettled = BTreeSet::new();
        let (doubtful, open) = (false, None);
        Self { disk, of, reached: settled, unsettled, unsettled_bytes: 0, doubtful, open }
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn reached(&self) -> Position {
        self.reached
    }

    /// Says that everything up to a message is applied, and syncs when much was.
    pub(crate) fn reach(&mut self, position: Position) -> io::Result<()> {
        self.reached = position;
        if self.unsettled_bytes > UNSETTLED_MAX { self.settle() } else { Ok(()) }
    }

    /// Does what a message says. Doing it again changes nothing when all that came after it is done again
    /// too, so what it wants to change may have been removed or renamed since.
    pub(crate) fn apply(&mut self, operation: &Operation) -> io::Result<()> {
        self.unsettled.extend(operation.names().map(str::to_owned));
        self.unsettled_bytes += operation.weight();
        match operation {
            Operation::Write { name, offset, bytes } => self.file(name)?.write_at(*offset, bytes),
            Operation::Reserve { name, length } => self.file(name)?.reserve(*length),
            Operation::Cut { name, length } => self.file(name)?.set_len(*length),
            Operation::Create { name } => {
                self.open = Some((name.clone(), self.disk.create(name)?));
                Ok(())
            }
            Operation::Rename { from, to } => {
                self.open = None;
                unless_missing(self.disk.rename(from, to))
            }
            Operation::Remove { name } => {
                self.open = None;
                unless_missing(self.disk.remove(name))
            }
            Operation::Hold { .. } => Ok(()),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<Arc<dyn File>> {
        if let Some((_, file)) = self.open.as_ref().filter(|(open, _)| open == name) {
            return Ok(Arc::clone(file));
        }
        let file = match self.disk.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(name)?,
            opened => opened?,
        };
        self.open = Some((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    /// Makes durable here what was applied, and remembers how much that is.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if self.doubtful {
            return Err(io::Error::other("an earlier sync of the log's copy failed"));
        }
        self.try_settle().inspect_err(|_| self.doubtful = true)
    }

    fn try_settle(&mut self) -> io::Result<()> {
        for name in &self.unsettled {
            unless_missing(self.disk.open(name).and_then(|file| file.sync_data()))?;
        }
        self.disk.sync_dir()?;
        write_mark(self.disk.as_ref(), &self.of, self.reached)?;
        self.unsettled.clear();
        self.unsettled_bytes = 0;
        Ok(())
    }

    /// Files of the log here, without those that are made from others.
    pub(crate) fn files(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.retain(|name| !is_own(name) && !is_derived(name));
        Ok(names)
    }
}

/// Whether a file is this module's and not the log's.
pub(crate) fn is_own(name: &str) -> bool {
    name == MARK || name == MARK_DRAFT
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn write_mark(disk: &dyn Disk, of: &Identity, settled: Position) -> io::Result<()> {
    let Position { sequence, stamp: Stamp { writer, ordinal } } = settled;
    let mark = json!({
        "version": 1,
        "stream": of.stream,
        "created": of.created,
        "sequence": sequence,
        "writer": writer,
        "ordinal": ordinal,
    });
    let file = disk.create(MARK_DRAFT)?;
    file.write_at(0, format!("{mark}\n").as_bytes())?;
    file.sync_data()?;
    disk.rename(MARK_DRAFT, MARK)?;
    disk.sync_dir()
}

fn read_mark(disk: &dyn Disk) -> io::Result<(Identity, Position)> {
    let file = disk.open(MARK)?;
    let mut bytes = vec![0; usize::try_from(file.length()?.min(4096)).unwrap_or(0)];
    let length = file.read_at(0, &mut bytes)?;
    let mark: Value = serde_json::from_slice(&bytes[..length])?;
    let text = |name: &str| mark[name].as_str().map(str::to_owned);
    let number = |name: &str| mark[name].as_u64();
    let read = || {
        let of = Identity { stream: text("stream")?, created: text("created")? };
        let stamp = Stamp { writer: number("writer")?, ordinal: number("ordinal")? };
        (number("version")? == 1).then_some((of, Position { sequence: number("sequence")?, stamp }))
    };
    let unread =
        || io::Error::new(io::ErrorKind::InvalidData, "the file `journal` is not understood");
    read().ok_or_else(unread)
}
