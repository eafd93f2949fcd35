//! The handshake: whether a request becomes a connection (RFC 6455, section 4.2).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use selvedge_crdt::session::SUBPROTOCOL;

use crate::websocket;

/// Why a request does not become a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandshake {
    /// It asks for none; `Upgrade: websocket` is wanted.
    NotAsked,
    /// It does not offer the subprotocol.
    Subprotocol,
    /// A web page of an origin that may not.
    Origin,
    /// There are too many connections, or the relay is about to end.
    Full,
}

/// Answers a request that asks for a WebSocket: the fields of the response 101.
///
/// # Errors
/// Why it gets none.
pub(crate) fn handshake(
    method: &Method,
    fields: &HeaderMap,
    origins: &[String],
) -> Result<[(HeaderName, HeaderValue); 4], NoHandshake> {
    let key = fields.get(header::SEC_WEBSOCKET_KEY);
    let version = fields.get(header::SEC_WEBSOCKET_VERSION);
    let is_asked = method == Method::GET
        && has(fields, header::CONNECTION, "upgrade")
        && has(fields, header::UPGRADE, "websocket")
        && version.is_some_and(|version| version == "13");
    let Some(key) = key.filter(|_| is_asked) else { return Err(NoHandshake::NotAsked) };
    if !has(fields, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(NoHandshake::Subprotocol);
    }
    if !is_welcome(fields, origins) {
        return Err(NoHandshake::Origin);
    }
    let accept = HeaderValue::try_from(websocket::accept(key.as_bytes()));
    Ok([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept.expect("Base64 is a value")),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ])
}

/// Whether a list of words has this one, in any case.
fn has(fields: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lines = fields.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// Programs send no origin. Pages of the host that is asked may, and those of origins that the settings name: a page elsewhere
/// could otherwise use what its visitor's browser holds.
pub(crate) fn is_welcome(fields: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = fields.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let of_host = origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
    of_host || origins.iter().any(|welcome| welcome == "*" || welcome == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(more: &[(HeaderName, &'static str)], expected: Result<(), NoHandshake>) {
        let mut fields = HeaderMap::new();
        let usual = [
            (header::HOST, "app.example"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, "other, selvedge-sync.1"),
        ];
        for (name, value) in usual.iter().chain(more) {
            fields.insert(name, HeaderValue::from_static(value));
        }
        let origins = ["https://elsewhere.example".to_owned()];
        let answer = handshake(&Method::GET, &fields, &origins);
        assert_eq!(answer.map(drop), expected, "{more:?}");
    }

    #[test]
    fn who_asks_as_the_standard_says_is_let_in() {
        check(&[], Ok(()));
        check(&[(header::UPGRADE, "h2c")], Err(NoHandshake::NotAsked));
        check(&[(header::SEC_WEBSOCKET_VERSION, "8")], Err(NoHandshake::NotAsked));
        check(&[(header::SEC_WEBSOCKET_PROTOCOL, "chat")], Err(NoHandshake::Subprotocol));
    }

    #[test]
    fn pages_of_other_origins_are_not() {
        check(&[(header::ORIGIN, "https://app.example")], Ok(()));
        check(&[(header::ORIGIN, "https://elsewhere.example")], Ok(()));
        check(&[(header::ORIGIN, "https://evil.example")], Err(NoHandshake::Origin));
        check(&[(header::ORIGIN, "null")], Err(NoHandshake::Origin));
    }
}
