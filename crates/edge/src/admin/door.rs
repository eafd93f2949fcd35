//! Who is let in: programs that mean this listener, and no web page that a browser happens to show.
//!
//! A page may point a name of its own at 127.0.0.1 (DNS rebinding) and read what it finds there as
//! its own origin. Such a request has that name in `Host`, so names are refused, except `localhost`,
//! which resolves nowhere else. A page may also send a POST without reading the answer; browsers put
//! `Origin` on it, so such a request must carry a header that a page cannot send unasked.

use std::{fmt, net::IpAddr};

use http::{Method, Request, StatusCode, header, uri::Authority};

/// The header that a request with `Origin` must carry to change something, with the value `1`.
pub(super) const ADMIN_HEADER: &str = "x-selvedge-admin";

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request is for a name that may be anybody's.
    Host,
    /// A web page sent it.
    Origin,
}

/// Lets a request pass or says why not.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_ours) || !request.uri().authority().is_none_or(is_own_authority) {
        return Err(Refusal::Host);
    }
    let harmless = [Method::GET, Method::HEAD].contains(request.method());
    let from_page = request.headers().contains_key(header::ORIGIN);
    let vouched = request.headers().get(ADMIN_HEADER).is_some_and(|value| value == "1");
    match harmless || !from_page || vouched {
        true => Ok(()),
        false => Err(Refusal::Origin),
    }
}

fn is_ours(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| is_own_authority(&authority))
}

fn is_own_authority(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

impl Refusal {
    /// As the audit log has it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Host => "admin/host",
            Self::Origin => "admin/origin",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("ask by IP address or as localhost, not by another name\n"),
            Self::Origin => {
                f.write_str("a web page may not do this; add the header X-Selvedge-Admin: 1\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_head(head: &str, expected: Result<(), Refusal>) {
        let (line, fields) = head.split_once('\n').unwrap();
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields.lines().map(|field| field.split_once(": ").unwrap()) {
            request = request.header(name, value);
        }
        assert_eq!(check(&request.body(()).unwrap()), expected, "{head}");
    }

    #[test]
    fn names_of_others_are_refused() {
        check_head("GET /metrics\nhost: 127.0.0.1:9900", Ok(()));
        check_head("GET /metrics\nhost: [::1]:9900", Ok(()));
        check_head("GET /metrics\nhost: 10.0.0.5", Ok(()));
        check_head("GET /metrics\nhost: LocalHost:9900", Ok(()));
        check_head("GET /metrics\nhost: evil.example:9900", Err(Refusal::Host));
        check_head("GET /metrics\nhost: 127.0.0.1.evil.example", Err(Refusal::Host));
        check_head("GET /metrics\nhost: localhost.evil.example", Err(Refusal::Host));
        check_head("GET /metrics\nhost: 127.0.0.1@evil.example", Err(Refusal::Host));
        check_head("GET /metrics\nhost: ", Err(Refusal::Host));
        check_head("GET /metrics\naccept: */*", Err(Refusal::Host));
        check_head("GET http://evil.example/metrics\nhost: 127.0.0.1", Err(Refusal::Host));
        check_head("GET http://127.0.0.1/metrics\nhost: 127.0.0.1", Ok(()));
    }

    #[test]
    fn web_pages_change_nothing() {
        let ours = "host: 127.0.0.1:9900";
        let page = "origin: https://evil.example";
        check_head(&format!("POST /reload\n{ours}"), Ok(()));
        check_head(&format!("POST /reload\n{ours}\n{page}"), Err(Refusal::Origin));
        check_head(&format!("POST /reload\n{ours}\norigin: null"), Err(Refusal::Origin));
        check_head(&format!("POST /reload\n{ours}\n{page}\nx-selvedge-admin: 1"), Ok(()));
        check_head(
            &format!("POST /reload\n{ours}\n{page}\nx-selvedge-admin: 0"),
            Err(Refusal::Origin),
        );
        check_head(&format!("OPTIONS /reload\n{ours}\n{page}"), Err(Refusal::Origin));
        check_head(&format!("GET /config\n{ours}\n{page}"), Ok(()));
    }
}
