//! What the edge knows about an exchange beside its head, and under which names.

use std::fmt;

use bytes::BufMut;

use crate::wire::{Malformed, Reader, TooLong, put_bytes16};

/// The client's address, as the edge believes it: `192.0.2.7`.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The client's port.
pub const CLIENT_PORT: &str = "client.port";
/// The id of the listener that accepted the connection.
pub const LISTENER: &str = "listener";
/// The id of the route that matched.
pub const ROUTE: &str = "route";
/// The trace that the exchange belongs to: 32 hexadecimal digits.
pub const TRACE: &str = "trace";
/// The span under which agents report: 16 hexadecimal digits.
pub const SPAN: &str = "span";
/// The id of the request, as in the access log.
pub const REQUEST_ID: &str = "request.id";
/// The method; in a `log` event, which has no head.
pub const REQUEST_METHOD: &str = "request.method";
/// The authority; in a `log` event, which has no head.
pub const REQUEST_AUTHORITY: &str = "request.authority";
/// The target; in a `log` event, which has no head.
pub const REQUEST_TARGET: &str = "request.target";
/// The version of TLS: `TLSv1.3`. Absent without TLS.
pub const TLS_VERSION: &str = "tls.version";
/// The server's name that the client asked for.
pub const TLS_SNI: &str = "tls.sni";
/// The subject of the client's certificate in the order of its parts, `O=Example, CN=device-7`. Absent without a
/// verified certificate, and for a subject that is too long to be told whole.
pub const TLS_CLIENT_SUBJECT: &str = "tls.client.subject";
/// The alternative names of the client's certificate, each behind its kind, separated by commas:
/// `DNS:ci.example.com,URI:spiffe://example.org/ci,email:ci@example.com,IP:192.0.2.1`. Names with a comma are left out.
pub const TLS_CLIENT_SAN: &str = "tls.client.san";
/// The SHA-256 of the client's certificate in DER: 64 hexadecimal digits.
pub const TLS_CLIENT_SHA256: &str = "tls.client.sha256";
/// Begins the name of a value that an earlier agent gave: `value.user`.
pub const VALUE_PREFIX: &str = "value.";
/// Begins the name of an option that the route gives this agent: `route.scopes`.
pub const ROUTE_PREFIX: &str = "route.";

/// What the edge knows about an exchange, as a view of the frame that brought it.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    count: u16,
    /// `count` pairs of name and value, checked when the frame was read.
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = reader.u16()?;
        let start = reader.rest();
        for _ in 0..count {
            reader.text8()?;
            reader.text16()?;
        }
        Ok(Self { count, bytes: &start[..start.len() - reader.rest().len()] })
    }

    /// Attributes that were checked before.
    pub(crate) fn known(count: u16, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Name and value of each attribute, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Some((reader.text8().ok()?, reader.text16().ok()?)))
    }

    /// The attribute of this name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find_map(|(own, value)| (own == name).then_some(value))
    }

    /// The value that an earlier agent gave under this name.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.prefixed(VALUE_PREFIX, name)
    }

    /// The option of this name that the route gives this agent.
    pub fn route_option(&self, name: &str) -> Option<&'a str> {
        self.prefixed(ROUTE_PREFIX, name)
    }

    fn prefixed(&self, prefix: &str, name: &str) -> Option<&'a str> {
        let mut all = self.iter();
        all.find_map(|(own, value)| (own.strip_prefix(prefix)? == name).then_some(value))
    }

    /// The client's address.
    pub fn client_address(&self) -> Option<std::net::IpAddr> {
        self.get(CLIENT_ADDRESS)?.parse().ok()
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Attributes to be sent; its buffer is used again after `clear`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributesBuf {
    count: u16,
    bytes: Vec<u8>,
    flaw: bool,
}

impl AttributesBuf {
    /// Adds an attribute. One that is too long spoils the whole: it cannot be sent.
    pub fn push(&mut self, name: &str, value: &str) -> &mut Self {
        self.push_prefixed("", name, value)
    }

    /// Adds a value that an earlier agent gave.
    pub fn push_value(&mut self, name: &str, value: &str) -> &mut Self {
        self.push_prefixed(VALUE_PREFIX, name, value)
    }

    /// Adds an option that the route gives this agent.
    pub fn push_route_option(&mut self, name: &str, value: &str) -> &mut Self {
        self.push_prefixed(ROUTE_PREFIX, name, value)
    }

    fn push_prefixed(&mut self, prefix: &str, name: &str, value: &str) -> &mut Self {
        let mut put = || -> Result<u16, TooLong> {
            let length = u8::try_from(prefix.len() + name.len()).map_err(|_| TooLong)?;
            self.bytes.push(length);
            self.bytes.extend_from_slice(prefix.as_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            put_bytes16(&mut self.bytes, value.as_bytes())?;
            self.count.checked_add(1).ok_or(TooLong)
        };
        match put() {
            Ok(count) => self.count = count,
            Err(TooLong) => self.flaw = true,
        }
        self
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        if self.flaw {
            return Err(TooLong);
        }
        out.put_u16(self.count);
        out.put_slice(&self.bytes);
        Ok(())
    }

    /// Forgets all attributes and keeps the buffer.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.flaw = false;
    }
}
