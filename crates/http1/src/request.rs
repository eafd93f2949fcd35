use crate::{
    Fields, Framing, Known, Span,
    authority::{Authority, parse_authority},
    fields::{Block, is_target_byte, is_token, token_len},
};

/// Bounds of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, request line and empty line included.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

impl Default for HeadLimits {
    /// 32 KiB and 100 fields.
    fn default() -> Self {
        Self { bytes: 32 << 10, fields: 100 }
    }
}

/// How far a head was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is whole and took this many bytes.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// Why a head was refused. The connection cannot go on: nobody knows where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Status for the client: 400, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// Stable token for logs and metrics, such as `head-gate/duplicate-host`.
    pub code: &'static str,
    /// Offset of the byte that decided, as near as it is known.
    pub at: usize,
}

pub(crate) fn reject(status: u16, code: &'static str, at: usize) -> Rejection {
    Rejection { status, code, at }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {} ({})", self.code, self.at, self.status)
    }
}

impl std::error::Error for Rejection {}

/// Version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// A request's head, on bytes of its own, with everything derived that more than one reader needs.
///
/// Made to be reused: parsing into it again keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    method: Span,
    path: Span,
    query: Span,
    has_query: bool,
    authority: Span,
    host: Span,
    version: Version,
    framing: Framing,
    close: bool,
    upgrade: Span,
    asks_for_upgrade: bool,
    expects_continue: bool,
    accepts_trailers: bool,
    nominated: Vec<Span>,
}

impl RequestHead {
    /// Reads a head from the start of `bytes` (RFC 9112), and refuses what two servers could read in two ways.
    ///
    /// One empty line before the request line is skipped (§2.2).
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, Rejection> {
        let window = &bytes[..bytes.len().min(limits.bytes)];
        match self.parse_window(window, limits)? {
            Parsed::Partial if bytes.len() >= limits.bytes => Err(too_long(window)),
            parsed => Ok(parsed),
        }
    }

    fn parse_window(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, Rejection> {
        self.clear();
        let start = match bytes {
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return Ok(Parsed::Partial),
            _ => 0,
        };
        let Some(line) = parse_request_line(bytes, start)? else { return Ok(Parsed::Partial) };
        let block = self.fields.take_block(bytes, line.end, limits.fields)?;
        let Block::End(end) = block else { return Ok(Parsed::Partial) };
        self.take_line(&line);
        self.read_fields()?;
        self.take_target(line.target)?;
        Ok(Parsed::Complete(end))
    }

    /// Takes a head that came in another shape (HTTP/2) through the same gate.
    ///
    /// `path` is the `:path` pseudo-header, `authority` the `:authority` if there was one.
    pub fn assemble<'a>(
        &mut self,
        method: &str,
        path: &str,
        authority: Option<&str>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Rejection> {
        self.clear();
        let method = self.fields.append_bytes(method.as_bytes());
        let target = self.fields.append_bytes(path.as_bytes());
        for (name, value) in fields {
            if value.trim_ascii().len() != value.len() {
                return Err(reject(400, "head-gate/value-space", 0));
            }
            self.fields.push(name, value);
        }
        let hosts = self.fields.all(Known::Host).count();
        match (authority, hosts) {
            (Some(authority), 0) => self.fields.push(b"host", authority.as_bytes()),
            (Some(authority), 1) => {
                let host = self.fields.first(Known::Host).unwrap_or_default();
                if !host.eq_ignore_ascii_case(authority.as_bytes()) {
                    return Err(reject(400, "head-gate/authority-differs", 0));
                }
            }
            _ => {}
        }
        let line = RequestLine { method, target, version: Version::Http2, end: 0 };
        self.take_line(&line);
        if !is_token(self.method().as_bytes()) {
            return Err(reject(400, "head-gate/method", 0));
        }
        if let Some(at) = path.bytes().position(|b| !is_target_byte(b)) {
            return Err(reject(400, "head-gate/target-byte", at));
        }
        self.read_fields()?;
        self.take_target(target)
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let Self { fields, nominated, .. } = std::mem::take(self);
        (self.fields, self.nominated) = (fields, nominated);
        self.fields.clear();
        self.nominated.clear();
    }

    fn take_line(&mut self, line: &RequestLine) {
        self.method = line.method;
        self.version = line.version;
    }

    /// One walk over the fields: framing, host, connection options, expectations.
    fn read_fields(&mut self) -> Result<(), Rejection> {
        let mut host = None;
        let mut length = None;
        let mut chunked = false;
        let mut keep_alive = false;
        for i in 0..self.fields.list().len() {
            let field = self.fields.list()[i];
            let value = field.value.of(self.fields.bytes());
            match field.known {
                Known::Host if host.is_some() => {
                    return Err(reject(400, "head-gate/duplicate-host", at(field.name)));
                }
                Known::Host => host = Some(field.value),
                Known::ContentLength if length.is_some() => {
                    return Err(reject(400, "head-gate/duplicate-content-length", at(field.name)));
                }
                Known::ContentLength | Known::TransferEncoding
                    if self.fields.bytes().get(at(field.value) + value.len()) == Some(&b'\t') =>
                {
                    return Err(reject(400, "head-gate/tab", at(field.value) + value.len()));
                }
                Known::ContentLength => {
                    length = Some(parse_length(value).ok_or(reject(
                        400,
                        "head-gate/content-length",
                        at(field.value),
                    ))?);
                }
                Known::TransferEncoding if chunked => {
                    return Err(reject(
                        400,
                        "head-gate/duplicate-transfer-encoding",
                        at(field.name),
                    ));
                }
                Known::TransferEncoding if !value.eq_ignore_ascii_case(b"chunked") => {
                    return Err(reject(501, "head-gate/transfer-encoding", at(field.value)));
                }
                Known::TransferEncoding => chunked = true,
                Known::Connection => keep_alive |= self.read_connection(field.value)?,
                Known::Upgrade if self.upgrade.is_empty() => self.upgrade = field.value,
                Known::Upgrade => {
                    return Err(reject(400, "head-gate/duplicate-upgrade", at(field.name)));
                }
                Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                    self.expects_continue = true
                }
                Known::Expect => return Err(reject(417, "head-gate/expect", at(field.value))),
                Known::Te => self.accepts_trailers |= has_list_member(value, b"trailers"),
                _ => {}
            }
        }
        self.framing = match (chunked, length) {
            (true, Some(_)) => return Err(reject(400, "head-gate/length-and-chunked", 0)),
            (true, None) if self.version != Version::Http11 => {
                return Err(reject(400, "head-gate/chunked-version", 0));
            }
            (true, None) => Framing::Chunked,
            (false, Some(0) | None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        if self.version == Version::Http10 {
            self.close |= !keep_alive;
            self.expects_continue = false;
        }
        if !self.nominated.is_empty() {
            // Meant for this hop alone (RFC 9110 §7.6.1): as if it had not been sent to the next.
            self.fields.remove_named_at(&self.nominated);
        }
        self.take_host(host)
    }

    /// Reads one `Connection` field; true if it asks to keep the connection.
    fn read_connection(&mut self, value: Span) -> Result<bool, Rejection> {
        let mut keep_alive = false;
        let start = at(value);
        let text = value.of(self.fields.bytes());
        let mut from = 0;
        for member in text.split(|&b| b == b',') {
            let offset = from;
            from += member.len() + 1;
            let trimmed = member.trim_ascii();
            if trimmed.is_empty() {
                continue;
            }
            let begin =
                start + offset + member.trim_ascii_start().as_ptr().addr() - member.as_ptr().addr();
            if !is_token(trimmed) {
                return Err(reject(400, "head-gate/connection", begin));
            }
            if trimmed.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if trimmed.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            } else if trimmed.eq_ignore_ascii_case(b"upgrade") {
                self.asks_for_upgrade = true;
            } else if may_not_be_nominated(Known::of(trimmed)) {
                return Err(reject(400, "head-gate/connection-nominates", begin));
            } else if !Known::of(trimmed).is_hop_by_hop() {
                self.nominated.push(Span::new(begin, begin + trimmed.len()));
            } else {
                // Hop-by-hop by definition: removed with or without being named.
            }
        }
        Ok(keep_alive)
    }

    fn take_host(&mut self, host: Option<Span>) -> Result<(), Rejection> {
        let Some(host) = host else {
            if self.version != Version::Http10 {
                return Err(reject(400, "head-gate/missing-host", 0));
            }
            self.authority = Span::default();
            self.host = Span::default();
            return Ok(());
        };
        self.authority = host;
        let name = check_authority(host, self.fields.bytes())?.host.len();
        self.set_host(at(host), name);
        Ok(())
    }

    /// The host is the first `length` bytes at `start`, in lower case.
    fn set_host(&mut self, start: usize, length: usize) {
        let span = Span::new(start, start + length);
        let host = span.of(self.fields.bytes());
        self.host = if host.iter().any(u8::is_ascii_uppercase) {
            let lower = host.to_ascii_lowercase();
            self.fields.append_bytes(&lower)
        } else {
            span
        };
    }

    /// Splits the target into path and query; a whole URI must name the same host as `Host` does.
    fn take_target(&mut self, target: Span) -> Result<(), Rejection> {
        let bytes = self.fields.bytes();
        let text = target.of(bytes);
        let (start, end) = (at(target), at(target) + text.len());
        if self.method.of(bytes) == b"CONNECT" {
            return Err(reject(501, "head-gate/connect", start));
        }
        match text {
            [b'/', ..] => self.split_path(start, target),
            b"*" if self.method.of(bytes) == b"OPTIONS" => self.split_path(start, target),
            _ if self.version == Version::Http2 => return Err(reject(400, "head-gate/target", 0)),
            _ => {
                let after = scheme_len(text).ok_or(reject(400, "head-gate/target", start))?;
                let rest = &text[after..];
                let authority_len =
                    rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                let authority = Span::new(start + after, start + after + authority_len);
                self.compare_hosts(authority)?;
                let path = Span::new(start + after + authority_len, end);
                self.split_path(at(path), path);
                if self.path.is_empty() {
                    self.path = self.fields.append_bytes(b"/");
                }
            }
        }
        Ok(())
    }

    fn compare_hosts(&mut self, authority: Span) -> Result<(), Rejection> {
        let bytes = self.fields.bytes();
        let ours = check_authority(authority, bytes)?;
        if self.authority.is_empty() {
            let length = ours.host.len();
            self.authority = authority;
            self.set_host(at(authority), length);
            return Ok(());
        }
        let theirs = check_authority(self.authority, bytes)?;
        let same = ours.host.eq_ignore_ascii_case(theirs.host)
            && ours.port.filter(|p| *p != 80) == theirs.port.filter(|p| *p != 80);
        if same { Ok(()) } else { Err(reject(400, "head-gate/host-differs", at(authority))) }
    }

    fn split_path(&mut self, start: usize, target: Span) {
        let text = target.of(self.fields.bytes());
        let mark = memchr::memchr(b'?', text);
        let end = start + text.len();
        let path_end = mark.map_or(end, |mark| start + mark);
        self.path = Span::new(start, path_end);
        self.has_query = mark.is_some();
        self.query = Span::new(mark.map_or(end, |mark| start + mark + 1), end);
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(span.of(self.fields.bytes())).unwrap_or_default()
    }

    /// The method, as received; methods are case-sensitive.
    pub fn method(&self) -> &str {
        self.text(self.method)
    }

    /// Path as received, with its percent-encodings; `*` for `OPTIONS *`.
    pub fn raw_path(&self) -> &str {
        self.text(self.path)
    }

    /// Query as received, without `?`. [`Self::has_query`] tells an empty one from none.
    pub fn query(&self) -> &str {
        self.text(self.query)
    }

    /// Whether there was a `?`.
    pub fn has_query(&self) -> bool {
        self.has_query
    }

    /// Host in lower case without port; empty if the request (HTTP/1.0) had none.
    pub fn host(&self) -> &str {
        self.text(self.host)
    }

    /// Host and port as received.
    pub fn authority(&self) -> &str {
        self.text(self.authority)
    }

    /// The protocol's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client wants the connection closed after this exchange.
    pub fn close(&self) -> bool {
        self.close
    }

    /// The protocol the client would like to switch to; empty if none.
    pub fn upgrade(&self) -> &str {
        self.text(self.upgrade)
    }

    /// Whether the `Connection` field makes the `Upgrade` field a request to switch (RFC 9110 §7.8).
    pub fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the client said `TE: trailers`.
    pub fn accepts_trailers(&self) -> bool {
        self.accepts_trailers
    }

    /// A copy for whoever keeps it long: the request line, the authority, and of the fields those that `keep` names, in no more
    /// memory than these take. What was derived from other fields stays as it was.
    pub fn excerpt(&self, keep: impl Fn(Known) -> bool) -> Self {
        let own = self.fields.bytes();
        let texts = [self.method, self.path, self.query, self.authority, self.host, self.upgrade];
        let kept = || self.fields.iter().filter(|(_, _, known)| keep(*known));
        let of_fields: usize = kept().map(|(name, value, _)| name.len() + value.len()).sum();
        let of_texts: usize = texts.iter().map(|text| text.len()).sum();
        let mut fields = Fields::with_capacity(of_texts + of_fields, kept().count());
        let [method, path, query, authority, host, upgrade] =
            texts.map(|text| fields.append_bytes(text.of(own)));
        kept().for_each(|(name, value, _)| fields.push(name, value));
        Self {
            fields,
            method,
            path,
            query,
            has_query: self.has_query,
            authority,
            host,
            version: self.version,
            framing: self.framing,
            close: self.close,
            upgrade,
            asks_for_upgrade: self.asks_for_upgrade,
            expects_continue: self.expects_continue,
            accepts_trailers: self.accepts_trailers,
            nominated: Vec::new(),
        }
    }

    /// Adds a field whose value is the authority.
    pub fn push_authority_as(&mut self, name: &[u8]) {
        self.fields.push_span(name, self.authority);
    }

    /// The fields, in order.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to change. What was derived from them (host, framing) stays as it was.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

/// Whether parsing a head is worth a try when `seen` bytes of it were tried before: always at first,
/// then only once an empty line has come, so that a head sent byte by byte is not parsed byte by byte.
pub fn head_may_be_whole(bytes: &[u8], seen: usize) -> bool {
    let fresh = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    seen == 0
        || memchr::memmem::find(fresh, b"\n\r\n").is_some()
        || memchr::memmem::find(fresh, b"\n\n").is_some()
}

struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
    end: usize,
}

const METHOD_LEN_MAX: usize = 32;

fn parse_request_line(bytes: &[u8], start: usize) -> Result<Option<RequestLine>, Rejection> {
    let space = start + token_len(&bytes[start..]);
    if space - start > METHOD_LEN_MAX {
        return Err(reject(400, "head-gate/method", start));
    }
    match bytes.get(space) {
        None => return Ok(None),
        Some(b' ') if space > start => {}
        Some(b'\n') => return Err(reject(400, "head-gate/bare-lf", space)),
        Some(_) => return Err(reject(400, "head-gate/method", space)),
    }
    let from = space + 1;
    let end =
        from + bytes[from..].iter().position(|&b| !is_target_byte(b)).unwrap_or(bytes.len() - from);
    match bytes.get(end) {
        None => return Ok(None),
        Some(b' ') if end > from => {}
        Some(b'\r' | b'\n') => return Err(reject(400, "head-gate/no-version", end)),
        Some(_) => return Err(reject(400, "head-gate/target-byte", end)),
    }
    let Some(version) = parse_version(&bytes[end + 1..], end + 1)? else { return Ok(None) };
    let after = end + 1 + 8;
    match (bytes.get(after), bytes.get(after + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(b'\n')) => Ok(Some(RequestLine {
            method: Span::new(start, space),
            target: Span::new(from, end),
            version,
            end: after + 2,
        })),
        (Some(b'\n'), _) => Err(reject(400, "head-gate/bare-lf", after)),
        _ => Err(reject(400, "head-gate/version", after)),
    }
}

/// `HTTP/1.0` or `HTTP/1.1`; another version is 505, anything else is 400.
pub(crate) fn parse_version(bytes: &[u8], offset: usize) -> Result<Option<Version>, Rejection> {
    const NAME: &[u8] = b"HTTP/";
    let seen = &bytes[..bytes.len().min(NAME.len())];
    if !NAME.starts_with(seen) {
        return Err(reject(400, "head-gate/version", offset));
    }
    match bytes.get(5..8) {
        None => Ok(None),
        Some(b"1.1") => Ok(Some(Version::Http11)),
        Some(b"1.0") => Ok(Some(Version::Http10)),
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(reject(505, "head-gate/version-unsupported", offset))
        }
        Some(_) => Err(reject(400, "head-gate/version", offset)),
    }
}

/// Digits only, at most 18 of them: no sign, no list, no space.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    plain.then(|| value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

pub(crate) fn has_list_member(value: &[u8], member: &[u8]) -> bool {
    value
        .split(|&b| b == b',')
        .map(|part| part.split(|&b| b == b';').next().unwrap_or_default().trim_ascii())
        .any(|part| part.eq_ignore_ascii_case(member))
}

/// Fields that no `Connection` option may take away: what the next hop's framing, routing and
/// authorization rest on.
fn may_not_be_nominated(known: Known) -> bool {
    matches!(
        known,
        Known::Host
            | Known::ContentLength
            | Known::Authorization
            | Known::Cookie
            | Known::ContentType
            | Known::Forwarded
            | Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedProto
    )
}

fn check_authority(span: Span, bytes: &[u8]) -> Result<Authority<'_>, Rejection> {
    parse_authority(span.of(bytes)).map_err(|_| reject(400, "head-gate/authority", at(span)))
}

fn scheme_len(target: &[u8]) -> Option<usize> {
    [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(<[u8]>::len)
}

fn at(span: Span) -> usize {
    span.start()
}

fn too_long(window: &[u8]) -> Rejection {
    let line_ended = memchr::memchr(b'\n', window.get(2..).unwrap_or_default()).is_some();
    if line_ended {
        reject(431, "limit/head", window.len())
    } else {
        reject(414, "limit/target", window.len())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let mut head = RequestHead::default();
        let shown = match head.parse(text.as_bytes(), &HeadLimits::default()) {
            Ok(Parsed::Complete(end)) => format!(
                "{} {} {}{}{} {:?}{}{}{} +{}",
                head.method(),
                head.host(),
                head.raw_path(),
                if head.has_query() { "?" } else { "" },
                head.query(),
                head.framing(),
                if head.close() { " close" } else { "" },
                if head.upgrade().is_empty() { "" } else { " upgrade" },
                if head.expects_continue() { " expect" } else { "" },
                text.len() - end
            ),
            Ok(Parsed::Partial) => "partial".to_owned(),
            Err(rejection) => rejection.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn plain_requests() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", expect!["GET a / None +0"]);
        check("\r\nGET / HTTP/1.1\r\nHost: A.b:80\r\n\r\nrest", expect!["GET a.b / None +4"]);
        check("GET /p?q=1 HTTP/1.0\r\n\r\n", expect!["GET  /p?q=1 None close +0"]);
        check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", expect!["GET  / None +0"]);
        check("GET http://X.y HTTP/1.1\r\nHost: x.y:80\r\n\r\n", expect!["GET x.y / None +0"]);
        check("GET http://x.y?a HTTP/1.1\r\nHost: x.y\r\n\r\n", expect!["GET x.y /?a None +0"]);
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", expect!["OPTIONS a * None +0"]);
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
            expect!["POST a / Length(12) close +0"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            expect!["POST a / Chunked expect +0"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            expect!["GET a / None upgrade +0"],
        );
    }

    #[test]
    fn what_servers_read_in_two_ways_is_refused() {
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            expect!["head-gate/length-and-chunked at byte 0 (400)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            expect!["head-gate/duplicate-content-length at byte 45 (400)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            expect!["head-gate/content-length at byte 42 (400)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            expect!["head-gate/content-length at byte 42 (400)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            expect!["head-gate/transfer-encoding at byte 45 (501)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            expect!["head-gate/duplicate-transfer-encoding at byte 54 (400)"],
        );
        check(
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            expect!["head-gate/chunked-version at byte 0 (400)"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            expect!["head-gate/space-before-colon at byte 43 (400)"],
        );
        check("GET / HTTP/1.1\r\n\r\n", expect!["head-gate/missing-host at byte 0 (400)"]);
        check("GET / HTTP/1.1\r\nHost:\r\n\r\n", expect!["head-gate/authority at byte 21 (400)"]);
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            expect!["head-gate/duplicate-host at byte 25 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            expect!["head-gate/authority at byte 22 (400)"],
        );
        check(
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            expect!["head-gate/host-differs at byte 11 (400)"],
        );
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", expect!["head-gate/bare-lf at byte 14 (400)"]);
        check("GET / HTTP/1.1\r\nHost: a\n\r\n", expect!["head-gate/bare-lf at byte 23 (400)"]);
        check(
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            expect!["head-gate/bare-cr at byte 23 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
            expect!["head-gate/obs-fold at byte 31 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            expect!["head-gate/value-byte at byte 28 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            expect!["head-gate/empty-name at byte 25 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            expect!["head-gate/no-colon at byte 26 (400)"],
        );
        check(
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            expect!["head-gate/target-byte at byte 4 (400)"],
        );
        check(
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            expect!["head-gate/target-byte at byte 6 (400)"],
        );
        check(
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            expect!["head-gate/target-byte at byte 5 (400)"],
        );
        check("GET a HTTP/1.1\r\nHost: a\r\n\r\n", expect!["head-gate/target at byte 4 (400)"]);
        check(
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            expect!["head-gate/connect at byte 8 (501)"],
        );
        check("GET /\r\n", expect!["head-gate/no-version at byte 5 (400)"]);
        check("GET / HTTP/2.0\r\n\r\n", expect!["head-gate/version-unsupported at byte 6 (505)"]);
        check("GET / http/1.1\r\n\r\n", expect!["head-gate/version at byte 6 (400)"]);
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n",
            expect!["head-gate/connection-nominates at byte 37 (400)"],
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n",
            expect!["head-gate/expect at byte 33 (417)"],
        );
    }

    #[test]
    fn heads_have_bounds() {
        let mut head = RequestHead::default();
        let limits = HeadLimits { bytes: 200, fields: 3 };
        let mut refuse =
            |text: String| head.parse(text.as_bytes(), &limits).map_err(|r| (r.status, r.code));
        assert_eq!(
            refuse(format!("GET /{} HTTP/1.1\r\n", "a".repeat(300))),
            Err((414, "limit/target"))
        );
        assert_eq!(
            refuse(format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(300))),
            Err((431, "limit/head"))
        );
        assert_eq!(
            refuse("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\nd:\r\n\r\n".into()),
            Err((431, "limit/head-fields"))
        );
    }

    #[test]
    fn what_a_connection_option_names_goes_no_further() {
        let mut head = RequestHead::default();
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Drop ,te\r\nx-drop: 1\r\nX-Keep: 1\r\n\r\n";
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        assert_eq!(head.fields().named("x-drop").count(), 0);
        assert_eq!(head.fields().named("x-keep").count(), 1);
        assert!(!head.close());
    }

    #[test]
    fn nothing_of_an_earlier_head_is_left() {
        let mut head = RequestHead::default();
        let text = "POST /path?query HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\n";
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        head.parse(b"G\0", &HeadLimits::default()).unwrap_err();
        let left = (head.method(), head.host(), head.raw_path(), head.query(), head.framing());
        assert_eq!(left, ("", "", "", "", Framing::None));
    }

    /// Nothing may be left of a head that was not taken whole: it is read for the access log.
    #[track_caller]
    fn check_nothing_left(text: &str) {
        let mut head = RequestHead::default();
        let before = "POST /path HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\n\r\n";
        head.parse(before.as_bytes(), &HeadLimits::default()).unwrap();
        let parsed = head.parse(text.as_bytes(), &HeadLimits { bytes: 100, fields: 2 });
        assert!(!matches!(parsed, Ok(Parsed::Complete(_))));
        assert_eq!((head.method(), head.fields().len()), ("", 0));
        assert_eq!(head.fields().first(Known::UserAgent), None);
    }

    #[test]
    fn a_head_that_is_not_taken_has_no_fields() {
        check_nothing_left("\r");
        check_nothing_left("G");
        check_nothing_left("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: y\r\n");
        check_nothing_left("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: y\r\nA: b\r\n\r\n");
        check_nothing_left("GET / HTTP/1.1\r\nUser-Agent: y\r\nbad field\r\n\r\n");
    }

    #[test]
    fn http2_heads_pass_the_same_gate() {
        let mut head = RequestHead::default();
        let none = || std::iter::empty::<(&[u8], &[u8])>();
        head.assemble("GET", "/a?b", Some("Ex.com:1"), none()).unwrap();
        assert_eq!(
            (head.host(), head.raw_path(), head.query(), head.authority()),
            ("ex.com", "/a", "b", "Ex.com:1")
        );
        let host = [(b"host".as_slice(), b"other".as_slice())];
        assert_eq!(
            head.assemble("GET", "/", Some("ex.com"), host.into_iter()).unwrap_err().code,
            "head-gate/authority-differs"
        );
        assert_eq!(
            head.assemble("GET", "http://x/", Some("x"), none()).unwrap_err().code,
            "head-gate/target"
        );
        assert_eq!(
            head.assemble("GET", "/", Some("a@b"), none()).unwrap_err().code,
            "head-gate/authority"
        );
    }

    #[test]
    fn an_excerpt_says_the_same_of_what_it_has() {
        let text = "GET http://A.example/p%20q?x=1 HTTP/1.1\r\nHost: A.example\r\nUser-Agent: u\r\n\
                    Cookie: c\r\nConnection: upgrade, x-own\r\nUpgrade: websocket\r\nX-Own: y\r\n\r\n";
        let mut head = RequestHead::default();
        let parsed = head.parse(text.as_bytes(), &HeadLimits::default());
        assert_eq!(parsed, Ok(Parsed::Complete(text.len())));
        head.fields_mut().push(b"via", b"1.1 proxy");
        let excerpt = head.excerpt(|known| matches!(known, Known::Host | Known::Via));
        let line = |head: &RequestHead| {
            [
                head.method(),
                head.raw_path(),
                head.query(),
                head.authority(),
                head.host(),
                head.upgrade(),
            ]
            .map(str::to_owned)
        };
        assert_eq!(line(&excerpt), line(&head));
        assert_eq!(line(&head), ["GET", "/p%20q", "x=1", "A.example", "a.example", "websocket"]);
        let fields: Vec<_> = excerpt.fields().iter().collect();
        let host = (b"Host".as_slice(), b"A.example".as_slice(), Known::Host);
        assert_eq!(fields, [host, (b"via", b"1.1 proxy", Known::Via)]);
        let whole = head.excerpt(|_| true);
        assert!(whole.fields().iter().eq(head.fields().iter()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RequestHead::default().parse(&bytes, &HeadLimits::default());
        }

        #[test]
        fn a_prefix_is_never_refused(cut in 0usize..80) {
            let text = "POST /a?b HTTP/1.1\r\nHost: ex.com\r\nConnection: close, x\r\nContent-Length: 3\r\n\r\n";
            let cut = cut.min(text.len() - 1);
            let got = RequestHead::default().parse(&text.as_bytes()[..cut], &HeadLimits::default());
            prop_assert_eq!(got, Ok(Parsed::Partial));
        }
    }
}
