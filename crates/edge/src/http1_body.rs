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
}

impl Http1In {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, decoder: BodyDecoder::new(Framing::None), chunk: 0 }
    }

    /// A head was read: a body delimited like this follows.
    pub(crate) fn begin(&mut self, framing: Framing) {
        self.decoder = BodyDecoder::new(framing);
        self.chunk = 0;
    }

    /// Whether the whole body was seen.
    pub(crate) fn is_done(&self) -> bool {
        self.decoder.is_done()
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

    pub(crate) fn chunk(&self) -> &[u8] {
        &self.input.bytes()[..self.chunk]
    }

    pub(crate) fn consume(&mut self) {
        self.input.consume(self.chunk);
        self.chunk = 0;
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.decoder.trailers()
    }
}
