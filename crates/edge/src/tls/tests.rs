//! Real handshakes: rustls against rustls, in memory.

mod accepting;
mod clients;
mod contents;
mod reloading;
mod served;
mod upstreams;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use expect_test::{Expect, expect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use selvedge_config::{
    Certificate, ClientAuth, ListenerTls, MemoryEnvironment, TargetAddress, TlsVersion,
    UpstreamProtocol, UpstreamTls, parse_str,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{accept::looks_like_http, certificate::unix_now, resolver::Certificates, *};

const DAY: Duration = Duration::from_secs(24 * 3600);
const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A folder with an authority and what it issued.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Issues `file.pem` and `file.key` for `names`.
    fn issue(&self, file: &str, names: &[&str]) -> Certificate {
        self.issue_with(file, names, KeyPair::generate().unwrap(), |_| {})
    }

    fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::Files {
            cert: self.write(&format!("{file}.pem"), certificate.pem()),
            key: self.write(&format!("{file}.key"), key.serialize_pem()),
        }
    }

    fn settings(&self, certificates: Vec<Certificate>) -> ListenerTls {
        ListenerTls {
            certificates,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            client_auth: ClientAuth::Off,
            resumption: true,
        }
    }

    fn required(&self) -> ClientAuth {
        ClientAuth::Required { ca: self.path("ca.pem") }
    }

    fn optional(&self) -> ClientAuth {
        ClientAuth::Optional { ca: self.path("ca.pem") }
    }
}

/// What a test client brings along.
struct Client<'a> {
    authority: &'a Authority,
    identity: Option<&'a Certificate>,
    alpn: &'a [&'a [u8]],
    versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Client<'a> {
    fn of(authority: &'a Authority) -> Self {
        Self { authority, identity: None, alpn: &[], versions: BOTH }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(Certificate::Files { cert, key }) => {
                let identity = files::read_identity(cert, key).unwrap();
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

type Pair = (ClientConnection, ServerConnection);

/// Makes a handshake for `name`; the error is the server's if it has one.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Pair, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut pair = (
        ClientConnection::new(client.clone(), name).unwrap(),
        ServerConnection::new(server.clone()).unwrap(),
    );
    pump(&mut pair)?;
    assert!(!pair.0.is_handshaking() && !pair.1.is_handshaking());
    echo(&mut pair);
    Ok(pair)
}

fn pump((client, server): &mut Pair) -> Result<(), rustls::Error> {
    while client.wants_write() || server.wants_write() {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        let mut bytes = to_server.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        let mut bytes = to_client.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

/// Sends a byte each way, which also delivers tickets.
#[track_caller]
fn echo(pair: &mut Pair) {
    let mut byte = [0];
    pair.0.writer().write_all(b"?").unwrap();
    pump(pair).unwrap();
    pair.1.reader().read_exact(&mut byte).unwrap();
    pair.1.writer().write_all(b"!").unwrap();
    pump(pair).unwrap();
    pair.0.reader().read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

fn shown((client, _): &Pair) -> CertificateDer<'static> {
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

fn describe(outcome: Result<Pair, rustls::Error>) -> String {
    match outcome {
        Err(error) => format!("refused: {error}"),
        Ok((_, server)) => {
            let facts = TlsFacts::of(&server);
            assert_eq!(facts.client_subject.is_some(), facts.client_sha256.is_some());
            let TlsFacts { version, sni, alpn, resumed, client_subject, .. } = facts;
            let sni = sni.as_deref().unwrap_or("-");
            let subject = client_subject.as_deref().unwrap_or("-");
            let resumed = if resumed { "resumed" } else { "full" };
            format!("{version} {sni} {alpn:?} {resumed} {subject}")
        }
    }
}

/// Long enough for a handshake in memory.
fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}
