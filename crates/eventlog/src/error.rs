//! What can go wrong, one enum per operation.

use std::{fmt, io, sync::Arc};

use crate::StreamId;

/// What a caller does next about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again later.
    Retry,
    /// The request is wrong and stays so.
    Invalid,
    /// The state of the stream is not what the caller expects.
    Conflict,
    /// There is no such stream or record.
    Missing,
    /// The log takes no appends until somebody acts.
    Unavailable,
    /// Stored bytes are damaged.
    Data,
}

/// Why a batch is not in the log. Unless it says otherwise, it never will be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The stream does not exist, or not any more.
    NoStream(StreamId),
    /// A stream of this name exists.
    Exists(StreamId),
    /// The stream is closed, and ends here.
    Closed {
        /// Its next sequence, if it had one.
        tail: u64,
    },
    /// Somebody appended meanwhile.
    Tail {
        /// Where the caller thought the stream ends.
        expected: u64,
        /// Where it ends.
        tail: u64,
    },
    /// Another instance of the producer took over.
    Fenced {
        /// Its epoch.
        epoch: u64,
    },
    /// The producer skipped batches.
    Gap {
        /// The sequence that comes next.
        expected: u64,
        /// The sequence that came.
        received: u64,
    },
    /// A new epoch begins with another sequence than 0.
    EpochStart {
        /// The sequence that came.
        received: u64,
    },
    /// Something is longer than its bound.
    TooLarge {
        /// What is too long: `record`, `batch`, `name` or `metadata`.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// There are as many streams as there may be.
    TooManyStreams {
        /// The bound.
        max: usize,
    },
    /// The batch contradicts itself.
    Invalid(&'static str),
    /// As much is pending as may be.
    Overloaded,
    /// The disk has no room. Appends work again when there is room.
    DiskFull,
    /// The log stopped taking appends, until it is opened again. Whether this batch is in it is open.
    ReadOnly(Arc<str>),
    /// The log was closed before the batch was written.
    ShutDown,
}

impl AppendError {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoStream(_) => ErrorKind::Missing,
            Self::Exists(_)
            | Self::Closed { .. }
            | Self::Tail { .. }
            | Self::Fenced { .. }
            | Self::Gap { .. } => ErrorKind::Conflict,
            Self::EpochStart { .. } | Self::TooLarge { .. } | Self::Invalid(_) => {
                ErrorKind::Invalid
            }
            Self::TooManyStreams { .. } | Self::Overloaded | Self::DiskFull => ErrorKind::Retry,
            Self::ReadOnly(_) | Self::ShutDown => ErrorKind::Unavailable,
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoStream(stream) => write!(out, "there is no stream {}", stream.get()),
            Self::Exists(stream) => write!(out, "stream {} has this name", stream.get()),
            Self::Closed { tail } => write!(out, "the stream is closed at {tail}"),
            Self::Tail { expected, tail } => {
                write!(out, "the stream ends at {tail}, and not at {expected}")
            }
            Self::Fenced { epoch } => write!(out, "the producer's epoch is {epoch} by now"),
            Self::Gap { expected, received } => {
                write!(out, "the producer's next sequence is {expected}, and not {received}")
            }
            Self::EpochStart { received } => {
                write!(out, "a producer's epoch begins with sequence 0, and not {received}")
            }
            Self::TooLarge { what, length, max } => {
                write!(out, "a {what} of {length} bytes is longer than {max}")
            }
            Self::TooManyStreams { max } => write!(out, "there are {max} streams already"),
            Self::Invalid(reason) => out.write_str(reason),
            Self::Overloaded => out.write_str("too much is waiting to be written"),
            Self::DiskFull => out.write_str("the disk is full"),
            Self::ReadOnly(reason) => write!(out, "the log is read-only: {reason}"),
            Self::ShutDown => out.write_str("the log is closed"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why records could not be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream does not exist, or not any more.
    NoStream(StreamId),
    /// The records are given up.
    Trimmed {
        /// The first sequence that is still there.
        start: u64,
    },
    /// The position lies behind the stream's end.
    BeyondTail {
        /// The stream's next sequence.
        tail: u64,
    },
    /// Stored bytes are not what was written. Nothing of them is given out.
    Damaged {
        /// The segment file.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// The disk refused.
    Disk {
        /// The segment file.
        file: String,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// As many reads wait as may.
    Overloaded,
}

impl ReadError {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoStream(_) | Self::Trimmed { .. } => ErrorKind::Missing,
            Self::BeyondTail { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Data,
            Self::Disk { .. } => ErrorKind::Unavailable,
            Self::Overloaded => ErrorKind::Retry,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoStream(stream) => write!(out, "there is no stream {}", stream.get()),
            Self::Trimmed { start } => write!(out, "the stream begins at {start} by now"),
            Self::BeyondTail { tail } => write!(out, "the stream ends at {tail}"),
            Self::Damaged { file, offset } => write!(out, "{file} is damaged at byte {offset}"),
            Self::Disk { file, source } => write!(out, "{file} cannot be read: {source}"),
            Self::Overloaded => out.write_str("too many reads are waiting"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// Why a log could not be opened. What is stored stays as it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the log open.
    InUse,
    /// The disk refused.
    Disk {
        /// What was being done.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A file is of a version that this program does not know.
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
    /// Records that were acknowledged are damaged: they were durable, as what follows them says.
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The settings contradict each other.
    Settings(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::InUse => out.write_str("another process has the log open"),
            Self::Disk { step, source } => write!(out, "{step}: {source}"),
            Self::Version { file, version } => {
                write!(out, "{file} has version {version}; this program knows version 1")
            }
            Self::Damaged { file, offset, what } => write!(
                out,
                "{file} is damaged at byte {offset}: {what}; restore the log from a copy"
            ),
            Self::Settings(reason) => out.write_str(reason),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Turns an error of the disk into one of opening, with the step that failed.
pub(crate) fn opening(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Disk { step, source }
}
