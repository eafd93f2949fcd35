//! A request that was answered by a process behind the edge: one span below the edge's.

use crate::{exchange::Timings, trace::TraceContext};

/// A request that a service answered.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The trace it belongs to; its parent is whoever sent the request here.
    pub trace: &'a TraceContext,
    /// When it came and when the last byte of its answer went.
    pub timings: &'a Timings,
    /// Request method, as sent.
    pub method: &'a [u8],
    /// Path, as sent.
    pub path: &'a [u8],
    /// What answered, of few names: `/_selvedge/streams`.
    pub route: &'a str,
    /// Status of the answer. `None`: whoever asked left before there was one.
    pub status: Option<u16>,
    /// What else is to be known, by names that begin with `selvedge.`.
    pub facts: &'a [(&'a str, &'a str)],
}
