use std::fmt;

use bytes::BufMut;

use crate::{
    attributes::Attributes,
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
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    attributes: Attributes<'a>,
    method: &'a str,
    scheme: &'a str,
    authority: &'a str,
    target: &'a str,
    version: HttpVersion,
    fields: Fields<'a>,
    has_body: bool,
}

impl<'a> RequestHead<'a> {
    /// Reads the payload of a `REQUEST_HEADERS` frame; `has_body` is false if the frame said that no body follows.
    pub fn parse(payload: &'a [u8], has_body: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let head = Self {
            attributes: Attributes::read(&mut reader)?,
            method: reader.text8()?,
            scheme: reader.text8()?,
            authority: reader.text16()?,
            target: reader.text16()?,
            version: HttpVersion::from_number(reader.u8()?)
                .ok_or(Malformed("a version of HTTP that does not exist"))?,
            fields: Fields::read(&mut reader)?,
            has_body,
        };
        reader.end()?;
        Ok(head)
    }

    /// What the edge knows beside the head: the client, the route, values of earlier agents.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// The method, as received: methods are case-sensitive.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// Host and port as the client named them.
    pub fn authority(&self) -> &'a str {
        self.authority
    }

    /// Path and query, as the upstream will see them.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The target up to the `?`.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The target after the `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The version that the client speaks.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// All fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// The value of the first field of this name in any case, if it is UTF-8. Where a second field of
    /// the name would matter, ask [`Fields::all`].
    pub fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.fields.get(name)?).ok()
    }

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.has_body
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
    /// Reads the payload of a `RESPONSE_HEADERS` frame; `has_body` is false if the frame said that no body follows.
    pub fn parse(payload: &'a [u8], has_body: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let head =
            Self { status: status(&mut reader)?, fields: Fields::read(&mut reader)?, has_body };
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

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.has_body
    }
}

pub(crate) fn status(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let status = reader.u16()?;
    if (100..=999).contains(&status) { Ok(status) } else { Err(Malformed("not a status")) }
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

/// A response's head to be sent; its buffer is used again after `start`.
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
        out.put_u16(self.status);
        self.fields.write(out)
    }
}
