//! What the origin answers, as a state machine without I/O: bytes in, bytes out, no allocation per request.
//!
//! | path (last segment) | answer |
//! |---|---|
//! | `/small` | 12 bytes: `hello from N`, N being the number of the listener |
//! | `/16k` | 16 KiB |
//! | `/bytes?n=N` | N bytes, at most 16 MiB |
//! | `/chunked?n=N` | the same N bytes in chunks of 8 KiB, with a trailer |
//! | `/echo-length` | `LENGTH CRC32` of the request's body |
//! | `/slow?ms=N` | as `/small`, N milliseconds later, at most a minute |
//! | `/status?code=N` | a response with that status, 200 to 599 |
//! | `/json` | the request's head as JSON |
//! | `/needs?a=b&c=d` | as `/small` if the request has the fields `A: b` and `C: d`, once each, otherwise 400 |
//!
//! The last segment decides, so `/any/prefix/small` is `/small`: a proxy may route by prefix and pass the path on.

mod body;
mod head;
mod reply;

use std::time::Duration;

pub use reply::Reply;

use self::{
    body::{Body, Piece},
    head::{Head, HeadError},
    reply::{Kind, Manner},
};

/// Bytes of a request head; a longer one is answered with 431.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    reply: Reply,
    /// Bytes of an unfinished head or chunk line, kept until the rest comes.
    carry: Vec<u8>,
    state: State,
}

/// What the driver does after it has written the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read on.
    Open,
    /// Read nothing, and call [`Connection::resume`] after this time.
    Delayed(Duration),
    /// Close once the output has left.
    Close,
}

#[derive(Debug)]
enum State {
    Head,
    Body { kind: Kind, manner: Manner, body: Body },
    Delayed { manner: Manner, delay: Duration },
    Closed,
}

impl Connection {
    /// A fresh connection that answers with `reply`.
    pub fn new(reply: Reply) -> Self {
        Self { reply, carry: Vec::new(), state: State::Head }
    }

    /// Takes the bytes that were read and appends what is to be written to `output`.
    pub fn advance(&mut self, input: &[u8], output: &mut Vec<u8>) -> Progress {
        if self.carry.is_empty() {
            let taken = self.consume(input, output);
            self.carry.extend_from_slice(&input[taken..]);
        } else {
            let mut carried = std::mem::take(&mut self.carry);
            carried.extend_from_slice(input);
            let taken = self.consume(&carried, output);
            carried.drain(..taken);
            self.carry = carried;
        }
        self.progress()
    }

    /// Answers a delayed request, then whatever was pipelined behind it.
    pub fn resume(&mut self, output: &mut Vec<u8>) -> Progress {
        if let State::Delayed { manner, .. } = self.state {
            self.reply.write(&Kind::Small, manner, None, output);
            self.end(manner);
        }
        self.advance(&[], output)
    }

    fn progress(&self) -> Progress {
        match self.state {
            State::Head | State::Body { .. } => Progress::Open,
            State::Delayed { delay, .. } => Progress::Delayed(delay),
            State::Closed => Progress::Close,
        }
    }

    /// Returns how many bytes of `input` are dealt with; the others wait for more to come.
    fn consume(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let step = match self.state {
                State::Head => self.take_head(rest, output),
                State::Body { .. } => self.take_body(rest, output),
                State::Delayed { .. } => return taken,
                State::Closed => return input.len(),
            };
            match step {
                Some(length) => taken += length,
                None => return taken,
            }
        }
    }

    /// Takes one head. `None`: it is unfinished.
    fn take_head(&mut self, input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        match Head::parse(input) {
            Ok(None) => None,
            Ok(Some(head)) => {
                if head.expects_continue {
                    output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                let kind = Kind::of(&head);
                let body = Body::new(head.framing, kind.reads_body());
                self.state = State::Body { kind, manner: Manner::of(&head), body };
                Some(head.length)
            }
            Err(error) => {
                self.refuse(error, output);
                Some(0)
            }
        }
    }

    /// Takes a piece of a body and answers at its end. `None`: more bytes are needed.
    fn take_body(&mut self, input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        let State::Body { kind, manner, body } = &mut self.state else { return None };
        match body.take(input) {
            Piece::Part(0) => None,
            Piece::Part(length) => Some(length),
            Piece::Last(length) => {
                let manner = *manner;
                if let Kind::Slow(delay) = *kind {
                    self.state = State::Delayed { manner, delay };
                } else {
                    self.reply.write(kind, manner, body.digest(), output);
                    self.end(manner);
                }
                Some(length)
            }
            Piece::Broken => {
                self.refuse(HeadError::Malformed, output);
                Some(0)
            }
        }
    }

    fn end(&mut self, manner: Manner) {
        self.state = if manner.keep_alive { State::Head } else { State::Closed };
    }

    fn refuse(&mut self, error: HeadError, output: &mut Vec<u8>) {
        output.extend_from_slice(error.response());
        self.state = State::Closed;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Feeds `input` whole, then byte by byte: both must give the same output.
    #[track_caller]
    fn check(input: &str, expected: Expect) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        let progress = Connection::new(Reply::new(1)).advance(input.as_bytes(), &mut whole);
        let mut connection = Connection::new(Reply::new(1));
        for byte in input.as_bytes() {
            connection.advance(&[*byte], &mut pieces);
        }
        assert_eq!(whole, pieces);
        let text = String::from_utf8(whole).unwrap().replace('\r', "");
        expected.assert_eq(&format!("{text}\n[{progress:?}]\n"));
    }

    #[test]
    fn the_last_segment_of_the_path_decides() {
        check(
            "GET /r0001/small HTTP/1.1\r\nHost: x\r\n\r\n",
            expect![[r#"
                HTTP/1.1 200 OK
                Content-Type: text/plain
                Content-Length: 12

                hello from 1
                [Open]
            "#]],
        );
        check(
            "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
            expect![[r#"
                HTTP/1.1 404 Not Found
                Content-Type: text/plain
                Content-Length: 9

                not found
                [Open]
            "#]],
        );
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        check(
            "POST /echo-length HTTP/1.1\r\ncontent-length: 9\r\n\r\n123456789HEAD /small HTTP/1.1\r\n\r\n\
             GET /status?code=503 HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n",
            expect![[r#"
                HTTP/1.1 200 OK
                Content-Type: text/plain
                Content-Length: 10

                9 cbf43926HTTP/1.1 200 OK
                Content-Type: text/plain
                Content-Length: 12

                HTTP/1.1 503 Status
                Content-Type: text/plain
                Content-Length: 12
                Connection: close

                hello from 1
                [Close]
            "#]],
        );
    }

    #[test]
    fn chunked_bodies_are_read_to_their_trailers() {
        check(
            "POST /echo-length HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
             4;ext=1\r\n1234\r\n5\r\n56789\r\n0\r\nX-Trailer: 1\r\n\r\nGET /small HTTP/1.1\r\n\r\n",
            expect![[r#"
                HTTP/1.1 100 Continue

                HTTP/1.1 200 OK
                Content-Type: text/plain
                Content-Length: 10

                9 cbf43926HTTP/1.1 200 OK
                Content-Type: text/plain
                Content-Length: 12

                hello from 1
                [Open]
            "#]],
        );
    }

    #[test]
    fn chunked_answers_end_in_a_trailer() {
        check(
            "GET /chunked?n=3 HTTP/1.1\r\n\r\n",
            expect![[r#"
                HTTP/1.1 200 OK
                Content-Type: application/octet-stream
                Transfer-Encoding: chunked
                Trailer: X-Length

                3
                012
                0
                X-Length: 3


                [Open]
            "#]],
        );
    }

    #[test]
    fn a_head_comes_back_as_json() {
        check(
            "GET /a/json?q=\"1\" HTTP/1.0\r\nHost: x\r\nX-A:  b\r\n\r\n",
            expect![[r#"
                HTTP/1.1 200 OK
                Content-Type: application/json
                Content-Length: 91
                Connection: close

                {"listener":1,"headers":[["Host","x"],["X-A","b"]],"method":"GET","path":"/a/json?q=\"1\""}
                [Close]
            "#]],
        );
    }

    #[test]
    fn fields_that_are_needed_must_be_there_once_with_their_value() {
        let status = |fields: &str| {
            let mut output = Vec::new();
            let input = format!("GET /needs?x-a=b&x-c=d HTTP/1.1\r\n{fields}\r\n");
            Connection::new(Reply::new(0)).advance(input.as_bytes(), &mut output);
            String::from_utf8(output).unwrap()[9..12].to_owned()
        };
        assert_eq!(status("X-C: d\r\nX-A:b\r\nHost: x\r\n"), "200");
        for fields in [
            "",
            "X-A: b\r\n",
            "X-A: b\r\nX-C: e\r\n",
            "X-A: b\r\nX-C: d\r\nx-c: d\r\n",
            "X-A: b\r\nX-C: d\r\nx-c: e\r\n",
        ] {
            assert_eq!(status(fields), "400", "{fields:?}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        for input in [
            "nonsense\r\n\r\n",
            "GET /small HTTP/1.1\r\nno colon\r\n\r\n",
            "POST /small HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
            "POST /small HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST /small HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /small HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            check(
                input,
                expect![[r#"
                    HTTP/1.1 400 Bad Request
                    Content-Length: 0
                    Connection: close


                    [Close]
                "#]],
            );
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let mut output = Vec::new();
        let input = vec![b'a'; HEAD_BYTES_MAX + 1];
        let progress = Connection::new(Reply::new(0)).advance(&input, &mut output);
        assert_eq!(progress, Progress::Close);
        assert!(output.starts_with(b"HTTP/1.1 431 "));
    }

    #[test]
    fn a_delay_holds_back_what_was_pipelined_behind_it() {
        let mut connection = Connection::new(Reply::new(0));
        let mut output = Vec::new();
        let input = b"GET /slow?ms=5 HTTP/1.1\r\n\r\nGET /status?code=204 HTTP/1.1\r\n\r\n";
        let progress = connection.advance(input, &mut output);
        assert_eq!((progress, output.len()), (Progress::Delayed(Duration::from_millis(5)), 0));
        assert_eq!(connection.resume(&mut output), Progress::Open);
        let text = String::from_utf8(output).unwrap();
        let second = text.find("HTTP/1.1 204 ").unwrap();
        assert!(text.find("hello from 0").is_some_and(|first| first < second));
    }
}
