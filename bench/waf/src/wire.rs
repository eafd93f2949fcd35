//! Requests over connections that are kept: the bytes that are sent, and the answers.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::record::Request;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most.
const ANSWER_MAX: usize = 4 << 20;

/// Fields about one connection or one framing, which are written anew.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request as it can be replayed over a connection that is kept; `None` for a method whose answers are framed by other rules.
pub fn replayable(request: &Request) -> Option<Request> {
    if matches!(request.method.as_slice(), b"HEAD" | b"CONNECT") {
        return None;
    }
    let is_own = |name: &[u8]| OWN.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
    let mut fields = request.fields.clone();
    fields.retain(|(name, _)| !is_own(name));
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host")) {
        fields.insert(0, (b"Host".to_vec(), b"www.example.com".to_vec()));
    }
    if !request.body.is_empty() {
        fields.push((b"Content-Length".to_vec(), request.body.len().to_string().into_bytes()));
    }
    Some(Request { version: b"HTTP/1.1".to_vec(), fields, ..request.clone() })
}

/// The bytes of a request.
pub fn bytes(request: &Request) -> Vec<u8> {
    let Request { kind: _, method, target, version, fields, body } = request;
    let mut out = [method, &b" "[..], target, b" ", version, b"\r\n"].concat();
    for (name, value) in fields {
        out.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// A connection that is opened anew when the server has closed it.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
    /// Connections that were opened.
    pub opened: u64,
}

impl Client {
    /// One to this address.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, stream: None, answer: Vec::new(), opened: 0 }
    }

    /// Sends a request; the status of the answer, once it is whole.
    pub fn ask(&mut self, bytes: &[u8]) -> io::Result<u16> {
        let was_kept = self.stream.is_some();
        match self.try_ask(bytes) {
            // A server may close a connection just when it is used again.
            Err(_) if was_kept => {
                self.stream = None;
                self.try_ask(bytes)
            }
            asked => asked,
        }
    }

    fn try_ask(&mut self, bytes: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open()?,
        };
        stream.write_all(bytes)?;
        self.answer.clear();
        let mut piece = [0; 16 << 10];
        loop {
            let length = stream.read(&mut piece)?;
            self.answer.extend_from_slice(&piece[..length]);
            if let Some(Answer { status, keeps }) = whole(&self.answer, length == 0)? {
                self.stream = keeps.then_some(stream);
                return Ok(status);
            }
            if self.answer.len() > ANSWER_MAX {
                return Err(io::Error::other("an answer that does not end"));
            }
        }
    }

    fn open(&mut self) -> io::Result<TcpStream> {
        self.opened += 1;
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

/// What is looked at of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    keeps: bool,
}

/// `None` until all of it is there; an answer that cannot be framed is an error.
fn whole(bytes: &[u8], is_over: bool) -> io::Result<Option<Answer>> {
    let broken = || io::Error::other("not an answer");
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if is_over { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
    };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| broken())?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let body = &bytes[end + 4..];
    let is_there = match (field("content-length"), field("transfer-encoding")) {
        (_, Some(_)) => body.ends_with(b"0\r\n\r\n"),
        (Some(length), None) => body.len() >= length.parse().map_err(|_| broken())?,
        (None, None) => matches!(status, 204 | 304) || is_over,
    };
    let keeps = !is_over && !field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    match is_there {
        true => Ok(Some(Answer { status, keeps })),
        false if is_over => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{raw, record::Kind};

    #[track_caller]
    fn check(sent: &str, expected: Option<&str>) {
        let request = raw::request(sent.as_bytes(), Kind::Ordinary);
        let found = replayable(&request).map(|request| String::from_utf8(bytes(&request)).unwrap());
        assert_eq!(found.map(|text| text.replace("\r\n", "|")).as_deref(), expected);
    }

    #[test]
    fn what_belongs_to_a_connection_is_written_anew() {
        check("GET / HTTP/1.0\r\n\r\n", Some("GET / HTTP/1.1|Host: www.example.com||"));
        check(
            "POST / HTTP/1.1\r\nhost: a\r\nConnection: close\r\ntransfer-encoding: x\r\n\r\nab",
            Some("POST / HTTP/1.1|host: a|Content-Length: 2||ab"),
        );
        check("HEAD / HTTP/1.1\r\n\r\n", None);
    }

    #[test]
    fn answers_end_where_they_say() {
        let said = |text: &str, is_over| {
            whole(text.as_bytes(), is_over)
                .map_err(|_| ())
                .map(|found| found.map(|Answer { status, keeps }| (status, keeps)))
        };
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na";
        assert_eq!(said(sized, false), Ok(None));
        assert_eq!(said(sized, true), Err(()));
        assert_eq!(said(&format!("{sized}b"), false), Ok(Some((200, true))));
        let closing = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nx";
        assert_eq!(said(closing, false), Ok(None));
        assert_eq!(said(closing, true), Ok(Some((403, false))));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
        assert_eq!(said(chunked, false), Ok(None));
        assert_eq!(said(&format!("{chunked}0\r\n\r\n"), false), Ok(Some((200, true))));
        assert_eq!(said("", true), Err(()));
    }
}
