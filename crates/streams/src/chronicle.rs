//! Who is told of streams that are made and that end, in the batch that does it.

use http::{HeaderMap, header};
use selvedge_eventlog::{Append, StreamId};
use selvedge_identity::Caller;

use crate::path;

/// Keeps a record of streams that are made and that end.
pub trait Chronicle: Send + Sync {
    /// Returns the step that tells of a change. It becomes part of the batch that does it: after a crash both are there, or
    /// neither is.
    ///
    /// It may block, and says to whoever runs this why it cannot tell.
    ///
    /// # Errors
    /// If it cannot tell of the change, which is not done then.
    fn step(&self, change: &Change) -> Result<Append, Untold>;
}

/// A change could not be told, and so it is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold;

/// What is about to be done.
#[derive(Debug, Clone)]
pub struct Change {
    /// What.
    pub what: What,
    /// The stream's number in the log. No two streams have the same, also of one path.
    pub stream: StreamId,
    /// Whose stream it is.
    pub tenant: Option<String>,
    /// Its path.
    pub path: String,
}

/// What may be done to a stream as a whole.
#[derive(Debug, Clone)]
pub enum What {
    /// Somebody makes it.
    Created(Author),
    /// Somebody deletes it.
    Deleted(Author),
    /// Its time is over.
    Expired,
}

/// Somebody who changes a stream.
#[derive(Debug, Clone)]
pub struct Author {
    /// Who it is.
    pub caller: Caller,
    /// What its program says it is.
    pub user_agent: Option<String>,
}

impl Change {
    pub(crate) fn new(what: What, stream: StreamId, name: &str) -> Self {
        Self { what, stream, tenant: path::owner(name), path: path::of(name).to_owned() }
    }
}

impl Author {
    pub(crate) fn new(caller: &Caller, fields: &HeaderMap) -> Self {
        let said = fields.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self { caller: caller.clone(), user_agent: said.map(str::to_owned) }
    }
}
