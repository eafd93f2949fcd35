//! Asks push services.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::ClientConfig;

use crate::{BadSubscription, Service, Subscription, VapidKey, guard::Guard};

/// How long a service keeps a message for a device that is off, in seconds.
const KEPT_S: u32 = 24 * 3600;

/// How long one signature is used. Services take at most a day (RFC 8292, section 2).
const SIGNED: Duration = Duration::from_secs(12 * 3600);

/// Services whose signatures are kept, at most.
const SIGNATURES_MAX: usize = 64;

/// How push messages are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom a push service writes to when something goes wrong: a `mailto:` or `https:` URI.
    pub contact: String,
    /// The services that may be asked.
    pub services: Vec<Service>,
    /// Whether their names may lead into private networks, as where an operator has a service of his own.
    pub is_private_allowed: bool,
    /// How long a service may take to answer.
    pub timeout: Duration,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The service has it.
    Sent,
    /// There is no such subscription any more; it is to be forgotten.
    Gone,
    /// The service has enough; it names when it wants to be asked again.
    Later(Option<Duration>),
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum PushError {
    /// Not an `https` address of a service that is allowed.
    NotAllowed,
    /// Nothing can be sealed for the subscription.
    Subscription(BadSubscription),
    /// The service does not take it, and will not take it later.
    Refused(StatusCode),
    /// No answer in time.
    Timeout,
    /// No connection, or no answer.
    Exchange(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::NotAllowed => {
                f.write_str("this is no address of a push service that is allowed")
            }
            PushError::Subscription(error) => error.fmt(f),
            PushError::Refused(status) => write!(f, "the push service answered {status}"),
            PushError::Timeout => f.write_str("the push service did not answer in time"),
            PushError::Exchange(error) => write!(f, "no answer of the push service: {error}"),
        }
    }
}

impl Error for PushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PushError::Exchange(error) => Some(&**error),
            PushError::Subscription(error) => Some(error),
            PushError::NotAllowed | PushError::Refused(_) | PushError::Timeout => None,
        }
    }
}

/// Wakes devices through their push services.
pub struct Sender {
    key: VapidKey,
    settings: Settings,
    client: Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>,
    signatures: Mutex<BTreeMap<String, Signature>>,
}

/// An Authorization header, and until when it is used.
struct Signature {
    header: String,
    until: SystemTime,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Sender {
    /// Sends with this key, to services whose certificates `trust` accepts.
    pub fn new(key: VapidKey, settings: Settings, trust: ClientConfig) -> Self {
        let guard = Guard { is_private_allowed: settings.is_private_allowed };
        let mut connector = HttpConnector::new_with_resolver(guard);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(settings.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust)
            // Which addresses are asked without TLS is for `Service` to say.
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Sender { key, settings, client, signatures: Mutex::default() }
    }

    /// The key that browsers subscribe with.
    pub fn public_key(&self) -> [u8; 65] {
        self.key.public()
    }

    /// Whether this is the address of a service that may be asked.
    pub fn allows(&self, endpoint: &str) -> bool {
        self.allowed(endpoint).is_some()
    }

    fn allowed(&self, endpoint: &str) -> Option<Uri> {
        let uri: Uri = endpoint.parse().ok()?;
        let is_nobodys = !uri.authority()?.as_str().contains('@');
        let is_known = || self.settings.services.iter().any(|service| service.is_at(&uri));
        (is_nobodys && is_known()).then_some(uri)
    }

    /// Sends a message, of at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) bytes. A newer one takes the place of one that was
    /// not delivered yet.
    ///
    /// # Errors
    /// Subscriptions that are not allowed or not sound, and services that do not answer or refuse for good.
    pub async fn wake(&self, whom: &Subscription, message: &[u8]) -> Result<Wake, PushError> {
        let uri = self.allowed(&whom.endpoint).ok_or(PushError::NotAllowed)?;
        let sealed = whom.seal(message).map_err(PushError::Subscription)?;
        let request = self.request(uri, sealed, SystemTime::now());
        let answer = tokio::time::timeout(self.settings.timeout, self.client.request(request));
        let answer = answer.await.map_err(|_| PushError::Timeout)?;
        read(&answer.map_err(|error| PushError::Exchange(error.into()))?)
    }

    fn request(&self, uri: Uri, sealed: Vec<u8>, now: SystemTime) -> Request<Full<Bytes>> {
        let authority = uri.authority().expect("an allowed address has a host");
        let scheme = uri.scheme_str().expect("an allowed address has a scheme");
        let authorization = self.authorization(&format!("{scheme}://{authority}"), now);
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("TTL", KEPT_S)
            .header("Topic", "selvedge-sync")
            .header("Urgency", "normal")
            .body(Full::new(sealed.into()))
            .expect("all of these are header values")
    }

    fn authorization(&self, origin: &str, now: SystemTime) -> String {
        let mut signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        signatures.retain(|_, signature| now < signature.until);
        if let Some(signature) = signatures.get(origin) {
            return signature.header.clone();
        }
        let until = now + SIGNED;
        // A service whose clock is behind finds it valid for no more than a day.
        let expires =
            until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() + 3600;
        let header = self.key.authorization(origin, &self.settings.contact, expires);
        if signatures.len() < SIGNATURES_MAX {
            signatures.insert(origin.to_owned(), Signature { header: header.clone(), until });
        }
        header
    }
}

/// RFC 8030, section 5, and what services answer beside it.
fn read<B>(answer: &Response<B>) -> Result<Wake, PushError> {
    match answer.status() {
        status if status.is_success() => Ok(Wake::Sent),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Wake::Gone),
        StatusCode::TOO_MANY_REQUESTS => Ok(Wake::Later(later(answer))),
        status if status.is_server_error() => Ok(Wake::Later(later(answer))),
        status => Err(PushError::Refused(status)),
    }
}

fn later<B>(answer: &Response<B>) -> Option<Duration> {
    retry_after(answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let date = || httpdate::parse_http_date(text).ok();
    seconds.or_else(|| Some(date()?.duration_since(now).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn when_to_ask_again_is_seconds_or_a_date() {
        check("7", Some(7));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("-1", None);
        check("soon", None);
    }
}
