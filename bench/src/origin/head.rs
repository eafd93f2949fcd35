//! A request head, read only as far as an answer needs it.

use super::HEAD_BYTES_MAX;

/// The parts of a head that decide the answer.
#[derive(Debug)]
pub struct Head<'a> {
    /// Case-sensitive.
    pub method: &'a [u8],
    /// Path and query, as sent.
    pub target: &'a [u8],
    /// The field lines, each with its CRLF.
    pub fields: &'a [u8],
    /// How long the body is.
    pub framing: Framing,
    /// Whether another request may follow.
    pub keep_alive: bool,
    /// Whether the client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// Bytes of the whole head, the empty line included.
    pub length: usize,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 without a body.
    Length(u64),
    /// Until the last chunk.
    Chunked,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It cannot be framed.
    Malformed,
    /// It is longer than [`HEAD_BYTES_MAX`].
    TooLong,
}

impl<'a> Head<'a> {
    /// Parses the head that `input` begins with. `None`: it is unfinished.
    pub fn parse(input: &'a [u8]) -> Result<Option<Self>, HeadError> {
        let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
            return if input.len() > HEAD_BYTES_MAX { Err(HeadError::TooLong) } else { Ok(None) };
        };
        let line_end = memchr::memchr(b'\n', input).ok_or(HeadError::Malformed)?;
        let (method, target, keep_alive) = request_line(&input[..line_end])?;
        let fields = &input[line_end + 1..(end + 2).max(line_end + 1)];
        let mut head = Self {
            method,
            target,
            fields,
            framing: Framing::Length(0),
            keep_alive,
            expects_continue: false,
            length: end + 4,
        };
        head.read_fields()?;
        Ok(Some(head))
    }

    fn read_fields(&mut self) -> Result<(), HeadError> {
        let mut framed = false;
        for field in fields(self.fields) {
            let (name, value) = field?;
            let framing = match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => Some(length(value)?),
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Some(coding(value)?),
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    self.keep_alive = keep_alive(value, self.keep_alive);
                    None
                }
                6 if name.eq_ignore_ascii_case(b"expect") => {
                    self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                    None
                }
                _ => None,
            };
            if let Some(framing) = framing {
                if std::mem::replace(&mut framed, true) {
                    return Err(HeadError::Malformed);
                }
                self.framing = framing;
            }
        }
        Ok(())
    }
}

impl HeadError {
    /// The answer it deserves.
    pub fn response(self) -> &'static [u8] {
        match self {
            Self::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::TooLong => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
        }
    }
}

/// Names and trimmed values of field lines.
pub fn fields(lines: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), HeadError>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let colon = memchr::memchr(b':', line);
        Some(colon.map(|at| (&line[..at], line[at + 1..].trim_ascii())).ok_or(HeadError::Malformed))
    })
}

/// Method, target, and whether the version keeps connections alive unless told otherwise.
fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], bool), HeadError> {
    let method_end = memchr::memchr(b' ', line).ok_or(HeadError::Malformed)?;
    let target_end = memchr::memrchr(b' ', line).ok_or(HeadError::Malformed)?;
    let target = line.get(method_end + 1..target_end).ok_or(HeadError::Malformed)?;
    match &line[target_end + 1..] {
        b"HTTP/1.1\r" => Ok((&line[..method_end], target, true)),
        b"HTTP/1.0\r" => Ok((&line[..method_end], target, false)),
        _ => Err(HeadError::Malformed),
    }
}

fn length(value: &[u8]) -> Result<Framing, HeadError> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length = str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    length.map(Framing::Length).ok_or(HeadError::Malformed)
}

fn coding(value: &[u8]) -> Result<Framing, HeadError> {
    value.eq_ignore_ascii_case(b"chunked").then_some(Framing::Chunked).ok_or(HeadError::Malformed)
}

fn keep_alive(value: &[u8], default: bool) -> bool {
    value.split(|byte| *byte == b',').fold(default, |keep, option| match option.trim_ascii() {
        option if option.eq_ignore_ascii_case(b"close") => false,
        option if option.eq_ignore_ascii_case(b"keep-alive") => true,
        _ => keep,
    })
}
