//! A body that agents have to do with: what was read of it before it may go on, and the agents that
//! the rest passes through.

use std::task::{Context, Poll};

use bytes::Bytes;
use selvedge_http1::Fields;

use super::sieve::{Chain, Sieve};
use crate::message::{BodyFault, BodySink, BodySource, Filled, Pump, PumpFault};

/// As much of a body as was read for agents, and those it passes through. What follows is still
/// where it came from.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    /// Nothing follows: the source is at its end.
    pub(crate) is_whole: bool,
    /// In the order in which they see the body.
    pub(crate) sieves: Vec<Sieve>,
}

impl Held {
    fn poll_fill<S: BodySource>(
        &mut self,
        source: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<Filled, BodyFault>> {
        let Self { bytes, is_whole, sieves } = self;
        let source = &mut Replayed { bytes, is_whole: *is_whole, source };
        Chain { sieves, source }.poll_fill(context)
    }

    fn consume<S: BodySource>(&mut self, source: &mut S) {
        let Self { bytes, is_whole, sieves } = self;
        let source = &mut Replayed { bytes, is_whole: *is_whole, source };
        Chain { sieves, source }.consume();
    }

    fn chunk<'a, S: BodySource>(&'a self, source: &'a S) -> &'a [u8] {
        match self.sieves.last() {
            Some(last) => last.chunk(),
            None if self.bytes.is_empty() => source.chunk(),
            None => &self.bytes,
        }
    }
}

/// A source whose beginning was read already.
struct Replayed<'a, S> {
    bytes: &'a mut Bytes,
    is_whole: bool,
    source: &'a mut S,
}

impl<S: BodySource> BodySource for Replayed<'_, S> {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        match (self.bytes.is_empty(), self.is_whole) {
            (false, _) => Poll::Ready(Ok(Filled::Data)),
            (true, true) => Poll::Ready(Ok(Filled::End)),
            (true, false) => self.source.poll_fill(context),
        }
    }

    fn chunk(&self) -> &[u8] {
        if self.bytes.is_empty() { self.source.chunk() } else { self.bytes }
    }

    fn consume(&mut self) {
        if self.bytes.is_empty() {
            self.source.consume();
        } else {
            *self.bytes = Bytes::new();
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        self.source.trailers()
    }
}

/// A body as it goes on: behind what agents hold of it.
pub(crate) struct Inspected<H, S> {
    pub(crate) held: H,
    pub(crate) source: S,
}

impl<S: BodySource> BodySource for Inspected<Held, S> {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        self.held.poll_fill(&mut self.source, context)
    }

    fn chunk(&self) -> &[u8] {
        self.held.chunk(&self.source)
    }

    fn consume(&mut self) {
        self.held.consume(&mut self.source);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.source.trailers()
    }
}

impl<S: BodySource> BodySource for Inspected<&mut Held, &mut S> {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        self.held.poll_fill(self.source, context)
    }

    fn chunk(&self) -> &[u8] {
        self.held.chunk(&*self.source)
    }

    fn consume(&mut self) {
        self.held.consume(self.source);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.source.trailers()
    }
}

/// Moves a body that agents may have to do with.
pub(crate) fn poll_pump(
    pump: &mut Pump,
    held: &mut Option<Held>,
    source: &mut impl BodySource,
    sink: &mut impl BodySink,
    context: &mut Context<'_>,
) -> Poll<Result<(), PumpFault>> {
    match held {
        Some(held) => pump.poll(&mut Inspected { held, source }, sink, context),
        None => pump.poll(source, sink, context),
    }
}
