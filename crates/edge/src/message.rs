//! Bodies in motion: what a source gives, what a sink takes, and the pump between them.

use std::{
    fmt, io,
    task::{Context, Poll, ready},
};

use selvedge_http1::{BodyError, Fields};

use crate::agent::sieve::Stopped;

/// Where a body comes from: a client's request, an upstream's response, a file.
pub(crate) trait BodySource {
    /// Ready when [`Self::chunk`] holds data or the body is over.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>>;

    /// The data at hand.
    fn chunk(&self) -> &[u8];

    /// The data at hand was used.
    fn consume(&mut self);

    /// Trailer fields, after the end.
    fn trailers(&self) -> Option<&Fields>;
}

/// What a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Data.
    Data,
    /// Nothing more.
    End,
}

/// Where a body goes to.
pub(crate) trait BodySink {
    /// Takes a copy of `data`.
    fn push(&mut self, data: &[u8]);

    /// Ends the body.
    fn push_end(&mut self, trailers: Option<&Fields>);

    /// Bytes taken and not yet on their way.
    fn pending(&self) -> usize;

    /// Bytes that have gone on their way since the sink was made, the framing included.
    fn written(&self) -> u64;

    /// Ready when everything taken is on its way.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>>;
}

/// Why a body stopped.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// The connection failed.
    Io(io::Error),
    /// The connection closed too early.
    Closed,
    /// Broken framing.
    Framing(BodyError),
    /// HTTP/2 said no.
    Http2(h2::Error),
    /// An agent does not let it pass.
    Agent(Box<Stopped>),
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("closed before the end"),
            Self::Framing(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
            Self::Agent(_) => f.write_str("an agent does not let it pass"),
        }
    }
}

/// Bytes a sink may hold before the pump waits for it.
pub(crate) const PENDING_MAX: usize = 64 << 10;

/// Moves one body from a source to a sink.
#[derive(Debug)]
pub(crate) struct Pump {
    moved: u64,
    limit: u64,
    state: PumpState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PumpState {
    Moving,
    Ending,
    Done,
}

/// Why a pump stopped, and on which side.
#[derive(Debug)]
pub(crate) enum PumpFault {
    Source(BodyFault),
    Sink(BodyFault),
    /// More than the limit.
    TooLarge,
}

/// Whom a pending pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Source,
    Sink,
}

impl Pump {
    pub(crate) fn new(limit: u64) -> Self {
        Self { moved: 0, limit, state: PumpState::Moving }
    }

    /// Bytes moved so far.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == PumpState::Done
    }

    /// Moves what can be moved. What was taken is flushed before it waits.
    pub(crate) fn poll(
        &mut self,
        source: &mut impl BodySource,
        sink: &mut impl BodySink,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), PumpFault>> {
        while self.state == PumpState::Moving {
            if sink.pending() >= PENDING_MAX {
                ready!(sink.poll_flush(context)).map_err(PumpFault::Sink)?;
            }
            match source.poll_fill(context) {
                Poll::Pending => {
                    let _ = sink.poll_flush(context).map_err(PumpFault::Sink)?;
                    return Poll::Pending;
                }
                Poll::Ready(Err(fault)) => {
                    let _ = sink.poll_flush(context);
                    return Poll::Ready(Err(PumpFault::Source(fault)));
                }
                Poll::Ready(Ok(Filled::Data)) => {
                    self.moved += source.chunk().len() as u64;
                    if self.moved > self.limit {
                        return Poll::Ready(Err(PumpFault::TooLarge));
                    }
                    sink.push(source.chunk());
                    source.consume();
                }
                Poll::Ready(Ok(Filled::End)) => {
                    sink.push_end(source.trailers());
                    self.state = PumpState::Ending;
                }
            }
        }
        if self.state == PumpState::Ending {
            ready!(sink.poll_flush(context)).map_err(PumpFault::Sink)?;
            self.state = PumpState::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Whom a pump that returned pending waits for.
    pub(crate) fn waiting_for(&self, sink: &impl BodySink) -> Waiting {
        if sink.pending() > 0 { Waiting::Sink } else { Waiting::Source }
    }
}
