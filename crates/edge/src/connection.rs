//! What is known of a client's connection for as long as it lives.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Instant};

use selvedge_config::Listener;
use selvedge_telemetry::ListenerLabel;

use crate::tls::{ServerTls, TlsFacts};

/// A client's connection, apart from its bytes.
pub(crate) struct Connection {
    pub(crate) listener: Arc<Listener>,
    /// The listener's counts.
    pub(crate) label: ListenerLabel,
    /// What the listener shows over TLS.
    pub(crate) server_tls: Option<Arc<ServerTls>>,
    /// The other end of the socket.
    pub(crate) socket_peer: SocketAddr,
    /// The other end as a PROXY header names it; otherwise the same.
    pub(crate) peer: SocketAddr,
    /// The peer's IP address as text.
    pub(crate) peer_text: Box<str>,
    /// In a box: without TLS they would be half of what an idle connection has here.
    pub(crate) tls: Option<Box<TlsFacts>>,
    pub(crate) accepted: Instant,
    pub(crate) tls_done: Option<Instant>,
    /// Whether no request has come yet.
    pub(crate) is_fresh: Cell<bool>,
}

impl Connection {
    /// Takes `peer` for the other end from now on.
    pub(crate) fn come_from(&mut self, peer: SocketAddr) {
        self.peer = peer;
        self.peer_text = peer.ip().to_canonical().to_string().into();
    }

    /// Whether this connection was opened for another host, to which alone we have shown that we are
    /// who we say; the same for all versions of HTTP.
    pub(crate) fn is_misdirected(&self, host: &str) -> bool {
        let tls = self.server_tls.as_ref().zip(self.tls.as_ref());
        tls.is_some_and(|(server, facts)| server.misdirected(facts.sni.as_deref(), host))
    }
}
