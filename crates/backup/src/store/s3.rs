//! S3 by `object_store`, whose requests go out by hyper and rustls: the stack that is here anyway.

use std::{error::Error, fs, pin::Pin, sync::Arc, time::Duration};

use http::Uri;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::TokioExecutor,
};
use object_store::{
    ClientConfigKey, ClientOptions, Error as Refusal,
    aws::{AmazonS3, AmazonS3Builder},
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// A file of certificates, in the place of the well-known ones; other tools know it by this name.
const ROOTS: &str = "AWS_CA_BUNDLE";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between a request and its answer: the largest object over a line of one megabit a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// A bucket; endpoint, region and credentials come from the environment.
pub(super) fn bucket(name: &str) -> Result<AmazonS3, Refusal> {
    AmazonS3Builder::from_env().with_bucket_name(name).with_http_connector(Hyper).build()
}

/// Makes clients.
#[derive(Debug)]
struct Hyper;

impl HttpConnector for Hyper {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient, Refusal> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let allow_plain = plain.is_some_and(|value| value == "true");
        let trust = trust().map_err(|source| Refusal::Generic { store: "S3", source })?;
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = HttpsConnectorBuilder::new().with_tls_config(trust).https_or_http();
        let connector = https.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(HttpClient::new(Requests { client, allow_plain }))
    }
}

fn trust() -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let roots = match std::env::var_os(ROOTS) {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => {
            let named = |error: &dyn Error| format!("{ROOTS}={}: {error}", path.display());
            let pem = fs::read(&path).map_err(|error| named(&error))?;
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|error| named(&error))?)?;
            }
            roots
        }
    };
    let versions = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = versions.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Sends requests.
#[derive(Debug)]
struct Requests {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
    /// Whether what is sent may be read on the way: `AWS_ALLOW_HTTP`.
    allow_plain: bool,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Requests {
    fn call<'life, 'call>(&'life self, request: HttpRequest) -> Answer<'call>
    where
        'life: 'call,
        Self: 'call,
    {
        Box::pin(self.send(request))
    }
}

impl Requests {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.may_go_to(request.uri())?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(request));
        let answer = answer.await.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => HttpError::new(HttpErrorKind::Connect, Told(told(&error))),
            false => HttpError::new(HttpErrorKind::Request, Told(told(&error))),
        })?;
        let cut = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(cut))))
    }

    fn may_go_to(&self, uri: &Uri) -> Result<(), HttpError> {
        if self.allow_plain || uri.scheme_str() == Some("https") {
            return Ok(());
        }
        let text = "the endpoint speaks no TLS; AWS_ALLOW_HTTP=true takes it all the same";
        Err(HttpError::new(HttpErrorKind::Unknown, Told(text.to_owned())))
    }
}

/// An error with its causes in one line: what lies behind a connection is what people need to know.
#[derive(Debug)]
struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Told {}

fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
