use std::fmt;

use hyper::{
    Uri,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use rustls_pki_types::ServerName;

use crate::settings::Otlp;

/// Where spans go, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    /// `host:port`, for the socket and for `Host`.
    pub(super) authority: String,
    /// The name to verify under `https`. `None`: plain text.
    pub(super) tls: Option<ServerName<'static>>,
    /// Path of the traces.
    pub(super) path: String,
    /// Headers of every request.
    pub(super) headers: HeaderMap,
    /// Spans kept at most.
    pub(super) queue: usize,
    /// `service.name`.
    pub(super) service: String,
    /// Share of requests traced when the caller did not decide.
    pub(crate) sample: f64,
}

/// Settings that no exporter can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// The endpoint is no URL.
    NoUrl(String),
    /// The endpoint's scheme is neither `http` nor `https`.
    Scheme(String),
    /// A header's name or value cannot be sent; the value is not told.
    Header(String),
    /// The share is not between 0.0 and 1.0.
    Sample(String),
    /// A queue without room.
    Queue,
}

impl Endpoint {
    /// Understands `settings`, or says what is wrong with them.
    pub(crate) fn try_new(settings: &Otlp) -> Result<Self, EndpointError> {
        let Otlp { endpoint, headers, sample, queue, service } = settings;
        let no_url = || EndpointError::NoUrl(endpoint.clone());
        let uri: Uri = endpoint.parse().map_err(|_| no_url())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(no_url)?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(server_name(host).ok_or_else(no_url)?), 443),
            _ => return Err(EndpointError::Scheme(endpoint.clone())),
        };
        if !(0.0..=1.0).contains(sample) {
            return Err(EndpointError::Sample(sample.to_string()));
        }
        if *queue == 0 {
            return Err(EndpointError::Queue);
        }
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(port)),
            tls,
            path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
            headers: headers
                .iter()
                .map(|(name, value)| header(name, value.expose()))
                .collect::<Result<_, _>>()?,
            queue: *queue,
            service: service.clone(),
            sample: *sample,
        })
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).ok()
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), EndpointError> {
    let wrong = || EndpointError::Header(name.to_owned());
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((key, value))
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl(text) => {
                write!(f, "the OTLP endpoint {text:?} is no URL; write http://127.0.0.1:4318")
            }
            Self::Scheme(text) => {
                write!(f, "the OTLP endpoint {text:?} begins with neither http:// nor https://")
            }
            Self::Header(name) => {
                write!(f, "the OTLP header {name:?} has a name or value that HTTP forbids")
            }
            Self::Sample(share) => {
                write!(
                    f,
                    "the share of requests traced is {share}; it must lie between 0.0 and 1.0"
                )
            }
            Self::Queue => f.write_str("the OTLP queue has no room; give it 1 span or more"),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use selvedge_base::Secret;

    use super::*;

    fn settings(endpoint: &str) -> Otlp {
        Otlp {
            endpoint: endpoint.to_owned(),
            headers: vec![("x-key".to_owned(), Secret::new("s3cret"))],
            sample: 0.01,
            queue: 8_192,
            service: "selvedge".to_owned(),
        }
    }

    #[track_caller]
    fn check(endpoint: &str, authority: &str, path: &str) {
        let endpoint = Endpoint::try_new(&settings(endpoint)).unwrap();
        assert_eq!((&*endpoint.authority, &*endpoint.path), (authority, path));
    }

    #[track_caller]
    fn check_wrong(settings: Otlp, text: &str) {
        assert_eq!(Endpoint::try_new(&settings).unwrap_err().to_string(), text);
    }

    #[test]
    fn endpoints_are_understood() {
        check("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces");
        check("http://collector/", "collector:80", "/v1/traces");
        check("http://[::1]:4318/otlp/", "[::1]:4318", "/otlp/v1/traces");
        check("https://collector", "collector:443", "/v1/traces");
        check("https://[::1]", "[::1]:443", "/v1/traces");
    }

    #[test]
    fn wrong_settings_are_named() {
        check_wrong(
            settings("grpc://collector"),
            "the OTLP endpoint \"grpc://collector\" begins with neither http:// nor https://",
        );
        check_wrong(
            settings("not a url"),
            "the OTLP endpoint \"not a url\" is no URL; write http://127.0.0.1:4318",
        );
        check_wrong(
            Otlp { sample: f64::NAN, ..settings("http://c") },
            "the share of requests traced is NaN; it must lie between 0.0 and 1.0",
        );
        check_wrong(
            Otlp { headers: vec![("k".into(), Secret::new("s3cret\n"))], ..settings("http://c") },
            "the OTLP header \"k\" has a name or value that HTTP forbids",
        );
        check_wrong(
            Otlp { queue: 0, ..settings("http://c") },
            "the OTLP queue has no room; give it 1 span or more",
        );
    }

    #[test]
    fn header_values_stay_secret() {
        let endpoint = Endpoint::try_new(&settings("http://c")).unwrap();
        assert!(!format!("{endpoint:?}").contains("s3cret"));
    }
}
