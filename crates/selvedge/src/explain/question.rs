//! A request as a person writes it down, and what the edge would hear.

use std::borrow::Cow;

use selvedge_config::{Config, Listener};
use selvedge_http1::{HeadLimits, Parsed, RequestHead, is_field_value, is_token};
use selvedge_routing::{Headers, RequestView, normalise_path};

use crate::exit::{Exit, Failure};

/// A request that somebody asks about.
pub(super) struct Question {
    /// `https` or `http`.
    is_tls: bool,
    /// Written in the URL.
    port: Option<u16>,
    /// The request as HTTP/1.1 would carry it.
    head: Vec<u8>,
}

/// What the edge makes of a question.
pub(super) enum Answer {
    /// It is refused before any route is looked at.
    Refused { status: u16, why: String },
    /// It can be routed.
    Heard(Box<Request>),
}

/// A request that passed the head gate.
pub(super) struct Request {
    pub(super) head: RequestHead,
    /// Normalised.
    pub(super) path: String,
    pub(super) is_tls: bool,
}

/// What stands in for a host that was not given.
const NOBODY: &str = "localhost";

impl Question {
    /// Reads the command line; what it cannot mean is a usage error.
    pub(super) fn from_args(url: &str, method: &str, headers: &[String]) -> Result<Self, Failure> {
        let (is_tls, rest) = split_scheme(url)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        if !is_token(method.as_bytes()) {
            return Err(usage(format!("{method:?} is no method")));
        }
        let fields =
            headers.iter().map(|text| split_header(text)).collect::<Result<Vec<_>, _>>()?;
        let authority = if authority.is_empty() { NOBODY } else { authority };
        let names_host = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("host");
        let mut head = format!("{method} {} HTTP/1.1\r\n", origin_form(target)?);
        if !fields.iter().any(names_host) {
            head.push_str(&format!("Host: {authority}\r\n"));
        }
        for (name, value) in &fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let port = selvedge_http1::parse_authority(authority.as_bytes());
        let port = port.map_err(|_| usage(format!("{authority:?} is no host")))?.port;
        Ok(Self { is_tls, port, head: head.into_bytes() })
    }

    /// The listener that such a request arrives at: by its port, or else the first of its scheme.
    pub(super) fn listener<'c>(&self, config: &'c Config) -> Option<&'c Listener> {
        let mut listeners = config.listeners.iter().map(|listener| &**listener);
        let fits = |listener: &&Listener| listener.tls.is_some() == self.is_tls;
        match self.port {
            Some(port) => {
                listeners.find(|listener| fits(listener) && listener.address.port() == port)
            }
            None => listeners.find(fits),
        }
    }

    /// Goes the way of a request up to its route: head gate, then the one spelling of its path.
    pub(super) fn ask(&self, config: &Config) -> Answer {
        let refuse = |status, why: String| Answer::Refused { status, why };
        let bytes = usize::try_from(config.limits.head.0).unwrap_or(usize::MAX);
        let limits = HeadLimits { bytes, fields: config.limits.head_fields };
        let mut head = RequestHead::default();
        match head.parse(&self.head, &limits) {
            Ok(Parsed::Complete(_)) => {}
            Ok(Parsed::Partial) => return refuse(400, "the head is not whole".to_owned()),
            Err(rejection) => return refuse(rejection.status, rejection.code.to_owned()),
        }
        match normalise_path(head.raw_path()).map(Cow::into_owned) {
            Ok(path) => Answer::Heard(Box::new(Request { head, path, is_tls: self.is_tls })),
            Err(error) => refuse(400, error.to_string()),
        }
    }
}

impl Request {
    /// As routing looks at it.
    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: self.head.method(),
            host: self.head.host(),
            path: &self.path,
            query: self.head.query(),
            headers: self,
        }
    }
}

impl Headers for Request {
    fn find(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.head.fields().named(name).any(test)
    }
}

/// `https://x` is TLS; `x` and `/x` count as plain.
fn split_scheme(url: &str) -> Result<(bool, &str), Failure> {
    match url.split_once("://") {
        Some(("http" | "ws", rest)) => Ok((false, rest)),
        Some(("https" | "wss", rest)) => Ok((true, rest)),
        Some((scheme, _)) if !scheme.contains(['/', '?']) => {
            Err(usage(format!("the scheme {scheme:?} is not http or https")))
        }
        _ => Ok((false, url)),
    }
}

/// Path and query as they stand in a request line; a browser writes what is not ASCII as UTF-8 in
/// percent-encoding, and so does this.
fn origin_form(target: &str) -> Result<String, Failure> {
    let mut form = String::with_capacity(target.len() + 1);
    if !target.starts_with('/') {
        form.push('/');
    }
    for byte in target.bytes() {
        match byte {
            b'!'..=b'~' => form.push(char::from(byte)),
            b' ' => form.push_str("%20"),
            0x80.. => form.push_str(&format!("%{byte:02X}")),
            _ => return Err(usage("a URL holds no control characters".to_owned())),
        }
    }
    Ok(form)
}

fn split_header(text: &str) -> Result<(&str, &str), Failure> {
    let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let is_valid = |(name, value): &(&str, &str)| {
        is_token(name.as_bytes()) && is_field_value(value.as_bytes())
    };
    parts
        .filter(is_valid)
        .ok_or_else(|| usage(format!("{text:?} is no header; write `--header 'Name: value'`")))
}

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, headers: &[&str], expected: &str) {
        let headers: Vec<String> = headers.iter().map(|text| (*text).to_owned()).collect();
        let told = match Question::from_args(url, "GET", &headers) {
            Ok(Question { is_tls, port, head }) => {
                let head = String::from_utf8(head).unwrap();
                format!("{is_tls} {port:?} {}", head.trim_end().replace("\r\n", " | "))
            }
            Err(failure) => failure.text.trim_end().to_owned(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn urls_become_requests() {
        check("http://a.example/x?y#z", &[], "false None GET /x?y HTTP/1.1 | Host: a.example");
        check("https://a:8443", &[], "true Some(8443) GET / HTTP/1.1 | Host: a:8443");
        check("a.example/x", &[], "false None GET /x HTTP/1.1 | Host: a.example");
        check("/x", &[], "false None GET /x HTTP/1.1 | Host: localhost");
        check("/x", &["Host: b"], "false None GET /x HTTP/1.1 | Host: b");
        check("a?q=://", &[], "false None GET /?q=:// HTTP/1.1 | Host: a");
        check("/ä b", &["x: 1"], "false None GET /%C3%A4%20b HTTP/1.1 | Host: localhost | x: 1");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        check("ftp://a/", &[], "error: the scheme \"ftp\" is not http or https");
        check("http://a b/", &[], "error: \"a b\" is no host");
        check("/\n", &[], "error: a URL holds no control characters");
        check("/", &["x"], "error: \"x\" is no header; write `--header 'Name: value'`");
        check(
            "/",
            &["x: a\r\nb: c"],
            "error: \"x: a\\r\\nb: c\" is no header; write `--header 'Name: value'`",
        );
    }
}
