//! Where a request comes from, as far as trusted proxies can be believed, and how upstreams are told.

use std::net::IpAddr;

use selvedge_http1::{Known, RequestHead, Version};

use crate::{
    client_address::{self, Belief, Claim, Forwarding, Hop, Incoming, Scheme},
    connection::Connection,
};

/// Who sent a request, and over what.
pub(super) enum Origin {
    /// The peer itself.
    Peer,
    /// Somebody behind proxies that are trusted.
    Proxied(Box<Proxied>),
}

/// What trusted proxies say.
pub(super) struct Proxied {
    ip: IpAddr,
    /// Whether the peer is such a proxy: then what else it says of the client is passed on.
    is_vouched: bool,
    scheme: &'static str,
    for_: Vec<u8>,
    host: String,
    /// Only if a proxy sent one.
    forwarded: Option<Vec<u8>>,
}

impl Origin {
    pub(super) fn of(request: &RequestHead, connection: &Connection) -> Self {
        let trusted = &connection.listener.trusted_proxies;
        if trusted.is_empty() {
            return Self::Peer;
        }
        let fields = request.fields();
        let collect = |known| fields.all(known).collect::<Vec<_>>();
        let incoming = Incoming {
            forwarded: &collect(Known::Forwarded),
            x_forwarded_for: &collect(Known::XForwardedFor),
            x_forwarded_proto: &collect(Known::XForwardedProto),
            x_forwarded_host: &collect(Known::XForwardedHost),
        };
        let peer = connection.peer.ip();
        let client = client_address::client(peer, trusted, &incoming);
        let scheme = match connection.listener.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        let hop = Hop { peer, scheme, host: request.authority() };
        let forwarding = Forwarding { client: &client, incoming: &incoming, hop };
        let mut for_ = Vec::new();
        forwarding.write_x_forwarded_for(&mut for_);
        let forwarded = (!incoming.forwarded.is_empty()).then(|| {
            let mut out = Vec::new();
            forwarding.write_forwarded(&mut out);
            out
        });
        Self::Proxied(Box::new(Proxied {
            ip: client.ip,
            is_vouched: client.belief == Belief::Trusted,
            scheme: forwarding.x_forwarded_proto(),
            for_,
            host: forwarding.x_forwarded_host().to_owned(),
            forwarded,
        }))
    }

    /// The client's address; `None`: the peer's.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Peer => None,
            Self::Proxied(proxied) => Some(proxied.ip),
        }
    }

    /// The scheme that the client used.
    pub(super) fn scheme(&self, connection: &Connection) -> &'static str {
        match self {
            Self::Peer => super::scheme(connection),
            Self::Proxied(proxied) => proxied.scheme,
        }
    }

    /// Makes the head say what upstreams may believe, and nothing of what the client claimed.
    pub(super) fn write(&self, request: &mut RequestHead, connection: &Connection) {
        let vouched = matches!(self, Self::Proxied(proxied) if proxied.is_vouched);
        request.fields_mut().retain(|name, _, known| match known {
            Known::Forwarded
            | Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedHost
            | Known::Traceparent
            | Known::Tracestate
            | Known::ProxyAuthorization => false,
            Known::Other => match client_address::claim(name) {
                None => true,
                Some(Claim::OfProxy) => vouched,
                Some(Claim::OfNobody) => false,
            },
            _ => true,
        });
        match self {
            Self::Peer => {
                let fields = request.fields_mut();
                fields.push(b"x-forwarded-for", connection.peer_text.as_bytes());
                fields.push(b"x-forwarded-proto", super::scheme(connection).as_bytes());
                request.push_authority_as(b"x-forwarded-host");
            }
            Self::Proxied(proxied) => {
                let fields = request.fields_mut();
                fields.push(b"x-forwarded-for", &proxied.for_);
                fields.push(b"x-forwarded-proto", proxied.scheme.as_bytes());
                fields.push(b"x-forwarded-host", proxied.host.as_bytes());
                if let Some(forwarded) = &proxied.forwarded {
                    fields.push(b"forwarded", forwarded);
                }
            }
        }
        let received = request.version();
        request.fields_mut().push(b"via", via(received));
    }
}

/// Our entry in `Via`, for a message that was received by `version` (RFC 9110 §7.6.3).
pub(super) fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 selvedge",
        Version::Http11 => b"1.1 selvedge",
        Version::Http2 => b"2 selvedge",
    }
}
