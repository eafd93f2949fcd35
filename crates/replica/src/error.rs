//! Why documents are not to be had.

use std::{error::Error, fmt, io, path::PathBuf};

use selvedge_crdt::session::{DocumentId, RestoreError};

/// Why documents cannot be read or stored.
#[derive(Debug)]
pub enum StoreError {
    /// The folder, or a file in it, cannot be used.
    Folder(PathBuf, io::Error),
    /// Another process has the document.
    Busy(PathBuf),
    /// What is to be the device's secret is something else.
    Device(PathBuf),
    /// Another version of Selvedge wrote it.
    Version(i32),
    /// There is no such document.
    Unknown(DocumentId),
    /// There is such a document already.
    Exists(DocumentId),
    /// What was stored is damaged.
    Damaged(RestoreError),
    /// SQLite says so.
    Sqlite(rusqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Folder(path, error) => {
                write!(f, "{} cannot be used: {error}", path.display())
            }
            StoreError::Busy(path) => {
                write!(f, "another process is at work with the document in {}", path.display())
            }
            StoreError::Device(path) => {
                write!(f, "{} is no device's secret: 64 hexadecimal digits", path.display())
            }
            StoreError::Version(version) => {
                write!(
                    f,
                    "the document was stored by another version of Selvedge (format {version})"
                )
            }
            StoreError::Unknown(document) => write!(f, "there is no document {document} here"),
            StoreError::Exists(document) => write!(f, "the document {document} is here already"),
            StoreError::Damaged(error) => write!(f, "the document is damaged: {error}"),
            StoreError::Sqlite(error) => {
                write!(f, "the document cannot be read or stored: {error}")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Folder(_, error) => Some(error),
            StoreError::Damaged(error) => Some(error),
            StoreError::Sqlite(error) => Some(error),
            StoreError::Busy(_)
            | StoreError::Device(_)
            | StoreError::Version(_)
            | StoreError::Unknown(_)
            | StoreError::Exists(_) => None,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Sqlite(error)
    }
}
