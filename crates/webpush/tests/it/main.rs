//! A push service on loopback, with TLS, and what it is told.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use selvedge_webpush::{PushError, Sender, Settings, Subscription, VapidKey, Wake};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

/// What a push service was told.
struct Told {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A push service that answers `status`, asked again after 7 seconds; returns a sender that may ask it.
async fn service(status: StatusCode) -> (Sender, String, mpsc::Receiver<Told>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(serve(listener, server_config(cert.der().clone(), key), status, tell));

    let settings = Settings {
        contact: "mailto:ops@example.org".into(),
        services: vec![format!("localhost:{port}").parse().expect("a service")],
        is_private_allowed: true,
        timeout: Duration::from_secs(30),
    };
    let key = VapidKey::from_pkcs8(&VapidKey::generate()).expect("a key");
    (
        Sender::new(key, settings, trust(cert.der().clone())),
        format!("https://localhost:{port}"),
        told,
    )
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair")
}

fn trust(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    status: StatusCode,
    tell: mpsc::Sender<Told>,
) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = acceptor.accept(stream).await else { continue };
        let tell = tell.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let tell = tell.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let told = Told { path: head.uri.path().into(), headers: head.headers, body };
                tell.send(told).await.expect("somebody listens");
                let answer = Response::builder().status(status).header("retry-after", "7");
                let answer = answer.header("location", "/elsewhere");
                Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).expect("an answer"))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A browser that has nothing but a public key: the one of RFC 8291, section 5.
fn browser(endpoint: &str) -> Subscription {
    let key = "042571b2becdfde360551aaf1ed0f4cd366c11cebe555f89bcb7b186a53339173168ece2ebe018597bd30479b86e3c8f8eced577ca59187e9246990db682008b0e";
    let key = data_encoding::HEXLOWER.decode(key.as_bytes()).expect("hexadecimal");
    let key = key.try_into().expect("a point");
    Subscription { endpoint: endpoint.to_owned(), key, secret: [7; 16] }
}

#[tokio::test]
async fn a_message_is_sealed_signed_and_sent() {
    let (sender, origin, mut told) = service(StatusCode::CREATED).await;
    let browser = browser(&format!("{origin}/wpush/1"));
    for _ in 0..2 {
        assert_eq!(sender.wake(&browser, b"news").await.expect("sent"), Wake::Sent);
    }
    let (first, second) =
        (told.recv().await.expect("a message"), told.recv().await.expect("a message"));
    assert_eq!((&*first.path, first.body.len()), ("/wpush/1", 86 + 256 + 16));
    assert_ne!(first.body, second.body, "each has a key of its own");
    let header = |name: &str| first.headers[name].to_str().expect("text");
    assert_eq!((header("ttl"), header("topic")), ("86400", "selvedge-sync"));
    assert_eq!((header("urgency"), header("content-encoding")), ("normal", "aes128gcm"));
    assert!(header("authorization").starts_with("vapid t="));
    assert_eq!(first.headers["authorization"], second.headers["authorization"], "signed once");
}

#[track_caller]
fn check(status: u16, expected: Result<Wake, StatusCode>) {
    let status = StatusCode::from_u16(status).expect("a status");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let woken = runtime.expect("a runtime").block_on(async {
        let (sender, origin, _told) = service(status).await;
        sender.wake(&browser(&format!("{origin}/1")), b"").await
    });
    let woken = woken.map_err(|error| match error {
        PushError::Refused(status) => status,
        other => panic!("{other}"),
    });
    assert_eq!(woken, expected);
}

#[test]
fn answers_are_understood() {
    check(201, Ok(Wake::Sent));
    check(404, Ok(Wake::Gone));
    check(410, Ok(Wake::Gone));
    check(429, Ok(Wake::Later(Some(Duration::from_secs(7)))));
    check(503, Ok(Wake::Later(Some(Duration::from_secs(7)))));
    check(403, Err(StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn nobody_else_is_asked() {
    let (sender, origin, _told) = service(StatusCode::CREATED).await;
    let plain = origin.replace("https", "http");
    let user = origin.replace("https://", "https://a@");
    for endpoint in ["https://127.0.0.1/1", "https://localhost/1", "/1", "", &plain, &user] {
        assert!(!sender.allows(endpoint), "{endpoint}");
        let woken = sender.wake(&browser(endpoint), b"").await;
        assert!(matches!(woken, Err(PushError::NotAllowed)), "{endpoint}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (sender, origin, mut told) = service(StatusCode::TEMPORARY_REDIRECT).await;
    let woken = sender.wake(&browser(&format!("{origin}/1")), b"").await;
    assert!(matches!(woken, Err(PushError::Refused(StatusCode::TEMPORARY_REDIRECT))));
    told.recv().await.expect("the first question");
    assert!(told.try_recv().is_err(), "there is no second one");
}

#[tokio::test]
async fn a_name_that_leads_home_is_not_followed() {
    let settings = Settings {
        contact: "mailto:ops@example.org".into(),
        services: vec!["localhost:9".parse().expect("a service")],
        is_private_allowed: false,
        timeout: Duration::from_secs(30),
    };
    let key = VapidKey::from_pkcs8(&VapidKey::generate()).expect("a key");
    let roots = RootCertStore::empty();
    let trust = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let sender = Sender::new(key, settings, trust);
    let error = sender.wake(&browser("https://localhost:9/1"), b"").await.expect_err("refused");
    let mut causes =
        std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
    assert!(causes.any(|it| it.to_string().contains("no address of the internet")), "{error:?}");
}
