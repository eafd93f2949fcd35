//! Full TLS 1.3 handshakes per second: each connection is new, resumes nothing, asks once and closes.
//!
//! `handshakes ADDRESS PATH SECONDS CLIENTS`; prints one line of JSON. The client leaves out what is its own work only
//! (it does not verify the certificate), so that one core of load can saturate one core of server; that the certificate
//! verifies is checked elsewhere. Only X25519 is offered: every peer can do it, so every peer does the same work.

use std::{
    cell::{Cell, RefCell},
    io,
    io::Write,
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    task::{LocalSet, spawn_local},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// A connection that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = Load::from_arguments().and_then(|load| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(LocalSet::new().block_on(&runtime, load.run()))
    });
    match outcome {
        Ok(line) => {
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "handshakes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked of whom, and for how long.
struct Load {
    address: SocketAddr,
    request: String,
    duration: Duration,
    clients: usize,
}

/// What came of it.
#[derive(Default)]
struct Tally {
    good: Cell<u64>,
    failed: Cell<u64>,
    bytes: Cell<u64>,
    latencies_us: RefCell<Vec<u64>>,
    first_failure: RefCell<Option<String>>,
}

impl Load {
    fn from_arguments() -> Result<Self, Failure> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [address, path, seconds, clients] = arguments.as_slice() else {
            return Err("give ADDRESS PATH SECONDS CLIENTS".into());
        };
        Ok(Self {
            address: address.parse()?,
            request: format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            duration: Duration::from_secs(seconds.parse()?),
            clients: clients.parse()?,
        })
    }

    /// Returns a line of JSON.
    async fn run(self) -> String {
        let tally = Rc::new(Tally::default());
        let connector = TlsConnector::from(Arc::new(client_config()));
        let (clients, start) = (self.clients, Instant::now());
        let load = Rc::new(self);
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let client =
                    Rc::clone(&load).run_client(start, connector.clone(), Rc::clone(&tally));
                spawn_local(client)
            })
            .collect();
        for task in tasks {
            if let Err(error) = task.await {
                tally.fail(&error);
            }
        }
        tally.summary(start.elapsed())
    }

    async fn run_client(self: Rc<Self>, start: Instant, connector: TlsConnector, tally: Rc<Tally>) {
        while start.elapsed() < self.duration {
            let begin = Instant::now();
            match timeout(PATIENCE, self.exchange(&connector)).await {
                Ok(Ok(bytes)) => tally.succeed(bytes, begin.elapsed()),
                Ok(Err(error)) => tally.fail(&error),
                Err(error) => tally.fail(&error),
            }
        }
    }

    /// Connects, asks, reads to the end of the stream, and returns the bytes of the body.
    async fn exchange(&self, connector: &TlsConnector) -> io::Result<u64> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut stream = connector.connect(name, socket).await?;
        stream.write_all(self.request.as_bytes()).await?;
        let mut response = Vec::with_capacity(1024);
        match stream.read_to_end(&mut response).await {
            // Some servers leave out the close_notify; the length shows whether anything is missing.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => body_length(&response),
        }
    }
}

impl Tally {
    fn succeed(&self, bytes: u64, latency: Duration) {
        self.good.set(self.good.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        self.latencies_us.borrow_mut().push(latency.as_micros() as u64);
    }

    fn fail(&self, error: &dyn std::fmt::Display) {
        self.failed.set(self.failed.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(|| error.to_string());
    }

    fn summary(&self, elapsed: Duration) -> String {
        let mut latencies = self.latencies_us.borrow_mut();
        latencies.sort_unstable();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
        json!({
            "good": self.good.get(),
            "failed": self.failed.get(),
            "first_failure": *self.first_failure.borrow(),
            "body_bytes": self.bytes.get(),
            "seconds": elapsed.as_secs_f64(),
            "p50_us": at(0.5),
            "p99_us": at(0.99),
            "p999_us": at(0.999),
        })
        .to_string()
    }
}

/// The body's length if the response is a 200 whose body has the length it announces.
fn body_length(response: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(response).to_ascii_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let complete = announced.and_then(|length| length.parse().ok()) == Some(body.len());
    if head.starts_with("http/1.1 200") && complete {
        Ok(body.len() as u64)
    } else {
        Err(io::Error::other(format!("not a complete 200: {text:?}")))
    }
}

fn client_config() -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("aws-lc-rs has TLS 1.3 suites that use X25519")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Takes every certificate and signature as they are.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}
