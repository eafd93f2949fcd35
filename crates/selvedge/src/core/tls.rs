//! TLS towards edges of other machines: both sides show a certificate.

use std::{error::Error, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    client::verify_server_name,
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use selvedge_config::CoreListen;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::exit::{Exit, Failure};

/// What edges are met with.
#[derive(Clone)]
pub(super) struct EdgeTls {
    acceptor: TlsAcceptor,
    /// One of these must be in the certificate. Empty: whoever the roots vouch for.
    edges: Arc<[ServerName<'static>]>,
}

impl EdgeTls {
    /// Reads the files that `listen` names.
    pub(super) fn load(listen: &CoreListen) -> Result<Self, Failure> {
        let CoreListen { address: _, cert, key, client_ca, edges } = listen;
        let roots = Arc::new(roots(client_ca)?);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let of_edges = |error: &dyn Error| {
            Failure::chain(Exit::Config, error).prefixed("TLS of the core cannot be set up")
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| of_edges(&error))?;
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| of_edges(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| of_edges(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let edges = edges.iter().map(|name| ServerName::try_from(name.clone()));
        let edges = edges.collect::<Result<Vec<_>, _>>().map_err(|error| of_edges(&error))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), edges: edges.into() })
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Whether the peer's certificate names an edge that we expect. That it is genuine, the handshake
    /// has made sure of.
    pub(super) fn is_edge<T>(&self, stream: &TlsStream<T>) -> bool {
        let (_, session) = stream.get_ref();
        let Some(leaf) = session.peer_certificates().and_then(|chain| chain.first()) else {
            return false;
        };
        let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
        self.edges.is_empty()
            || self.edges.iter().any(|name| verify_server_name(&leaf, name).is_ok())
    }
}

fn roots(file: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for root in certificates(file)? {
        roots.add(root).map_err(|error| unread(file, &error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unread(file, &error))?;
    let read = read.collect::<Result<Vec<_>, _>>().map_err(|error| unread(file, &error))?;
    match read.is_empty() {
        true => Err(Failure::new(Exit::Config, format!("{} holds no certificate", file.display()))),
        false => Ok(read),
    }
}

fn unread(file: &Path, error: &dyn Error) -> Failure {
    Failure::chain(Exit::Config, error).prefixed(&format!("{} cannot be used", file.display()))
}
