//! Answers: those that are measured are made once and copied.

use std::{io::Write, rc::Rc, time::Duration};

use serde_json::json;

use super::head::{self, Head};

/// Longest body of `/bytes` and `/chunked`.
const BYTES_MAX: usize = 16 << 20;

/// Longest `/slow`.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Payload of one chunk of `/chunked`.
const CHUNK_BYTES: usize = 8 << 10;

/// The answers of one listener, shared by its connections.
#[derive(Clone, Debug)]
pub struct Reply {
    listener: usize,
    small: Rc<[u8]>,
    large: Rc<[u8]>,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// 12 bytes.
    Small,
    /// 16 KiB.
    Large,
    /// So many bytes.
    Bytes(usize),
    /// So many bytes in chunks.
    Chunked(usize),
    /// Length and checksum of the request's body.
    EchoLength,
    /// 12 bytes after a while.
    Slow(Duration),
    /// A status.
    Status(u16),
    /// The request's head.
    Json(String),
    /// 12 bytes; 400 unless the request has what the query names.
    Needs(bool),
    /// Nothing known.
    Unknown,
}

/// How an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Another request may follow.
    pub keep_alive: bool,
    /// The request was HEAD: no body.
    pub head_only: bool,
}

impl Kind {
    /// What `head` asks for.
    pub fn of(head: &Head<'_>) -> Self {
        let query_start = memchr::memchr(b'?', head.target).unwrap_or(head.target.len());
        let (path, query) = head.target.split_at(query_start);
        let segment = memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..]);
        match segment {
            b"small" => Self::Small,
            b"16k" => Self::Large,
            b"echo-length" => Self::EchoLength,
            b"bytes" => {
                number(query, b"n").map_or(Self::Unknown, |n| Self::Bytes(n.min(BYTES_MAX)))
            }
            b"chunked" => {
                number(query, b"n").map_or(Self::Unknown, |n| Self::Chunked(n.min(BYTES_MAX)))
            }
            b"slow" => number(query, b"ms").map_or(Self::Unknown, |ms| {
                Self::Slow(Duration::from_millis(ms as u64).min(DELAY_MAX))
            }),
            b"status" => number(query, b"code")
                .filter(|code| (200..600).contains(code))
                .map_or(Self::Unknown, |code| Self::Status(code as u16)),
            b"json" => Self::Json(head_as_json(head)),
            b"needs" => Self::Needs(has_what_it_needs(head.fields, query)),
            _ => Self::Unknown,
        }
    }

    /// Whether the answer depends on the request's body.
    pub fn reads_body(&self) -> bool {
        *self == Self::EchoLength
    }
}

impl Manner {
    /// How the answer to `head` is framed.
    pub fn of(head: &Head<'_>) -> Self {
        Self { keep_alive: head.keep_alive, head_only: head.method == b"HEAD" }
    }
}

impl Reply {
    /// Answers of the listener with this number, counted from 0.
    pub fn new(listener: usize) -> Self {
        let keep = Manner { keep_alive: true, head_only: false };
        let (mut small, mut large) = (Vec::new(), Vec::new());
        plain(200, small_body(listener).as_bytes(), keep, &mut small);
        with_type(200, "application/octet-stream", &pattern(16 << 10), keep, &mut large);
        Self { listener, small: small.into(), large: large.into() }
    }

    /// Appends the answer to a request of this kind.
    pub fn write(
        &self,
        kind: &Kind,
        manner: Manner,
        digest: Option<(u64, u32)>,
        output: &mut Vec<u8>,
    ) {
        let usual = manner == Manner { keep_alive: true, head_only: false };
        match kind {
            Kind::Small | Kind::Needs(true) if usual => output.extend_from_slice(&self.small),
            Kind::Large if usual => output.extend_from_slice(&self.large),
            Kind::Small | Kind::Slow(_) | Kind::Needs(true) => {
                plain(200, small_body(self.listener).as_bytes(), manner, output);
            }
            Kind::Large => binary(&pattern(16 << 10), manner, output),
            Kind::Bytes(length) => binary(&pattern(*length), manner, output),
            Kind::Chunked(length) => chunked(*length, manner, output),
            Kind::EchoLength => echo_length(digest, manner, output),
            Kind::Status(code) => {
                plain(*code, small_body(self.listener).as_bytes(), manner, output);
            }
            Kind::Json(head) => {
                let body = format!("{{\"listener\":{},{head}", self.listener);
                with_type(200, "application/json", body.as_bytes(), manner, output);
            }
            Kind::Needs(false) => plain(400, b"not the fields that were needed", manner, output),
            Kind::Unknown => plain(404, b"not found", manner, output),
        }
    }
}

fn small_body(listener: usize) -> String {
    format!("hello from {listener}")
}

/// Bytes that anybody can check: the digits 0 to 9 over and over.
fn pattern(length: usize) -> Vec<u8> {
    (b'0'..=b'9').cycle().take(length).collect()
}

fn echo_length(digest: Option<(u64, u32)>, manner: Manner, output: &mut Vec<u8>) {
    let (length, crc) = digest.unwrap_or_default();
    let mut body = [0; 32];
    let mut room = &mut body[..];
    write!(room, "{length} {crc:08x}").expect("20 digits, a space and 8 digits fit in 32 bytes");
    let left = room.len();
    plain(200, &body[..body.len() - left], manner, output);
}

fn plain(code: u16, body: &[u8], manner: Manner, output: &mut Vec<u8>) {
    with_type(code, "text/plain", body, manner, output);
}

fn binary(body: &[u8], manner: Manner, output: &mut Vec<u8>) {
    with_type(200, "application/octet-stream", body, manner, output);
}

fn with_type(code: u16, kind: &str, body: &[u8], manner: Manner, output: &mut Vec<u8>) {
    start(code, kind, output);
    if bodiless(code) {
        end_of_head(manner, output);
        return;
    }
    append(output, format_args!("Content-Length: {}\r\n", body.len()));
    end_of_head(manner, output);
    if !manner.head_only {
        output.extend_from_slice(body);
    }
}

fn chunked(length: usize, manner: Manner, output: &mut Vec<u8>) {
    start(200, "application/octet-stream", output);
    output.extend_from_slice(b"Transfer-Encoding: chunked\r\nTrailer: X-Length\r\n");
    end_of_head(manner, output);
    if manner.head_only {
        return;
    }
    for chunk in pattern(length).chunks(CHUNK_BYTES) {
        append(output, format_args!("{:x}\r\n", chunk.len()));
        output.extend_from_slice(chunk);
        output.extend_from_slice(b"\r\n");
    }
    append(output, format_args!("0\r\nX-Length: {length}\r\n\r\n"));
}

fn start(code: u16, kind: &str, output: &mut Vec<u8>) {
    let reason = match code {
        200 => "OK",
        404 => "Not Found",
        _ => "Status",
    };
    append(output, format_args!("HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\n"));
}

fn end_of_head(manner: Manner, output: &mut Vec<u8>) {
    let end: &[u8] = if manner.keep_alive { b"\r\n" } else { b"Connection: close\r\n\r\n" };
    output.extend_from_slice(end);
}

fn append(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    output.write_fmt(text).expect("a Vec takes every write");
}

/// RFC 9110, section 6.4.1: these never have content.
fn bodiless(code: u16) -> bool {
    matches!(code, 204 | 304)
}

/// The head as the inside of a JSON object, closing brace included.
fn head_as_json(head: &Head<'_>) -> String {
    let fields: Vec<_> = head::fields(head.fields)
        .filter_map(Result::ok)
        .map(|(name, value)| [String::from_utf8_lossy(name), String::from_utf8_lossy(value)])
        .collect();
    let object = json!({
        "method": String::from_utf8_lossy(head.method),
        "path": String::from_utf8_lossy(head.target),
        "headers": fields,
    });
    object.to_string().split_off(1)
}

/// Whether each pair of the query is a field with this value, and the only one of its name.
fn has_what_it_needs(lines: &[u8], query: &[u8]) -> bool {
    let Some(query) = query.strip_prefix(b"?") else { return true };
    query.split(|byte| *byte == b'&').all(|pair| {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, wanted) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
        let fields = head::fields(lines).filter_map(Result::ok);
        let mut values =
            fields.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.next() == Some(wanted) && values.next().is_none()
    })
}

/// The number that `name` has in a query such as `?n=5&m=6`.
fn number(query: &[u8], name: &[u8]) -> Option<usize> {
    let query = query.strip_prefix(b"?")?;
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        str::from_utf8(value).ok()?.parse().ok()
    })
}
