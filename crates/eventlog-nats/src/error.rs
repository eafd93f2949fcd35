//! Why a log cannot be opened on its servers.

use std::{fmt, io};

use crate::copy::MARK;

/// Why the log could not be opened. What is stored stays as it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the copy open.
    InUse,
    /// The folder of the copy refused.
    Folder {
        /// What was being done.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// No server answers, or none lets us in.
    Unreachable(String),
    /// The server does not do what was asked.
    Refused {
        /// What was being done.
        step: &'static str,
        /// What it said.
        reason: String,
    },
    /// The stream of this name is not fit to keep a log.
    Unfit(String),
    /// The server ends before what this copy has: it lost what it had acknowledged.
    Lost {
        /// Messages that were acknowledged.
        acknowledged: u64,
        /// Messages that there are.
        found: u64,
    },
    /// Copy and stream are not of the same log.
    Foreign(&'static str),
    /// A message of the stream is not what was sent.
    Damaged {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Others write all the time.
    Contended,
    /// The log itself could not be opened.
    Log(selvedge_eventlog::OpenError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => out.write_str("another process has the copy of the log open"),
            Self::Folder { step, source } => write!(out, "{step}: {source}"),
            Self::Unreachable(reason) => write!(out, "no server of NATS can be reached: {reason}"),
            Self::Refused { step, reason } => write!(out, "{step}: {reason}"),
            Self::Unfit(reason) => write!(out, "the stream cannot keep a log: {reason}"),
            Self::Lost { acknowledged, found } => write!(
                out,
                "the server has {found} messages of the log and had acknowledged {acknowledged}: it lost some, as one \
                 does that does not sync. The copy here has them: to go on from it, delete the stream, and the file \
                 `{MARK}` of the copy"
            ),
            Self::Foreign(reason) => out.write_str(reason),
            Self::Damaged { sequence, what } => {
                write!(out, "message {sequence} of the stream is damaged: {what}")
            }
            Self::Contended => out.write_str("somebody else writes to the stream, again and again"),
            Self::Log(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { source, .. } => Some(source),
            Self::Log(error) => error.source(),
            _ => None,
        }
    }
}

/// Turns an error of the folder into one of opening, with the step that failed.
pub(crate) fn folder(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Folder { step, source }
}
