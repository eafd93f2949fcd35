//! Services behind TLS: whom the bridge trusts, and connections that take longer than anybody waits.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate for `localhost`, in a file and in a server's config.
struct Identity {
    folder: TempDir,
    ca: PathBuf,
    config: ServerConfig,
}

impl Identity {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        Self { folder, ca, config }
    }
}

/// A server with TLS that takes its time before it greets.
struct Slow {
    address: String,
    ca: PathBuf,
    _folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Slow {
    async fn start(delay: Duration) -> Self {
        let Identity { folder, ca, config } = Identity::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                served.spawn(async move {
                    sleep(delay).await;
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(async |_| {
                        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("ok")))
                    });
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let address = format!("https://localhost:{port}/auth");
        Self { address, ca, _folder: folder, _tasks: tasks }
    }

    fn settings(&self) -> Settings {
        Settings { ca: Some(self.ca.clone()), ..forward_auth(&self.address) }
    }
}

#[tokio::test]
async fn a_server_is_believed_whose_root_is_trusted() {
    let server = Slow::start(Duration::ZERO).await;
    let agent = start(server.settings()).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow, done\n");
    let agent = start(Settings { ca: None, ..server.settings() }).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "abandoned: the service cannot be reached\n");
}

#[tokio::test]
async fn a_grpc_service_is_asked_by_http2_which_tls_agrees_on() {
    let Identity { folder: _folder, ca, mut config } = Identity::new();
    // Only what is agreed on is spoken: with another offer alone the handshake would fail.
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let service = service::Service::behind(Some(acceptor), listener, |_, question| {
        vec![service::Act::say(&ext_proc::answer(&question, envoy::CommonResponse::default()))]
    });
    let settings = ext_proc(&service.address);
    let agent = start(Settings { ca: Some(ca), ..settings }).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow\n");
}

#[tokio::test]
async fn a_file_without_roots_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "").unwrap();
    let settings = Settings { ca: Some(empty.clone()), ..forward_auth("https://localhost/") };
    let error = Bridge::start(settings, None).await.err().unwrap();
    assert_eq!(error, format!("there is no root certificate in {}", empty.display()));
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_anybody_waits_is_there_for_the_next() {
    // A second more than the settings say is waited for.
    let server = Slow::start(Duration::from_secs(1) + IMPATIENCE * 3).await;
    let agent = start(Settings { timeout: IMPATIENCE, ..server.settings() }).await;
    let late = "abandoned: the service did not answer in time\n";
    assert_eq!(told(&Asked::get().ask(&agent).await), late);
    // None is made while somebody waits, so this one was made for somebody else.
    let there = async {
        loop {
            let told = told(&Asked::get().ask(&agent).await);
            if told != late {
                return told;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, there).await.unwrap(), "allow, done\n");
}
