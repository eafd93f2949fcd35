//! What an upstream is told of a request, and what the choice of a target rests on.

use std::net::IpAddr;

use selvedge_config::{Balance, HashKey, Upstream, UpstreamProtocol};
use selvedge_http1::{Framing, Known, RequestHead, Version};

use super::Forward;
use crate::{
    client_address::{self, Hop, Incoming, Scheme},
    connection::Connection,
    outbound::{Forwarding, Outbound},
    upstream::balance::hash_key,
};

impl Forward<'_> {
    /// The request as it goes out.
    pub(super) fn outbound(&self) -> Outbound<'_> {
        Outbound {
            head: self.request,
            path: self.path,
            authority: self.authority,
            scheme: super::super::scheme(self.connection),
            forwarding: self.forwarded.as_fields(self.connection, self.request),
            traceparent: &self.traceparent,
            tracestate: self.facts.trace.state(),
            upgrade: self.upgrade,
            body: self.body,
        }
    }
}

/// What the forwarding fields say.
pub(super) enum Forwarded<'a> {
    /// The peer speaks for itself: nothing to work out.
    Peer,
    /// Through proxies that are trusted.
    Trusted { for_: String, proto: &'a str, host: String, forwarded: Option<String> },
}

impl Forwarded<'_> {
    pub(super) fn new(connection: &Connection, request: &RequestHead) -> Self {
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
        let forwarding = client_address::Forwarding { client: &client, incoming: &incoming, hop };
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        Self::Trusted {
            for_: text(&|out| forwarding.write_x_forwarded_for(out)),
            proto: forwarding.x_forwarded_proto(),
            host: forwarding.x_forwarded_host().to_owned(),
            forwarded: (!incoming.forwarded.is_empty())
                .then(|| text(&|out| forwarding.write_forwarded(out))),
        }
    }

    fn as_fields<'f>(
        &'f self,
        connection: &'f Connection,
        request: &'f RequestHead,
    ) -> Forwarding<'f> {
        match self {
            Self::Peer => Forwarding {
                for_: &connection.peer_text,
                proto: super::super::scheme(connection),
                host: request.authority(),
                forwarded: None,
            },
            Self::Trusted { for_, proto, host, forwarded } => {
                Forwarding { for_, proto, host, forwarded: forwarded.as_deref() }
            }
        }
    }
}

/// The protocol to switch to, if the client asked for one that may be tunnelled. HTTP/1.0 cannot ask
/// (RFC 9110 §7.8).
pub(super) fn upgrade_wanted<'r>(request: &'r RequestHead, settings: &Upstream) -> Option<&'r str> {
    let wanted = request.upgrade();
    let asks = request.asks_for_upgrade() && request.version() == Version::Http11;
    if wanted.is_empty() || !asks || request.framing() != Framing::None {
        return None;
    }
    let name = wanted.split('/').next().unwrap_or_default();
    let is_http = ["h2", "h2c", "http", "tls"].iter().any(|http| name.eq_ignore_ascii_case(http));
    let able = settings.protocol == UpstreamProtocol::Http1 && !wanted.contains(',');
    (able && !is_http).then_some(wanted)
}

/// The hash of what the upstream's balancing asks for.
pub(super) fn hash_of(settings: &Upstream, request: &RequestHead, client: IpAddr) -> Option<u64> {
    let Balance::ConsistentHash(key) = &settings.balance else { return None };
    match key {
        HashKey::ClientIp => Some(hash_key(client.to_string().as_bytes())),
        HashKey::Path => Some(hash_key(request.raw_path().as_bytes())),
        HashKey::Uri => {
            Some(hash_key(format!("{}?{}", request.raw_path(), request.query()).as_bytes()))
        }
        HashKey::Header(name) => request.fields().named(name).next().map(hash_key),
        HashKey::Cookie(name) => cookie(request, name).map(|value| hash_key(value.as_bytes())),
    }
}

/// The value of a cookie (RFC 6265 §4.2).
pub(super) fn cookie<'r>(request: &'r RequestHead, name: &str) -> Option<&'r str> {
    request
        .fields()
        .all(Known::Cookie)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
