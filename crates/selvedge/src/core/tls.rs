//! TLS towards edges of other machines: both sides show a certificate.

use rustls::{client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::ServerName;
use selvedge_config::CoreListen;
use selvedge_edge::{CertificateFacts, CertificateWarning, ServerTls, TlsError};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::courier::EdgePeer;
use crate::exit::{Exit, Failure};

/// What edges are met with.
pub(super) struct EdgeTls {
    listen: CoreListen,
    server: ServerTls,
    /// One of these must be in the certificate. Empty: whoever the roots vouch for.
    edges: Vec<ServerName<'static>>,
}

impl EdgeTls {
    /// Reads the files that `listen` names; blocks.
    pub(super) fn load(listen: &CoreListen) -> Result<Self, Failure> {
        let server = ServerTls::load_after(None, &listen.tls(), true, false)
            .map_err(|error| unfit(&error))?;
        let edges = listen.edges.iter().map(|name| ServerName::try_from(name.clone()));
        let edges = edges.collect::<Result<_, _>>().map_err(|error| {
            Failure::new(Exit::Config, format!("a name in `edges` cannot be used: {error}"))
        })?;
        Ok(Self { listen: listen.clone(), server, edges })
    }

    /// What `listen` comes to, unless it is what we have: neither it nor the files have changed. Blocks.
    pub(super) fn next(&self, listen: &CoreListen) -> Result<Option<Self>, Failure> {
        let is_current = self.listen == *listen && !self.server.changed();
        (!is_current).then(|| Self::load(listen)).transpose()
    }

    /// As [`Self::next`], for files that were renewed.
    pub(super) fn renewed(&self) -> Result<Option<Self>, Failure> {
        self.next(&self.listen)
    }

    /// What is wrong with the core's own certificate today: edges refuse it, or soon will.
    pub(super) fn warnings(&self) -> Vec<CertificateWarning> {
        self.server.warnings()
    }

    /// The core's own certificate.
    pub(super) fn certificates(&self) -> Vec<CertificateFacts> {
        self.server.certificates()
    }

    /// Makes the handshake with somebody who has to be an edge; says why where it is none.
    pub(super) async fn meet(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let acceptor = TlsAcceptor::from(self.server.server_config());
        let stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
        match self.is_edge(&stream) {
            true => Ok(stream),
            false => Err("its certificate names none of `edges`".to_owned()),
        }
    }

    /// The edge at the other end.
    pub(super) fn peer<T>(&self, stream: &TlsStream<T>) -> Option<EdgePeer> {
        EdgePeer::of(stream.get_ref().1, &self.edges)
    }

    /// Whether the peer's certificate names an edge that we expect. That it is genuine, the handshake
    /// has made sure of.
    fn is_edge(&self, stream: &TlsStream<TcpStream>) -> bool {
        let (_, session) = stream.get_ref();
        let Some(leaf) = session.peer_certificates().and_then(|chain| chain.first()) else {
            return false;
        };
        let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
        self.edges.is_empty()
            || self.edges.iter().any(|name| verify_server_name(&leaf, name).is_ok())
    }
}

fn unfit(error: &TlsError) -> Failure {
    Failure::chain(Exit::Config, error).prefixed("TLS of the core cannot be set up")
}
