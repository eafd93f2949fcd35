use std::{error::Error, fmt};

use crate::{ledger::Broken, wire::TooLong};

/// Why nothing was sent. Nothing has changed by it, except that a verdict which cannot be sent abandons
/// its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The agent is not ready yet, or the connection is over.
    NotReady,
    /// The connection takes no new streams.
    Draining,
    /// As many streams are open as the agent serves.
    Full,
    /// So much waits for an agent that does not read that nothing more is sent.
    Backlog,
    /// It does not fit a frame that the agent takes.
    TooLarge,
    /// The stream is over.
    Closed,
    /// There is no room for it yet: more credit makes some, and a verdict to the oldest frame of a tunnel.
    NoCredit,
    /// The agent has said all it has to say to this event.
    Answered,
    /// The agent did not ask for it, or the protocol does not allow it now; the text says what.
    Refused(&'static str),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "the agent is not ready",
            Self::Draining => "the connection takes no new streams",
            Self::Full => "as many streams are open as the agent serves",
            Self::Backlog => "the agent does not read",
            Self::TooLarge => "it does not fit a frame",
            Self::Closed => "the stream is over",
            Self::NoCredit => "there is no room for it yet",
            Self::Answered => "the event is answered",
            Self::Refused(what) => what,
        })
    }
}

impl Error for SendError {}

impl From<TooLong> for SendError {
    fn from(_: TooLong) -> Self {
        Self::TooLarge
    }
}

impl From<Broken> for SendError {
    fn from((_, what): Broken) -> Self {
        Self::Refused(what)
    }
}
