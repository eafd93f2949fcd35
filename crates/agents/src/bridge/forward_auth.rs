//! A request for each request, as Traefik's ForwardAuth, Caddy's `forward_auth` and nginx's
//! `auth_request` make it: 2xx allows, everything else is the client's answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, body::Incoming, header};
use selvedge_agent::{RequestHead, Verdict, attributes as names};
use selvedge_config::bridge::{Http, Settings};
use tokio::time::timeout;

use super::{
    connect::{Clients, Version},
    failure::Failure,
    fields::{AnswerFields, is_hop_by_hop},
};

/// Bytes of an answer that the client gets; a verdict must fit a frame of the edge.
const ANSWER_BYTES_MAX: usize = 128 << 10;

/// What the service is told of the request; of the client it would be believed.
const TOLD: [&str; 11] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-url",
    "x-real-ip",
];

/// Fields that are written anew for each request: this one goes elsewhere, and its body is all there.
const OF_THIS: [&str; 3] = ["host", "content-length", "expect"];

/// Fields that tell of a body.
const OF_BODIES: [&str; 2] = ["content-encoding", "content-type"];

/// A service that is asked by HTTP.
pub(super) struct ForwardAuth {
    clients: Clients<Full<Bytes>>,
    address: Uri,
    timeout: Duration,
    settings: Http,
}

impl ForwardAuth {
    pub(super) fn new(settings: &Settings, http: &Http) -> Result<Self, String> {
        let address = http.address.parse();
        Ok(Self {
            clients: Clients::new(Version::Http1, settings.ca.as_deref())?,
            address: address.map_err(|error| format!("address {:?}: {error}", http.address))?,
            timeout: settings.timeout,
            settings: http.clone(),
        })
    }

    /// Asks about a request, with its body if that is told.
    pub(super) async fn check(
        &self,
        head: &RequestHead<'_>,
        body: Option<&[u8]>,
    ) -> Result<Verdict, Failure> {
        let question = self.question(head, body)?;
        let answered = async {
            let answer = self.clients.own().request(question).await?;
            self.verdict(answer).await
        };
        timeout(self.timeout + super::OVERTIME, answered).await.map_err(|_| Failure::Late)?
    }

    fn question(
        &self,
        head: &RequestHead<'_>,
        body: Option<&[u8]>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        // Without the body, a method that promises one would make the service wait for it.
        let method = match body {
            Some(_) => Method::from_bytes(head.method().as_bytes())
                .map_err(|_| Failure::Answer("a method that cannot be passed on"))?,
            None => Method::GET,
        };
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = self.address.clone();
        let fields = request.headers_mut();
        for (name, value) in head.fields().iter() {
            if self.is_passed_on(name, body.is_some()) {
                put(fields, name, value, HeaderMap::append);
            }
        }
        for (name, value) in told(head) {
            put(fields, name, value.as_bytes(), HeaderMap::insert);
        }
        Ok(request)
    }

    fn is_passed_on(&self, name: &str, has_body: bool) -> bool {
        let among = |names: &[&str]| names.iter().any(|own| is_same_name(own, name));
        let is_own = among(&OF_THIS) || among(&TOLD) || is_hop_by_hop(name);
        let is_chosen = match &self.settings.request_headers {
            Some(chosen) => chosen.iter().any(|own| own.eq_ignore_ascii_case(name)),
            None => true,
        };
        match (is_own, among(&OF_BODIES)) {
            (true, _) => false,
            (false, true) => has_body,
            (false, false) => is_chosen,
        }
    }

    async fn verdict(&self, answer: Response<Incoming>) -> Result<Verdict, Failure> {
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            // Read, so that the connection can be used again.
            let _ = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            return Ok(self.allow(&head.headers));
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::Answer("an answer that is too long to be passed on"),
            false => Failure::Broken(error.to_string()),
        })?;
        refuse(head.status, &head.headers, body.to_bytes())
    }

    fn allow(&self, answer: &HeaderMap) -> Verdict {
        let mut verdict = Verdict::allow();
        for name in &self.settings.response_headers {
            // Whatever the client sent under this name goes, whether or not the service answers it.
            verdict = verdict.remove_request_header(name);
            for value in answer.get_all(name) {
                verdict = verdict.add_request_header(name, value);
            }
        }
        for name in &self.settings.client_headers {
            for value in answer.get_all(name) {
                verdict = verdict.add_response_header(name, value);
            }
        }
        verdict.done()
    }
}

fn refuse(status: StatusCode, fields: &HeaderMap, body: Bytes) -> Result<Verdict, Failure> {
    let named: Vec<String> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let is_named = |name: &str| named.iter().any(|own| own.eq_ignore_ascii_case(name));
    let fields = fields.iter().filter(|(name, _)| !is_named(name.as_str()));
    let fields = fields
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    Ok(fields.collect::<AnswerFields>().refuse(status.as_u16())?.body(body))
}

/// What the service is told of the request, in the words of Traefik, of nginx and of the rest.
fn told(head: &RequestHead<'_>) -> Vec<(&'static str, String)> {
    let (scheme, host, target) = (head.scheme(), head.authority(), head.target());
    let address = head.attributes().get(names::CLIENT_ADDRESS).map(str::to_owned);
    let mut told = vec![
        ("x-forwarded-method", head.method().to_owned()),
        ("x-forwarded-proto", scheme.to_owned()),
        ("x-forwarded-host", host.to_owned()),
        ("x-forwarded-uri", target.to_owned()),
        ("x-original-method", head.method().to_owned()),
        ("x-original-url", format!("{scheme}://{host}{target}")),
    ];
    if let Some(address) = address {
        told.extend([("x-forwarded-for", address.clone()), ("x-real-ip", address)]);
    }
    told
}

/// Adds a field; one that HTTP does not allow never came from an edge.
fn put<T>(
    fields: &mut HeaderMap,
    name: &str,
    value: &[u8],
    put: fn(&mut HeaderMap, header::HeaderName, header::HeaderValue) -> T,
) {
    let name = header::HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, header::HeaderValue::from_bytes(value)) {
        put(fields, name, value);
    }
}

/// Whether two names are one to a server that takes `_` for `-`.
fn is_same_name(own: &str, name: &str) -> bool {
    let byte = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    own.len() == name.len() && own.bytes().zip(name.bytes()).all(|(a, b)| byte(a) == byte(b))
}
