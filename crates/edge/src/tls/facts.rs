use std::net::IpAddr;

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Longest client subject kept, in bytes; what is longer is cut.
const SUBJECT_MAX: usize = 512;
/// Longest list of alternative names told to agents, in bytes; a longer one is not told at all.
const NAMES_MAX: usize = 4 << 10;

/// What the log tells of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// IANA's name of the cipher suite.
    pub(crate) cipher: &'static str,
    /// The name the client asked for.
    pub(crate) sni: Option<Box<str>>,
    /// The protocol agreed on; `None` when the client offered none.
    pub(crate) alpn: Option<Alpn>,
    /// Whether an earlier session was taken up again.
    pub(crate) resumed: bool,
    /// Subject of the client's verified certificate, for example `O=Example, CN=device-7`.
    pub(crate) client_subject: Option<Box<str>>,
    /// Alternative names of that certificate, each behind its kind (`DNS:`, `URI:`, `email:`, `IP:`),
    /// separated by commas.
    pub(crate) client_san: Option<Box<str>>,
    /// SHA-256 of that certificate in hexadecimal.
    pub(crate) client_sha256: Option<Box<str>>,
}

/// A protocol agreed on by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
}

impl TlsFacts {
    /// Reads them off a connection whose handshake is complete.
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        Self {
            version: version(connection.protocol_version()),
            cipher: connection.negotiated_cipher_suite().map_or("-", |suite| cipher(suite.suite())),
            sni: connection.server_name().map(Into::into),
            alpn: connection.alpn_protocol().map(|name| match name {
                super::ALPN_HTTP2 => Alpn::Http2,
                _ => Alpn::Http1,
            }),
            resumed: is_resumed(connection),
            client_subject: client_leaf(connection, |leaf| cut(leaf.subject().to_string())),
            client_san: client_leaf(connection, alternative_names).flatten(),
            client_sha256: connection.peer_certificates().and_then(|chain| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, chain.first()?);
                Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
            }),
        }
    }
}

impl TlsFacts {
    /// The subject of the client's certificate, if it is known whole: half a name is another's.
    pub(crate) fn whole_subject(&self) -> Option<&str> {
        // What was cut ends within the last character's bytes of the bound.
        self.client_subject.as_deref().filter(|subject| subject.len() + 4 <= SUBJECT_MAX)
    }
}

/// Whether a resumed session carries a client certificate whose time has passed meanwhile: rustls
/// verifies certificates in full handshakes only.
pub(super) fn is_stale(connection: &ServerConnection, now: i64) -> bool {
    is_resumed(connection)
        && client_leaf(connection, |leaf| leaf.validity().not_after.timestamp() < now)
            .unwrap_or(false)
}

fn is_resumed(connection: &ServerConnection) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

fn client_leaf<T>(
    connection: &ServerConnection,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Option<T> {
    let leaf = connection.peer_certificates()?.first()?;
    X509Certificate::from_der(leaf).ok().map(|(_, leaf)| read(&leaf))
}

/// The alternative names that can be told apart in a list: none with a comma in it.
fn alternative_names(leaf: &X509Certificate<'_>) -> Option<Box<str>> {
    let names = leaf.subject_alternative_name().ok()??.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| format!("IP:{ip}"))
        }
        _ => None,
    });
    let plain = |name: &String| !name.bytes().any(|byte| byte == b',' || byte.is_ascii_control());
    let names: Vec<String> = names.filter(plain).collect();
    let list = names.join(",");
    (!list.is_empty() && list.len() <= NAMES_MAX).then(|| list.into())
}

fn cut(mut subject: String) -> Box<str> {
    subject.truncate(subject.floor_char_boundary(SUBJECT_MAX));
    subject.into()
}

fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "-",
    }
}

fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        older => older.as_str().unwrap_or("-"),
    }
}
