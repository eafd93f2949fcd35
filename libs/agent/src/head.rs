use std::fmt;

use bytes::BufMut;

use crate::{
    attributes::{Attributes, AttributesBuf},
    fields::{Fields, FieldsBuf},
    wire::{Malformed, Reader, TooLong, put_bytes8, put_bytes16},
};

/// The version of HTTP that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10 = 10,
    /// HTTP/1.1
    #[default]
    Http11 = 11,
    /// HTTP/2
    Http2 = 20,
    /// HTTP/3
    Http3 = 30,
}

impl HttpVersion {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            10 => Some(Self::Http10),
            11 => Some(Self::Http11),
            20 => Some(Self::Http2),
            30 => Some(Self::Http3),
            _ => None,
        }
    }
}

/// The head of a request with its attributes, as a view of the frame that brought it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    payload: &'a [u8],
    layout: RequestLayout,
}

/// Where things lie in a payload that was read.
#[derive(Clone, Copy)]
struct RequestLayout {
    attributes: Span,
    attribute_count: u16,
    method: Span,
    scheme: Span,
    authority: Span,
    target: Span,
    version: HttpVersion,
    fields: Span,
    field_count: u16,
    has_body: bool,
}

/// A part of a payload.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part`, which was just read, lies in `payload`.
    fn behind(part: &[u8], payload: &[u8], reader: &Reader<'_>) -> Self {
        let end = payload.len() - reader.rest().len();
        Self { start: (end - part.len()) as u32, end: end as u32 }
    }

    fn of(self, payload: &[u8]) -> &[u8] {
        &payload[self.start as usize..self.end as usize]
    }

    fn text(self, payload: &[u8]) -> &str {
        std::str::from_utf8(self.of(payload)).expect("it was UTF-8 when the payload was read")
    }
}

impl<'a> RequestHead<'a> {
    /// Reads the payload of a `REQUEST_HEADERS` frame; `has_body` is false if the frame said that none of its body follows.
    pub fn parse(payload: &'a [u8], has_body: bool) -> Result<Self, Malformed> {
        if u32::try_from(payload.len()).is_err() {
            return Err(Malformed("a head of more than four gibibytes"));
        }
        let reader = &mut Reader::new(payload);
        let text = |text: &str, reader: &Reader<'_>| Span::behind(text.as_bytes(), payload, reader);
        let attributes = Attributes::read(reader)?;
        let attribute_count = attributes.count();
        let attributes = Span::behind(attributes.bytes(), payload, reader);
        let method = text(reader.text8()?, reader);
        let scheme = text(reader.text8()?, reader);
        let authority = text(reader.text16()?, reader);
        let target = text(reader.text16()?, reader);
        let version = HttpVersion::from_number(reader.u8()?);
        let version = version.ok_or(Malformed("a version of HTTP that does not exist"))?;
        let field_count = reader.u16()?;
        let fields = Span::behind(Fields::skip(reader, field_count)?, payload, reader);
        let layout = RequestLayout {
            attributes,
            attribute_count,
            method,
            scheme,
            authority,
            target,
            version,
            fields,
            field_count,
            has_body,
        };
        reader.end()?;
        Ok(Self { payload, layout })
    }

    /// What the edge knows beside the head: the client, the route, values of earlier agents.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::known(self.layout.attribute_count, self.layout.attributes.of(self.payload))
    }

    /// The method, as received: methods are case-sensitive.
    pub fn method(&self) -> &'a str {
        self.layout.method.text(self.payload)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'a str {
        self.layout.scheme.text(self.payload)
    }

    /// Host and port as the client named them.
    pub fn authority(&self) -> &'a str {
        self.layout.authority.text(self.payload)
    }

    /// Path and query, as the upstream will see them.
    pub fn target(&self) -> &'a str {
        self.layout.target.text(self.payload)
    }

    /// The target up to the `?`.
    pub fn path(&self) -> &'a str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The target after the `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The version that the client speaks.
    pub fn version(&self) -> HttpVersion {
        self.layout.version
    }

    /// All fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        Fields::known(self.layout.field_count, self.layout.fields.of(self.payload))
    }

    /// The value of the first field of this name in any case, if it is UTF-8. Where a second field of
    /// the name would matter, ask [`Fields::all`].
    pub fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.fields().get(name)?).ok()
    }

    /// Whether the body follows, as far as the agent wants it.
    pub fn has_body(&self) -> bool {
        self.layout.has_body
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("attributes", &self.attributes())
            .field("method", &self.method())
            .field("scheme", &self.scheme())
            .field("authority", &self.authority())
            .field("target", &self.target())
            .field("version", &self.version())
            .field("fields", &self.fields())
            .field("has_body", &self.has_body())
            .finish()
    }
}

/// A head that outlives its frame.
#[cfg(feature = "serve")]
pub(crate) struct OwnedRequestHead {
    payload: Box<[u8]>,
    layout: RequestLayout,
}

#[cfg(feature = "serve")]
impl OwnedRequestHead {
    pub(crate) fn new(head: &RequestHead<'_>) -> Self {
        Self { payload: head.payload.into(), layout: head.layout }
    }

    pub(crate) fn view(&self) -> RequestHead<'_> {
        RequestHead { payload: &self.payload, layout: self.layout }
    }
}

/// The head of a response, as a view of the frame that brought it.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    status: u16,
    fields: Fields<'a>,
    has_body: bool,
}

impl<'a> ResponseHead<'a> {
    /// Reads the payload of a `RESPONSE_HEADERS` frame; `has_body` is false if the frame said that none of its body follows.
    pub fn parse(payload: &'a [u8], has_body: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let status = status(&mut reader)?;
        let head = Self { status, fields: Fields::read(&mut reader)?, has_body };
        reader.end()?;
        Ok(head)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// All fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// The value of the first field of this name in any case, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.fields.get(name)?).ok()
    }

    /// Whether the body follows, as far as the agent wants it.
    pub fn has_body(&self) -> bool {
        self.has_body
    }
}

/// A head that outlives its frame.
#[cfg(feature = "serve")]
pub(crate) struct OwnedResponseHead {
    status: u16,
    count: u16,
    fields: Box<[u8]>,
    has_body: bool,
}

#[cfg(feature = "serve")]
impl OwnedResponseHead {
    pub(crate) fn new(head: &ResponseHead<'_>) -> Self {
        let ResponseHead { status, fields, has_body } = *head;
        Self { status, count: fields.count(), fields: fields.bytes().into(), has_body }
    }

    pub(crate) fn view(&self) -> ResponseHead<'_> {
        let fields = Fields::known(self.count, &self.fields);
        ResponseHead { status: self.status, fields, has_body: self.has_body }
    }
}

pub(crate) fn status(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let status = reader.u16()?;
    if is_status(status) { Ok(status) } else { Err(Malformed("not a status")) }
}

fn is_status(status: u16) -> bool {
    (100..=999).contains(&status)
}

/// A request's head to be sent, without attributes, so that one serves every agent; its buffers are
/// used again after `start`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHeadBuf {
    line: Vec<u8>,
    fields: FieldsBuf,
    flaw: bool,
}

impl RequestHeadBuf {
    /// Begins a head, and forgets the one before.
    pub fn start(&mut self, line: RequestLine<'_>) -> &mut FieldsBuf {
        let RequestLine { method, scheme, authority, target, version } = line;
        self.line.clear();
        self.fields.clear();
        let mut put = || -> Result<(), TooLong> {
            put_bytes8(&mut self.line, method.as_bytes())?;
            put_bytes8(&mut self.line, scheme.as_bytes())?;
            put_bytes16(&mut self.line, authority.as_bytes())?;
            put_bytes16(&mut self.line, target.as_bytes())?;
            self.line.push(version as u8);
            Ok(())
        };
        self.flaw = put().is_err();
        &mut self.fields
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        if self.flaw || self.line.is_empty() {
            return Err(TooLong);
        }
        out.put_slice(&self.line);
        self.fields.write(out)
    }

    /// The payload of a `REQUEST_HEADERS` frame, for [`RequestHead::parse`] in tests of agents; nothing
    /// if the head cannot be sent.
    pub fn payload(&self, attributes: &AttributesBuf) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        attributes.write(&mut out).and_then(|()| self.write(&mut out)).ok()?;
        Some(out)
    }
}

impl fmt::Debug for RequestHeadBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHeadBuf").finish_non_exhaustive()
    }
}

/// What a request's head says before its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// As received.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the client named them.
    pub authority: &'a str,
    /// Path and query, as the upstream will see them.
    pub target: &'a str,
    /// What the client speaks.
    pub version: HttpVersion,
}

/// A response's head to be sent; its buffer is used again after `start`. One with a status that is not
/// of three digits cannot be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeadBuf {
    status: u16,
    fields: FieldsBuf,
}

impl ResponseHeadBuf {
    /// Begins a head, and forgets the one before.
    pub fn start(&mut self, status: u16) -> &mut FieldsBuf {
        self.status = status;
        self.fields.clear();
        &mut self.fields
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        if !is_status(self.status) {
            return Err(TooLong);
        }
        out.put_u16(self.status);
        self.fields.write(out)
    }

    /// The payload of a `RESPONSE_HEADERS` frame, for [`ResponseHead::parse`] in tests of agents; nothing
    /// if the head cannot be sent.
    pub fn payload(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out).ok()?;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(target: &str, fields: &[(&str, &[u8])]) -> Option<Vec<u8>> {
        let mut head = RequestHeadBuf::default();
        let own = head.start(RequestLine { method: "GET", target, ..RequestLine::default() });
        for (name, value) in fields {
            own.push(name, value);
        }
        head.payload(AttributesBuf::default().push("route", "api").push_value("user", "ada"))
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let fields: [(&str, &[u8]); 4] =
            [("Accept", b"a"), ("cookie", b"x=1"), ("COOKIE", b"y=2"), ("x-name", b"J\xfcrgen")];
        let payload = payload("/", &fields).expect("a short head");
        let head = RequestHead::parse(&payload, false).expect("just written");
        assert_eq!((head.header("accept"), head.header("Host")), (Some("a"), None));
        assert_eq!(head.fields().all("Cookie").collect::<Vec<_>>(), [b"x=1", b"y=2"]);
        assert_eq!((head.header("x-name"), head.fields().get("X-NAME")), (None, Some(fields[3].1)));
        assert_eq!((head.fields().len(), head.fields().iter().count()), (4, 4));
    }

    #[test]
    fn a_target_has_a_path_and_maybe_a_query() {
        #[track_caller]
        fn check(target: &str, path: &str, query: Option<&str>) {
            let payload = payload(target, &[]).expect("a short head");
            let head = RequestHead::parse(&payload, false).expect("just written");
            assert_eq!((head.path(), head.query()), (path, query));
        }
        check("/a", "/a", None);
        check("/a?", "/a", Some(""));
        check("/a?b?c", "/a", Some("b?c"));
        check("*", "*", None);
    }

    #[test]
    fn attributes_are_found_by_their_names() {
        let payload = payload("/", &[]).expect("a short head");
        let known = RequestHead::parse(&payload, false).expect("just written").attributes();
        assert_eq!((known.get("route"), known.get("user")), (Some("api"), None));
        assert_eq!((known.value("user"), known.get("value.user")), (Some("ada"), Some("ada")));
        assert_eq!((known.route_option("user"), known.client_address()), (None, None));
    }

    #[test]
    fn what_is_too_long_cannot_be_sent() {
        let long = "x".repeat(1 << 16);
        assert_eq!(payload(&long, &[]), None);
        assert_eq!(payload("/", &[("a", long.as_bytes())]), None);
        let mut head = RequestHeadBuf::default();
        assert_eq!(head.payload(&AttributesBuf::default()), None, "it was never begun");
        head.start(RequestLine { method: &long, ..RequestLine::default() });
        assert_eq!(head.payload(&AttributesBuf::default()), None);
        head.start(RequestLine { method: "GET", ..RequestLine::default() });
        assert!(head.payload(&AttributesBuf::default()).is_some(), "it begins anew");
        let mut attributes = AttributesBuf::default();
        attributes.push(&long, "");
        assert_eq!(head.payload(&attributes), None);
        let mut response = ResponseHeadBuf::default();
        response.start(1_000);
        assert_eq!(response.payload(), None);
    }

    #[test]
    fn a_head_needs_every_byte_and_no_more() {
        let mut payload = payload("/a", &[("a", b"b")]).expect("a short head");
        for cut in 0..payload.len() {
            RequestHead::parse(&payload[..cut], true).expect_err("it is cut");
        }
        payload.push(0);
        RequestHead::parse(&payload, true).expect_err("it goes on");
    }
}
