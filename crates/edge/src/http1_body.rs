//! Bodies on HTTP/1, of requests and responses alike: found in what a connection's input holds, and
//! framed in its output.

use std::task::{Context, Poll, ready};

use selvedge_http1::{
    BodyDecoder, Fields, Framing, Piece, push_chunk_size, push_crlf, push_last_chunk, push_number,
};

use crate::{
    client::trailer_pairs,
    message::{BodyFault, Filled},
    transport::{Input, Output, Read, Transport},
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

/// What goes out on a connection, and the body under way in it.
pub(crate) struct Http1Out {
    output: Output,
    body: Outgoing,
}

/// How the body under way is delimited, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// None, or it is complete.
    Complete,
    Sized(u64),
    Chunked,
    UntilClose,
    /// Other than its length says: nothing can follow on the connection.
    Broken,
}

impl Http1Out {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, body: Outgoing::Complete }
    }

    /// Where a head is appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.output.buffer()
    }

    /// Appends the field that says how the body is delimited which follows the head.
    pub(crate) fn begin(&mut self, body: Outgoing) {
        let out = self.output.buffer();
        match body {
            Outgoing::Sized(length) => {
                out.extend_from_slice(b"content-length: ");
                push_number(out, length);
                push_crlf(out);
            }
            Outgoing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Outgoing::Complete | Outgoing::UntilClose | Outgoing::Broken => {}
        }
        self.body = match body {
            Outgoing::Sized(0) => Outgoing::Complete,
            body => body,
        };
    }

    /// The body under way.
    pub(crate) fn body(&self) -> Outgoing {
        self.body
    }

    /// Frames `data`. More than was promised breaks the body, and is not sent.
    pub(crate) fn push(&mut self, data: &[u8]) {
        let out = self.output.buffer();
        match &mut self.body {
            _ if data.is_empty() => {}
            Outgoing::Sized(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    out.extend_from_slice(data);
                }
                None => self.body = Outgoing::Broken,
            },
            Outgoing::Chunked => {
                push_chunk_size(out, data.len());
                out.extend_from_slice(data);
                push_crlf(out);
            }
            Outgoing::UntilClose => out.extend_from_slice(data),
            Outgoing::Complete | Outgoing::Broken => {}
        }
    }

    /// Ends the body. Less than was promised breaks it: the other side can only tell by the connection's
    /// end.
    pub(crate) fn push_end(&mut self, trailers: Option<&Fields>) {
        self.body = match self.body {
            Outgoing::Chunked => {
                push_last_chunk(self.output.buffer(), trailer_pairs(trailers));
                Outgoing::Complete
            }
            Outgoing::Sized(1..) | Outgoing::Broken => Outgoing::Broken,
            Outgoing::Sized(0) | Outgoing::UntilClose | Outgoing::Complete => Outgoing::Complete,
        };
    }

    pub(crate) fn pending(&self) -> usize {
        self.output.pending()
    }

    pub(crate) fn written(&self) -> u64 {
        self.output.total()
    }

    pub(crate) fn poll_flush(
        &mut self,
        transport: &Transport,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), BodyFault>> {
        self.output.poll_flush(transport, context).map_err(BodyFault::Io)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::transport::BufferPool;

    /// What goes out for a body in these pieces, and what becomes of it.
    #[track_caller]
    fn check(body: Outgoing, pieces: &[&str], expected: Expect) {
        let mut out = Http1Out::new(Output::new(BufferPool::new(1024)));
        out.begin(body);
        for piece in pieces {
            out.push(piece.as_bytes());
        }
        let before = out.body();
        out.push_end(None);
        let text = String::from_utf8(out.buffer().clone()).unwrap();
        expected.assert_eq(&format!("{text:?} {before:?} {:?}", out.body()));
    }

    #[test]
    fn bodies_are_framed_as_was_said() {
        check(Outgoing::Complete, &["x"], expect![[r#""" Complete Complete"#]]);
        check(
            Outgoing::Sized(0),
            &["", "x"],
            expect![[r#""content-length: 0\r\n" Complete Complete"#]],
        );
        check(
            Outgoing::Sized(3),
            &["ab", "", "c"],
            expect![[r#""content-length: 3\r\nabc" Sized(0) Complete"#]],
        );
        check(
            Outgoing::Chunked,
            &["ab", "", "c"],
            expect![[
                r#""transfer-encoding: chunked\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" Chunked Complete"#
            ]],
        );
        check(Outgoing::UntilClose, &["ab", "c"], expect![[r#""abc" UntilClose Complete"#]]);
    }

    #[test]
    fn a_body_of_another_length_is_broken() {
        check(
            Outgoing::Sized(3),
            &["ab"],
            expect![[r#""content-length: 3\r\nab" Sized(1) Broken"#]],
        );
        check(
            Outgoing::Sized(3),
            &["ab", "cd", "e"],
            expect![[r#""content-length: 3\r\nab" Broken Broken"#]],
        );
    }
}
