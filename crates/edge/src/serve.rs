//! A client's connection from accept to close.

mod http1;
mod http2;
mod prelude;

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Instant};

use selvedge_telemetry::Handshake;
use tokio::net::TcpStream;

use crate::{
    connection::Connection,
    core::Core,
    plan::Place,
    tls::{self, AcceptError, Alpn, TlsFacts},
    transport::Transport,
};

/// Serves one accepted connection to its end.
pub(crate) async fn serve(core: Rc<Core>, stream: TcpStream, peer: SocketAddr, at: Rc<Place>) {
    let accepted = Instant::now();
    let snapshot = core.snapshot();
    let Some((index, planned)) = snapshot.plan.listener(&at) else { return };
    let label = snapshot.plan.labels.listener(index).clone();
    let limits = &snapshot.plan.config.limits;
    let Some(_connection) = core.bounds.connections.try_enter(limits.connections) else {
        return core.telemetry.connection_refused(&label, "connections");
    };
    let per_address = limits.connections_per_address;
    // An old kernel or a broken socket: the connection works all the same, only slower.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        listener: planned.listener.clone(),
        label,
        server_tls: planned.tls.clone(),
        socket_peer: peer,
        peer,
        peer_text: peer.ip().to_canonical().to_string().into(),
        tls: None,
        accepted,
        tls_done: None,
        is_fresh: Cell::new(true),
    };
    drop(snapshot);
    if prelude::is_expected(&connection) {
        match Box::pin(prelude::read_proxy_header(&core, &stream, &connection)).await {
            Ok(source) => connection.come_from(source.unwrap_or(peer)),
            Err(fault) => {
                core.telemetry.connection_refused(&connection.label, "proxy_protocol");
                return core.warn(
                    "connection refused",
                    &[("listener", &connection.listener.id), ("peer", &peer), ("reason", &fault)],
                );
            }
        }
    }
    // Whom a PROXY header names is counted, and not the load balancer that everybody comes through.
    let Some(_address) = core.bounds.addresses.try_enter(connection.peer.ip(), per_address) else {
        return core.telemetry.connection_refused(&connection.label, "connections_per_address");
    };
    let _open = core.telemetry.connection(&connection.label);
    // The handshake needs much more memory than the connection afterwards.
    let established = Box::pin(establish(&core, stream, &mut connection)).await;
    if let Some((transport, alpn)) = established {
        serve_plain(core, transport, connection, alpn).await;
    }
}

/// Makes a stream whose bytes are in the clear; `None` when the client failed to.
async fn establish(
    core: &Core,
    stream: TcpStream,
    connection: &mut Connection,
) -> Option<(Transport, Option<Alpn>)> {
    let Some(tls) = connection.server_tls.clone() else {
        return Some((Transport::tcp(stream), None));
    };
    let deadline = tokio::time::Instant::now() + connection.listener.timeouts.handshake;
    let stream = match tls::accept(stream, Vec::new(), tls.server_config(), deadline).await {
        Ok(stream) => stream,
        Err(error) => {
            core.telemetry.handshake(&connection.label, Handshake::Failed);
            if let AcceptError::PlainHttp { stream } = error {
                prelude::answer_plain_http(stream).await;
            }
            return None;
        }
    };
    let facts = TlsFacts::of(stream.get_ref().1);
    connection.tls_done = Some(Instant::now());
    let how = if facts.resumed { Handshake::Resumed } else { Handshake::Full };
    core.telemetry.handshake(&connection.label, how);
    let alpn = facts.alpn;
    connection.tls = Some(facts);
    Some((Transport::server_tls(stream), alpn))
}

/// Speaks HTTP on a stream whose bytes are in the clear.
async fn serve_plain(
    core: Rc<Core>,
    transport: Transport,
    connection: Connection,
    alpn: Option<Alpn>,
) {
    let connection = Rc::new(connection);
    if alpn == Some(Alpn::Http2) {
        return Box::pin(http2::serve(core, transport, Vec::new(), connection)).await;
    }
    let transport = Rc::new(transport);
    if let Some(begun) = http1::serve(&core, &transport, &connection).await
        && let Some(transport) = Rc::into_inner(transport)
    {
        Box::pin(http2::serve(core, transport, begun, connection)).await;
    }
}
