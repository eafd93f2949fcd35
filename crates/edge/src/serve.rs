//! A client's connection from accept to close.

pub(crate) mod http1;
pub(crate) mod http2;
mod prelude;

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Instant};

use selvedge_telemetry::{Handshake, Level};
use tokio::{net::TcpStream, task::spawn_local};

use self::http1::Served;
pub(crate) use self::http2::Stream;
use crate::{
    bounds::Entered,
    connection::Connection,
    core::Core,
    deadline::Deadline,
    plan::Place,
    proxy::Passage,
    tls::{self, AcceptError, Alpn, TlsFacts},
    transport::Transport,
    tunnel::End,
};

/// Takes on an accepted connection under the config in force; what is returned serves it to its end.
/// `None`: it is refused.
pub(crate) fn serve(
    core: &Rc<Core>,
    stream: TcpStream,
    peer: SocketAddr,
    at: &Place,
) -> Option<impl Future<Output = ()> + use<>> {
    let snapshot = core.snapshot();
    let (index, planned) = snapshot.plan.listener(at)?;
    let label = snapshot.plan.labels.listener(index).clone();
    let limits = &snapshot.plan.config.limits;
    let Some(counted) = core.bounds.connections.try_enter(limits.connections) else {
        core.telemetry.connection_refused(&label, "connections");
        return None;
    };
    // An old kernel or a broken socket: the connection works all the same, only slower.
    let _ = stream.set_nodelay(true);
    let connection = Box::new(Connection {
        listener: planned.listener.clone(),
        label,
        server_tls: planned.tls.clone(),
        socket_peer: peer,
        peer,
        peer_text: peer.ip().to_canonical().to_string().into(),
        tls: None,
        accepted: Instant::now(),
        tls_done: None,
        is_fresh: Cell::new(true),
    });
    let per_address = limits.connections_per_address;
    Some(serve_counted(core.clone(), stream, connection, counted, per_address))
}

async fn serve_counted(
    core: Rc<Core>,
    stream: TcpStream,
    mut connection: Box<Connection>,
    counted: Entered,
    per_address: usize,
) {
    let _witness = Witness(core.clone());
    if prelude::is_expected(&connection) {
        let peer = connection.socket_peer;
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
    let Some(address) = core.bounds.addresses.try_enter(connection.peer.ip(), per_address) else {
        return core.telemetry.connection_refused(&connection.label, "connections_per_address");
    };
    let open = core.telemetry.connection(&connection.label);
    // The handshake needs much more memory than the connection afterwards.
    let established = Box::pin(establish(&core, stream, &mut connection)).await;
    if let Some((transport, alpn)) = established {
        let served = serve_plain(core.clone(), transport, connection.into(), alpn).await;
        if let Some((passage, deadline)) = served {
            // A task of its own, which is smaller: this one has room for all that a connection may come to.
            spawn_local(serve_tunnel(core, passage, deadline, (counted, address, open)));
        }
    }
}

/// Serves a connection that became a tunnel to its end. `counted` is what counts it.
async fn serve_tunnel<T>(core: Rc<Core>, passage: Box<Passage>, deadline: Deadline, counted: T) {
    let _witness = Witness(core);
    let End { transport, mut input } = passage.run(&deadline).await;
    http1::linger(&transport, &mut input, &deadline).await;
    drop(counted);
}

/// Tells of a panic: the runtime catches it, and only the task that it came from ends.
struct Witness(Rc<Core>);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "a task panicked and its client was cut off: a defect of Selvedge";
            self.0.telemetry.hub().event(Level::Error, message, &[]);
        }
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
    connection.tls = Some(Box::new(facts));
    Some((Transport::server_tls(stream), alpn))
}

/// Speaks HTTP on a stream whose bytes are in the clear, until it ends or becomes a tunnel.
async fn serve_plain(
    core: Rc<Core>,
    transport: Transport,
    connection: Rc<Connection>,
    alpn: Option<Alpn>,
) -> Option<(Box<Passage>, Deadline)> {
    if alpn == Some(Alpn::Http2) {
        Box::pin(http2::serve(core, transport, Vec::new(), connection)).await;
        return None;
    }
    let transport = Rc::new(transport);
    match http1::serve(&core, &transport, &connection).await {
        Served::Over => {}
        Served::Http2(begun) => {
            if let Some(transport) = Rc::into_inner(transport) {
                Box::pin(http2::serve(core, transport, begun, connection)).await;
            }
        }
        Served::Switched(passage, deadline) => return Some((passage, deadline)),
    }
    None
}
