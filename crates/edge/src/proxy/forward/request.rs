//! What an upstream is told of a request, and what the choice of a target rests on.

use std::net::IpAddr;

use selvedge_config::{Balance, HashKey, Upstream, UpstreamProtocol};
use selvedge_http1::{Framing, Known, RequestHead, Version};

use super::{super::scheme, Forward};
use crate::{outbound::Outbound, upstream::balance::hash_key};

impl Forward<'_> {
    /// The request as it goes out.
    pub(super) fn outbound(&self) -> Outbound<'_> {
        Outbound {
            head: self.request,
            path: self.path,
            authority: self.authority,
            scheme: scheme(self.connection),
            upgrade: self.upgrade,
            body: self.body,
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

/// The hash of what the upstream's balancing asks for; `path` is the normalised one, so that no other
/// spelling of it leads elsewhere.
pub(super) fn hash_of(
    settings: &Upstream,
    request: &RequestHead,
    path: &str,
    client: IpAddr,
) -> Option<u64> {
    let Balance::ConsistentHash(key) = &settings.balance else { return None };
    match key {
        HashKey::ClientIp => Some(hash_key(client.to_string().as_bytes())),
        HashKey::Path => Some(hash_key(path.as_bytes())),
        HashKey::Uri => Some(hash_key(format!("{path}?{}", request.query()).as_bytes())),
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
