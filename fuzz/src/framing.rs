//! A whole connection's bytes as messages, the way a server of ours would read them.

use selvedge_http1::{
    BodyDecoder, Fields, Framing, HeadLimits, Parsed, Piece, RequestHead, ResponseHead, Version,
};

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Method and target of a request, or the status of a response.
    pub start: (String, String),
    /// Names in lower case and values, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The decoded body, as far as it came.
    pub body: Vec<u8>,
    /// Whether the body is whole.
    pub complete: bool,
}

/// Why no further message was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The bytes ended between two messages.
    Clean,
    /// The bytes ended inside a message.
    Partial,
    /// The last message asked to close the connection; what follows is not read.
    Close,
    /// The last message may turn the connection into something else.
    Upgrade,
    /// The bytes were refused with this code.
    Refused(String),
}

/// What was read from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// Messages in order; only the last may be incomplete.
    pub messages: Vec<Message>,
    /// Why there are no more.
    pub end: End,
}

/// Reads the requests of one connection.
pub fn requests(bytes: &[u8]) -> Framed {
    let mut head = RequestHead::default();
    frame(bytes, |rest| {
        let length = match head.parse(rest, &HeadLimits::default()) {
            Ok(Parsed::Partial) => return Ok(None),
            Ok(Parsed::Complete(length)) => length,
            Err(rejection) => return Err(rejection.code.to_owned()),
        };
        let query = if head.has_query() { format!("?{}", head.query()) } else { String::new() };
        Ok(Some(Start {
            length,
            start: (head.method().to_owned(), format!("{}{query}", head.raw_path())),
            fields: lower(head.fields()),
            framing: head.framing(),
            close: head.close(),
            upgrade: !head.upgrade().is_empty() || head.method() == "CONNECT",
        }))
    })
}

/// Reads the responses of one connection; each answers a `GET`.
pub fn responses(bytes: &[u8]) -> Framed {
    let mut head = ResponseHead::default();
    frame(bytes, |rest| {
        let length = match head.parse(rest, "GET", HEAD_BYTES_MAX) {
            Ok(Parsed::Partial) => return Ok(None),
            Ok(Parsed::Complete(length)) => length,
            Err(rejection) => return Err(rejection.code.to_owned()),
        };
        Ok(Some(Start {
            length,
            start: (head.status().to_string(), String::new()),
            fields: lower(head.fields()),
            framing: head.framing(),
            close: head.close() && head.version() != Version::Http2,
            upgrade: head.status() == 101,
        }))
    })
}

const HEAD_BYTES_MAX: usize = 64 << 10;

struct Start {
    length: usize,
    start: (String, String),
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
    close: bool,
    upgrade: bool,
}

fn frame(bytes: &[u8], mut parse: impl FnMut(&[u8]) -> Result<Option<Start>, String>) -> Framed {
    let mut messages = Vec::new();
    let mut used = 0;
    let end = loop {
        if matches!(&bytes[used..], [] | b"\r\n") {
            break End::Clean;
        }
        let head = match parse(&bytes[used..]) {
            Ok(Some(head)) => head,
            Ok(None) => break End::Partial,
            Err(code) => break End::Refused(code),
        };
        used += head.length;
        let mut message = Message { start: head.start, fields: head.fields, ..Message::default() };
        let body = read_body(head.framing, &bytes[used..], &mut message);
        let complete = message.complete;
        messages.push(message);
        match body {
            Err(code) => break End::Refused(code),
            Ok(_) if !complete => break End::Partial,
            Ok(length) => used += length,
        }
        if head.upgrade {
            break End::Upgrade;
        } else if head.close {
            break End::Close;
        }
    };
    Framed { messages, end }
}

/// Reads a body into `message` and returns how many bytes it took.
fn read_body(framing: Framing, bytes: &[u8], message: &mut Message) -> Result<usize, String> {
    let mut decoder = BodyDecoder::new(framing);
    let mut used = 0;
    loop {
        match decoder.decode(&bytes[used..]).map_err(|error| error.code().to_owned())? {
            Piece::Data { from, to } => {
                message.body.extend_from_slice(&bytes[used + from..used + to]);
                used += to;
            }
            Piece::End(length) => {
                message.complete = true;
                return Ok(used + length);
            }
            Piece::More(length) => {
                message.complete = decoder.finish().is_ok();
                return Ok(used + length);
            }
        }
    }
}

fn lower(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    fields.iter().map(|(name, value, _)| (lower(name), value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(framed: Framed, expected: Expect) {
        let mut text = String::new();
        for message in &framed.messages {
            let body = String::from_utf8_lossy(&message.body);
            let whole = if message.complete { "whole" } else { "cut" };
            text.push_str(&format!("{} {} {body:?} {whole}\n", message.start.0, message.start.1));
        }
        text.push_str(&format!("{:?}\n", framed.end));
        expected.assert_eq(&text);
    }

    #[test]
    fn requests_follow_each_other() {
        check(
            requests(
                b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            ),
            expect![[r#"
                POST /a?b "abc" whole
                GET / "" whole
                Clean
            "#]],
        );
        check(
            requests(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n"),
            expect![[r#"
                GET / "" whole
                Close
            "#]],
        );
    }

    #[test]
    fn a_cut_body_is_said_to_be_cut() {
        check(
            requests(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
            expect![[r#"
                POST / "hel" cut
                Partial
            "#]],
        );
    }

    #[test]
    fn a_refusal_ends_the_connection() {
        check(
            requests(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
            expect![[r#"
                Refused("head-gate/duplicate-host")
            "#]],
        );
    }

    #[test]
    fn a_response_may_last_until_the_connection_closes() {
        check(
            responses(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"),
            expect![[r#"
                100  "" whole
                200  "hello" whole
                Close
            "#]],
        );
    }
}
