//! An authority, what it issues, and a client that shows any of it.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};

use crate::process::PATIENCE;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Somebody who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Writes its own certificate.
    pub fn write(&self, file: &Path) {
        fs::write(file, self.0.pem()).unwrap();
    }

    /// Writes `FILE.pem` and `FILE.key` for a name.
    pub fn issue(&self, file: &Path, name: &str) {
        self.issue_until(file, name, SystemTime::now() + 90 * DAY);
    }

    /// As [`Authority::issue`], for a certificate whose time was over yesterday.
    pub fn issue_expired(&self, file: &Path, name: &str) {
        self.issue_until(file, name, SystemTime::now() - DAY);
    }

    fn issue_until(&self, file: &Path, name: &str, end: SystemTime) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = (end - 180 * DAY).into();
        params.not_after = end.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(file.with_extension("pem"), certificate.pem()).unwrap();
        fs::write(file.with_extension("key"), key.serialize_pem()).unwrap();
    }
}

/// Sends a request for `path` as somebody with this certificate and key, or with none; returns all that came back.
pub fn ask(
    (address, ca): (&str, &Path),
    identity: Option<&Path>,
    (path, fields): (&str, &[&str]),
) -> io::Result<String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(file) => {
            let chain = vec![CertificateDer::from_pem_file(file.with_extension("pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file.with_extension("key")).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("core.internal").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(session, stream);
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: core\r\n{fields}Connection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
