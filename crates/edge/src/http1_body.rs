//! Bodies on HTTP/1, in either direction: found in what a connection's input holds.

use std::task::{Context, Poll, ready};

use selvedge_http1::{BodyDecoder, Fields, Framing, Piece};

use crate::{
    message::{BodyFault, Filled},
    transport::{Input, Read, Transport},
};

/// What comes in on a connection, and the body found in it.
pub(crate) struct Http1In {
    pub(crate) input: Input,
    decoder: BodyDecoder,
    /// Length of the piece at hand, at the start of the input.
    chunk: usize,
    /// Bytes of the body that were not used yet, where a length says how many there are.
    length_left: u64,
}

/// Bytes that are read of a body that nobody wants, so that the next request can be told from it.
pub(crate) const DISCARD_MAX: usize = 64 << 10;

/// What is left of a body that nobody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// Nothing.
    Gone,
    /// Little, as far as is known.
    Rest,
    /// More than [`DISCARD_MAX`], or nobody can tell where it ends.
    Endless,
}

impl Http1In {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, decoder: BodyDecoder::new(Framing::None), chunk: 0, length_left: 0 }
    }

    /// A head was read: a body delimited like this follows.
    pub(crate) fn begin(&mut self, framing: Framing) {
        self.decoder = BodyDecoder::new(framing);
        self.chunk = 0;
        self.length_left = match framing {
            Framing::Length(length) => length,
            Framing::None | Framing::Chunked | Framing::UntilClose => 0,
        };
    }

    /// Whether the whole body was seen and used.
    pub(crate) fn is_done(&self) -> bool {
        self.chunk == 0 && self.decoder.is_done()
    }

    /// What the bytes at hand bring; `None`: more have to be read.
    pub(crate) fn advance(&mut self) -> Result<Option<Filled>, BodyFault> {
        if self.chunk > 0 {
            return Ok(Some(Filled::Data));
        }
        let (used, filled) =
            match self.decoder.decode(self.input.bytes()).map_err(BodyFault::Framing)? {
                Piece::Data { from, to } => {
                    self.chunk = to - from;
                    (from, Some(Filled::Data))
                }
                Piece::End(used) => (used, Some(Filled::End)),
                Piece::More(used) => (used, None),
            };
        self.input.consume(used);
        Ok(filled)
    }

    /// Reads once. The end of the connection is a fault unless it is the end of the body.
    pub(crate) fn poll_more(
        &mut self,
        transport: &Transport,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), BodyFault>> {
        match ready!(self.input.poll_read(transport, context)).map_err(BodyFault::Io)? {
            Read::Some(_) => Poll::Ready(Ok(())),
            Read::Closed => Poll::Ready(self.decoder.finish().map_err(BodyFault::Framing)),
            // The decoder refuses whatever is longer than a buffer before the buffer is full.
            Read::Full => Poll::Ready(Err(BodyFault::Closed)),
        }
    }

    /// Drops what the bytes at hand hold of a body that nobody wants, and says what is left of it.
    pub(crate) fn discard_at_hand(&mut self) -> Unwanted {
        loop {
            match self.advance() {
                Ok(Some(Filled::Data)) => self.consume(),
                Ok(Some(Filled::End)) => return Unwanted::Gone,
                Ok(None) if self.length_left <= DISCARD_MAX as u64 => return Unwanted::Rest,
                Ok(None) | Err(_) => return Unwanted::Endless,
            }
        }
    }

    /// Reads and drops the rest of a body that nobody wants; false when it does not end soon enough.
    /// Its framing counts as well: `budget` is what may still be read.
    pub(crate) fn poll_discard(
        &mut self,
        budget: &mut usize,
        transport: &Transport,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        loop {
            match self.discard_at_hand() {
                Unwanted::Gone => return Poll::Ready(true),
                Unwanted::Endless => return Poll::Ready(false),
                Unwanted::Rest => {}
            }
            let before = self.input.bytes().len();
            if ready!(self.poll_more(transport, context)).is_err() {
                return Poll::Ready(false);
            }
            match budget.checked_sub(self.input.bytes().len() - before) {
                Some(left) => *budget = left,
                None => return Poll::Ready(false),
            }
        }
    }

    pub(crate) fn chunk(&self) -> &[u8] {
        &self.input.bytes()[..self.chunk]
    }

    pub(crate) fn consume(&mut self) {
        self.input.consume(self.chunk);
        self.length_left = self.length_left.saturating_sub(self.chunk as u64);
        self.chunk = 0;
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.decoder.trailers()
    }
}
