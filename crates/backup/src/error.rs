//! What can go wrong, and what a caller does next about it.

use std::{fmt, io, path::PathBuf};

/// What a caller does next about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense, and stays so.
    Invalid,
    /// Something stored is damaged, missing, or of another version.
    Data,
    /// Something needed is not there at the moment, or somebody else is at work.
    Unavailable,
    /// It could not be done.
    Failed,
}

/// Why something could not be done with a backup.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The destination's name is none.
    Destination {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store did not do what it was asked.
    Store {
        /// The object, or the store itself.
        object: String,
        /// What it said.
        source: object_store::Error,
    },
    /// The store did not answer in time.
    Silent {
        /// The object.
        object: String,
    },
    /// A file or folder of this machine cannot be used.
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no backups in this place.
    Empty {
        /// The place.
        place: String,
    },
    /// There is no backup of this name.
    NoBackup {
        /// The name.
        name: String,
    },
    /// An object is not what its name says.
    Damaged {
        /// Which one.
        object: String,
    },
    /// An object that a backup needs is not there.
    Missing {
        /// Which one.
        object: String,
    },
    /// An object is whole, and yet not what it should be.
    Malformed {
        /// Which one.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// It was written by a later program.
    Version {
        /// The object that says so.
        object: String,
        /// Its version.
        version: u64,
    },
    /// Somebody else is at work in the store.
    Busy {
        /// Who, at what, and since when.
        by: String,
    },
    /// Somebody took us for dead and cleaned up, because we were silent for too long.
    Overtaken,
    /// Files went away again and again while they were copied.
    Restless,
    /// The log's files cannot be held on to, or not any more.
    Hold(String),
    /// What was restored is not what was backed up.
    Unproven(String),
}

impl Error {
    /// What a caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Destination { .. } => ErrorKind::Invalid,
            Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::Version { .. }
            | Self::Unproven(_) => ErrorKind::Data,
            Self::Store { .. }
            | Self::Silent { .. }
            | Self::Empty { .. }
            | Self::NoBackup { .. }
            | Self::Busy { .. }
            | Self::Hold(_) => ErrorKind::Unavailable,
            Self::File { .. } | Self::Overtaken | Self::Restless => ErrorKind::Failed,
        }
    }

    /// Whether what lies in the store cannot be read, and no other attempt would.
    pub(crate) fn is_fault(&self) -> bool {
        self.kind() == ErrorKind::Data
    }

    /// The object that is damaged, if one is.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Damaged { object }
            | Self::Missing { object }
            | Self::Malformed { object, .. }
            | Self::Version { object, .. } => Some(object),
            _ => None,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn malformed(object: &str, reason: impl fmt::Display) -> Self {
        Self::Malformed { object: object.to_owned(), reason: reason.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination { text, reason } => write!(f, "`{text}` is no destination: {reason}"),
            Self::Store { object, .. } => write!(f, "the store cannot be used ({object})"),
            Self::Silent { object } => write!(f, "the store does not answer ({object})"),
            Self::File { path, .. } => write!(f, "{} cannot be used", path.display()),
            Self::Empty { place } => write!(f, "there are no backups in {place}"),
            Self::NoBackup { name } => {
                write!(f, "there is no backup {name}; `selvedge backup list` shows which there are")
            }
            Self::Damaged { object } => {
                write!(f, "{object} is damaged: its content is not what was stored")
            }
            Self::Missing { object } => write!(f, "{object} is missing"),
            Self::Malformed { object, reason } => write!(f, "{object} is malformed: {reason}"),
            Self::Version { object, version } => {
                write!(f, "{object} has version {version}; this program knows version 1")
            }
            Self::Busy { by } => write!(f, "somebody else is at work there: {by}"),
            Self::Overtaken => f.write_str(
                "this backup was silent for so long that it was taken for dead; make it again",
            ),
            Self::Restless => f.write_str(
                "files went away again and again while they were copied; make the backup again",
            ),
            Self::Hold(reason) => write!(f, "the log cannot be held on to: {reason}"),
            Self::Unproven(what) => write!(f, "what was restored is not in order: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store { source, .. } => Some(source),
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
