//! Which push services may be asked.

use std::{error::Error, fmt, net::Ipv4Addr, str::FromStr};

use http::Uri;

/// A push service: a host name, a port where it is not 443, and `*.` in front where all names below count. On this machine it may be
/// without TLS, as where one is tried: `http://127.0.0.1:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    host: String,
    port: u16,
    is_below: bool,
    is_plain: bool,
}

/// Why a text names no push service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadService(String);

impl fmt::Display for BadService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no host like `push.example.com` or `*.push.example.com`", self.0)
    }
}

impl Error for BadService {}

impl Service {
    /// The services of the browsers there are: Chromium, Firefox, Safari, Edge.
    pub fn of_browsers() -> Vec<Service> {
        let service = |is_below, host: &str| Service {
            host: host.into(),
            port: 443,
            is_below,
            is_plain: false,
        };
        vec![
            service(false, "fcm.googleapis.com"),
            service(true, "push.services.mozilla.com"),
            service(true, "push.apple.com"),
            service(true, "notify.windows.com"),
        ]
    }

    /// Whether this is the service behind an address.
    pub(crate) fn is_at(&self, endpoint: &Uri) -> bool {
        let Some(host) = endpoint.host() else { return false };
        let (scheme, usual) = if self.is_plain { ("http", 80) } else { ("https", 443) };
        let port = endpoint.port_u16().unwrap_or(usual);
        if endpoint.scheme_str() != Some(scheme) {
            return false;
        }
        let host = host.to_ascii_lowercase();
        let below = || host.strip_suffix(&*self.host).is_some_and(|rest| rest.ends_with('.'));
        port == self.port && if self.is_below { below() } else { host == self.host }
    }
}

impl FromStr for Service {
    type Err = BadService;

    fn from_str(text: &str) -> Result<Self, BadService> {
        let bad = || BadService(text.to_owned());
        let (is_plain, name) = match text.strip_prefix("http://") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let (is_below, name) = match name.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let (host, port) = match name.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
            None => (name, if is_plain { 80 } else { 443 }),
        };
        let is_here = || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        if is_plain && (is_below || !is_here()) {
            return Err(bad());
        }
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
        };
        if !host.split('.').all(is_label) {
            return Err(bad());
        }
        Ok(Service { host: host.to_ascii_lowercase(), port, is_below, is_plain })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.is_below { "*." } else { "" };
        let (scheme, usual) = if self.is_plain { ("http://", 80) } else { ("", 443) };
        write!(f, "{scheme}{below}{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(service: &str, endpoint: &str, expected: bool) {
        let service: Service = service.parse().expect("a service");
        assert_eq!(service.is_at(&endpoint.parse().expect("an address")), expected, "{endpoint}");
    }

    #[test]
    fn a_service_is_its_host_and_port() {
        check("push.example", "https://push.example/1", true);
        check("push.example", "https://PUSH.example:443/1", true);
        check("push.example", "https://push.example:8443/1", false);
        check("push.example:8443", "https://push.example:8443/1", true);
        check("push.example", "https://a.push.example/1", false);
        check("push.example", "https://push.example.evil/1", false);
        check("*.push.example", "https://a.push.example/1", true);
        check("*.push.example", "https://a.b.push.example/1", true);
        check("*.push.example", "https://push.example/1", false);
        check("*.push.example", "https://evilpush.example/1", false);
        check("push.example", "http://push.example:443/1", false);
        check("http://127.0.0.1:81", "http://127.0.0.1:81/1", true);
        check("http://127.0.0.1:81", "https://127.0.0.1:81/1", false);
        check("http://127.0.0.1", "http://127.0.0.1/1", true);
    }

    #[test]
    fn what_is_written_is_read() {
        let texts = ["push.example", "*.push.example", "push.example:8443", "127.0.0.1:81"];
        for text in texts.into_iter().chain(["http://127.0.0.1", "http://127.0.0.1:81"]) {
            assert_eq!(text.parse::<Service>().expect(text).to_string(), text);
        }
        for text in ["", "*", "*.", "a..b", "https://a", "a:b", "a/b", "a@b", "[::1]"] {
            assert_eq!(text.parse::<Service>(), Err(BadService(text.into())));
        }
        for text in ["http://push.example", "http://10.0.0.1:81", "http://*.0.0.1"] {
            assert_eq!(text.parse::<Service>(), Err(BadService(text.into())));
        }
    }
}
