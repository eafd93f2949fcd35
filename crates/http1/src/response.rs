use crate::{
    Fields, Framing, Known, Parsed, Rejection, Span, Version,
    fields::{Block, is_field_value},
    request::{parse_length, parse_version, reject},
};

/// Why an upstream's response head was refused.
pub type ResponseError = Rejection;

/// A response's head, on bytes of its own. Made to be reused.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    framing: Framing,
    close: bool,
    nominated: Vec<Span>,
}

impl ResponseHead {
    /// Starts a response of our own.
    pub fn start(&mut self, status: u16) {
        self.fields.clear();
        self.status = status;
        self.reason = Span::default();
        self.version = Version::Http11;
        self.framing = Framing::None;
        self.close = false;
        self.nominated.clear();
    }

    /// Reads a response head from the start of `bytes` (RFC 9112 §4). `method` is the request's: it
    /// decides whether a body follows. `bytes_max` bounds the head.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        method: &str,
        bytes_max: usize,
    ) -> Result<Parsed, ResponseError> {
        let window = &bytes[..bytes.len().min(bytes_max)];
        match self.parse_window(window, method)? {
            Parsed::Partial if bytes.len() >= bytes_max => {
                Err(reject(502, "upstream/head-too-large", window.len()))
            }
            parsed => Ok(parsed),
        }
    }

    fn parse_window(&mut self, bytes: &[u8], method: &str) -> Result<Parsed, ResponseError> {
        let Some(version) = parse_version(bytes, 0).map_err(as_upstream)? else {
            return Ok(Parsed::Partial);
        };
        let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(Parsed::Partial) };
        let line = bytes[..end].strip_suffix(b"\r").ok_or(reject(502, "upstream/bare-lf", end))?;
        let (status, reason) = parse_status(line).ok_or(reject(502, "upstream/status-line", 8))?;
        self.start(status);
        let block = self.fields.take_block(bytes, end + 1, FIELDS_MAX).map_err(as_upstream)?;
        let Block::End(head_end) = block else { return Ok(Parsed::Partial) };
        self.version = version;
        self.reason = reason;
        self.read_fields(method)?;
        Ok(Parsed::Complete(head_end))
    }

    fn read_fields(&mut self, method: &str) -> Result<(), ResponseError> {
        let mut length = None;
        let mut chunked = false;
        let mut keep_alive = false;
        for i in 0..self.fields.list().len() {
            let field = self.fields.list()[i];
            let value = field.value.of(self.fields.bytes());
            match field.known {
                Known::ContentLength => {
                    let parsed = parse_length(value).ok_or(reject(
                        502,
                        "upstream/content-length",
                        field.value.start(),
                    ))?;
                    if length.is_some_and(|before| before != parsed) {
                        return Err(reject(502, "upstream/content-length", field.value.start()));
                    }
                    length = Some(parsed);
                }
                Known::TransferEncoding if chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                    return Err(reject(502, "upstream/transfer-encoding", field.value.start()));
                }
                Known::TransferEncoding => chunked = true,
                Known::Connection => keep_alive |= self.read_connection(field.value),
                _ => {}
            }
        }
        if chunked && self.version == Version::Http10 {
            return Err(reject(502, "upstream/chunked-version", 0));
        }
        if !self.nominated.is_empty() {
            self.fields.remove_named_at(&self.nominated);
        }
        if chunked && length.is_some() {
            return Err(reject(502, "upstream/length-and-chunked", 0));
        }
        self.framing = if method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304) {
            Framing::None
        } else {
            match (chunked, length) {
                (true, _) => Framing::Chunked,
                (false, Some(0)) => Framing::None,
                (false, Some(length)) => Framing::Length(length),
                (false, None) => Framing::UntilClose,
            }
        };
        self.close |= self.version == Version::Http10 && !keep_alive;
        self.close |= self.framing == Framing::UntilClose;
        Ok(())
    }

    fn read_connection(&mut self, value: Span) -> bool {
        let mut keep_alive = false;
        let text = value.of(self.fields.bytes());
        let mut offset = 0;
        for member in text.split(|&b| b == b',') {
            let lead = member.len() - member.trim_ascii_start().len();
            let trimmed = member.trim_ascii();
            let begin = value.start() + offset + lead;
            offset += member.len() + 1;
            if trimmed.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if trimmed.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            } else if !trimmed.is_empty()
                && !Known::of(trimmed).is_hop_by_hop()
                && Known::of(trimmed) != Known::ContentLength
            {
                self.nominated.push(Span::new(begin, begin + trimmed.len()));
            } else {
                // Removed with or without being named.
            }
        }
        keep_alive
    }

    /// Status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.reason = Span::default();
    }

    /// Reason phrase as received; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.reason.of(self.fields.bytes())
    }

    /// Version the upstream spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Says how the body of a response of our own is delimited.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Derives the framing of a response that came by HTTP/2: a stream ends by itself.
    pub fn take_http2_framing(&mut self, bodiless: bool, ended: bool) {
        let length = self.fields.first(Known::ContentLength).and_then(parse_length);
        let bodiless = bodiless || ended && length.is_none();
        self.version = Version::Http2;
        self.framing = match (bodiless, length) {
            (true, _) | (false, Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
    }

    /// Whether the upstream closes the connection after this response.
    pub fn close(&self) -> bool {
        self.close
    }

    /// The fields, in order.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to change.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

const FIELDS_MAX: usize = 256;

fn parse_status(line: &[u8]) -> Option<(u16, Span)> {
    let rest = line.get(8..)?.strip_prefix(b" ")?;
    let (code, reason) = rest.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' {
        return None;
    }
    let from = match reason {
        [] => line.len(),
        [b' ', text @ ..] if is_field_value(text) => 13,
        _ => return None,
    };
    let status = code.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    Some((status, Span::new(from, line.len())))
}

/// The same faults, made by an upstream: the client gets 502.
fn as_upstream(fault: Rejection) -> Rejection {
    Rejection { status: 502, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, text: &str, expected: Result<(u16, Framing, bool), &str>) {
        let mut head = ResponseHead::default();
        let got = head.parse(text.as_bytes(), method, 64 << 10).map(|parsed| {
            assert_eq!(parsed, Parsed::Complete(text.len()));
            (head.status(), head.framing(), head.close())
        });
        assert_eq!(got.map_err(|e| e.code), expected, "{text:?}");
    }

    #[test]
    fn framing_follows_rfc_9112_6_3() {
        check(
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Ok((200, Framing::Length(5), false)),
        );
        check(
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Ok((200, Framing::None, false)),
        );
        check(
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            Ok((304, Framing::None, false)),
        );
        check(
            "GET",
            "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n",
            Ok((200, Framing::Chunked, false)),
        );
        check("GET", "HTTP/1.1 200 \r\n\r\n", Ok((200, Framing::UntilClose, true)));
        check(
            "GET",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            Ok((200, Framing::None, true)),
        );
        check(
            "GET",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
            Ok((200, Framing::Length(1), false)),
        );
        check(
            "GET",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
            Ok((200, Framing::Length(1), true)),
        );
    }

    #[test]
    fn garbage_is_refused() {
        check("GET", "HTTP/1.1 20 OK\r\n\r\n", Err("upstream/status-line"));
        check("GET", "HTTP/1.1 200OK\r\n\r\n", Err("upstream/status-line"));
        check("GET", "HTTP/1.1 200 OK\n\n", Err("upstream/bare-lf"));
        check("GET", "hello world\r\n\r\n", Err("head-gate/version"));
        check(
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            Err("upstream/content-length"),
        );
        check(
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err("upstream/length-and-chunked"),
        );
        check(
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            Err("upstream/transfer-encoding"),
        );
        check("GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Err("head-gate/obs-fold"));
    }
}
