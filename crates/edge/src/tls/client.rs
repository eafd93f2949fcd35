use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use selvedge_config::{TargetAddress, UpstreamProtocol, UpstreamTls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    ALPN_HTTP1, ALPN_HTTP2, TlsError,
    files::{self, Print},
    provider,
};

/// Server names whose sessions are remembered; then the oldest goes.
pub(crate) const SESSIONS_MAX: usize = 256;

/// TLS to the targets of one upstream, shared by all cores.
#[derive(Debug)]
pub(crate) struct ClientTls {
    settings: UpstreamTls,
    prints: Mutex<Vec<Print>>,
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    protocol: UpstreamProtocol,
}

impl ClientTls {
    /// Reads all files of `settings`; blocks.
    pub(crate) fn load(
        settings: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Self, TlsError> {
        let UpstreamTls { ca, server_name, identity, verify } = settings;
        // First: a file written from here on counts as changed.
        let identity_files = identity.iter().flat_map(|(cert, key)| [cert, key]);
        let prints = ca.iter().chain(identity_files).map(|path| Print::take(path)).collect();
        let verifier = match (verify, ca) {
            (false, _) => Arc::new(AnyServer(provider())) as Arc<dyn ServerCertVerifier>,
            (true, Some(ca)) => verifier(files::read_roots(ca)?)?,
            (true, None) => verifier(mozilla_roots())?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|source| TlsError::Setup { source })?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            Some((cert, key)) => {
                let identity = SingleCertAndKey::from(files::read_identity(cert, key)?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn(protocol).to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let server_name = server_name.as_deref().map(parse_name).transpose()?;
        Ok(Self {
            settings: settings.clone(),
            prints: Mutex::new(prints),
            config: Arc::new(config),
            server_name,
            protocol,
        })
    }

    /// All that keeps `settings` from being loaded; blocks.
    pub(crate) fn faults(settings: &UpstreamTls, protocol: UpstreamProtocol) -> Vec<TlsError> {
        let UpstreamTls { ca, server_name, identity, verify } = settings;
        let ca = ca.as_deref().filter(|_| *verify);
        let identity = identity.as_ref();
        let faults: Vec<_> = [
            ca.map(|ca| files::read_roots(ca).map(drop)),
            identity.map(|(cert, key)| files::read_identity(cert, key).map(drop)),
            server_name.as_deref().map(|name| parse_name(name).map(drop)),
        ]
        .into_iter()
        .filter_map(|part| part?.err())
        .collect();
        match faults.is_empty() {
            true => Self::load(settings, protocol).err().into_iter().collect(),
            false => faults,
        }
    }

    /// Whether loading `settings` again would bring the same: neither they nor the files have
    /// changed. Costs one `stat` per file as long as nobody touches them.
    pub(crate) fn is_current(&self, settings: &UpstreamTls, protocol: UpstreamProtocol) -> bool {
        let mut prints = self.prints.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings == *settings
            && self.protocol == protocol
            && !prints.iter_mut().any(Print::changed)
    }

    /// Returns the name to verify and, unless it is an address, to send as SNI.
    pub(crate) fn server_name_for(
        &self,
        target: &TargetAddress,
    ) -> Result<ServerName<'static>, TlsError> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        match target {
            TargetAddress::Socket(address) => Ok(address.ip().into()),
            TargetAddress::Name { host, port: _ } => parse_name(host),
            TargetAddress::Unix(path) => Err(TlsError::NoServerName { path: path.clone() }),
        }
    }

    /// Makes the handshake; the caller bounds its time. Dropping the future closes the connection.
    ///
    /// The error holds a [`rustls::Error`] where the certificate was not believed or TLS not agreed
    /// on, and a [`TlsError`] where there is no name to verify or no HTTP/2 to be had.
    pub(crate) async fn connect<S>(
        &self,
        target: &TargetAddress,
        stream: S,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name_for(target).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.config.clone());
        let stream = connector.connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
        match self.protocol == UpstreamProtocol::Http2 && !agreed {
            true => Err(io::Error::other(TlsError::NoHttp2)),
            false => Ok(stream),
        }
    }
}

fn alpn(protocol: UpstreamProtocol) -> &'static [u8] {
    match protocol {
        UpstreamProtocol::Http1 => ALPN_HTTP1,
        UpstreamProtocol::Http2 => ALPN_HTTP2,
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(address.into());
    }
    let bare = name.strip_suffix('.').unwrap_or(name).to_owned();
    ServerName::try_from(bare).map_err(|_| TlsError::ServerName { name: name.to_owned() })
}

fn mozilla_roots() -> Arc<RootCertStore> {
    Arc::new(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()))
}

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let built = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let verifier = built
        .map_err(|error| TlsError::Setup { source: rustls::Error::General(error.to_string()) })?;
    Ok(verifier)
}

/// Believes every certificate: for `verify #false`, which `check` warns of. Whoever answers can read
/// and change everything; only eavesdroppers are kept out.
#[derive(Debug)]
pub(super) struct AnyServer(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
