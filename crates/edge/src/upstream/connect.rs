//! Opening connections to targets.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use selvedge_config::TargetAddress;
use selvedge_telemetry::ConnectError;
use tokio::net::{TcpStream, UnixStream};

use super::{
    http1::Http1Upstream,
    pool::{ConnectionPermit, CoreUpstream, Http2Handle},
};
use crate::{
    core::Core,
    transport::{Input, Output, Owned, Socket, Transport},
};

/// Why no connection was made.
#[derive(Debug)]
pub(crate) enum ConnectFault {
    /// The name has no address.
    Name(io::Error),
    /// Refused, unreachable.
    Connect(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The HTTP/2 handshake failed.
    Http2(h2::Error),
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "name lookup: {error}"),
            Self::Connect(error) => write!(f, "connect: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::Http2(error) => write!(f, "HTTP/2 handshake: {error}"),
        }
    }
}

impl ConnectFault {
    /// What it counts as in the metrics.
    pub(crate) fn kind(&self) -> ConnectError {
        match self {
            Self::Name(_) => ConnectError::Dns,
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                ConnectError::Refused
            }
            Self::Tls(_) => ConnectError::Tls,
            Self::Connect(_) | Self::Http2(_) => ConnectError::Other,
        }
    }
}

/// Opens an HTTP/1 connection.
pub(crate) async fn http1(
    core: &Rc<Core>,
    upstream: &CoreUpstream,
    target: usize,
    permit: ConnectionPermit,
) -> Result<Box<Http1Upstream>, ConnectFault> {
    let transport = open(core, upstream, target).await?;
    let input = Input::new(core.upstream_buffers.clone());
    let output = Output::new(core.upstream_buffers.clone());
    Ok(Box::new(Http1Upstream::new(transport, input, output, permit)))
}

/// Bytes of one response that a target may send before the client has taken them.
const STREAM_WINDOW: u32 = 256 << 10;
/// The window of all streams together bounds nothing: else clients that read slowly would use it up
/// and stall the others. What is held is bounded by the streams and their windows.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams given up by us whose late frames are still expected. Clients that leave must not end a
/// connection that others use.
const RESET_STREAMS_MAX: usize = 1024;

/// Opens an HTTP/2 connection, shares it, and drives it until it ends.
pub(crate) async fn http2(
    core: &Rc<Core>,
    upstream: &CoreUpstream,
    target: usize,
    permit: ConnectionPermit,
) -> Result<(), ConnectFault> {
    let transport = open(core, upstream, target).await?;
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(None)
        .max_header_list_size(
            u32::try_from(core.snapshot().plan.config.limits.response_head.0).unwrap_or(u32::MAX),
        )
        .enable_push(false)
        .handshake(Owned::new(transport, Vec::new()))
        .await;
    let (send, connection) = handshake.map_err(ConnectFault::Http2)?;
    let alive = Rc::new(Cell::new(true));
    upstream.add_http2(target, Http2Handle { send, alive: alive.clone() });
    let queue = core.clone();
    tokio::task::spawn_local(async move {
        // How it ended is told to each stream; nobody else needs to know.
        let _ = connection.await;
        alive.set(false);
        drop(permit);
        queue.pool_queue.wake_one();
    });
    Ok(())
}

async fn open(
    core: &Core,
    upstream: &CoreUpstream,
    target: usize,
) -> Result<Transport, ConnectFault> {
    let address = upstream.state.target(target).address();
    let socket = match address {
        TargetAddress::Unix(path) => {
            Socket::Unix(UnixStream::connect(path).await.map_err(ConnectFault::Connect)?)
        }
        TargetAddress::Socket(address) => {
            Socket::Tcp(TcpStream::connect(address).await.map_err(ConnectFault::Connect)?)
        }
        TargetAddress::Name { host, port } => Socket::Tcp(connect_name(core, host, *port).await?),
    };
    if let Socket::Tcp(stream) = &socket {
        stream.set_nodelay(true).map_err(ConnectFault::Connect)?;
    }
    match (&upstream.tls, socket) {
        (Some(tls), socket) => {
            let stream = tls.connect(address, socket).await.map_err(ConnectFault::Tls)?;
            Ok(Transport::client_tls(stream))
        }
        (None, Socket::Tcp(stream)) => Ok(Transport::tcp(stream)),
        (None, Socket::Unix(stream)) => Ok(Transport::unix(stream)),
    }
}

async fn connect_name(core: &Core, host: &str, port: u16) -> Result<TcpStream, ConnectFault> {
    let addresses = core.resolver.lookup(host, port).await.map_err(ConnectFault::Name)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.iter() {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ConnectFault::Connect(last))
}

/// Addresses of names, remembered for [`NAME_LIFE`].
#[derive(Default)]
pub(crate) struct Resolver(RefCell<HashMap<(String, u16), Answer>>);

struct Answer {
    addresses: Rc<[SocketAddr]>,
    until: Instant,
}

/// How long an answer is used before the name is looked up again.
const NAME_LIFE: Duration = Duration::from_secs(30);

impl Resolver {
    /// The addresses of `host`. A stale answer is better than none while the name server is away.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Rc<[SocketAddr]>> {
        let key = (host.to_owned(), port);
        let known =
            self.0.borrow().get(&key).map(|answer| (answer.addresses.clone(), answer.until));
        let now = Instant::now();
        if let Some((addresses, until)) = &known
            && *until > now
        {
            return Ok(addresses.clone());
        }
        let addresses: Rc<[SocketAddr]> = match tokio::net::lookup_host((host, port)).await {
            Ok(found) => found.collect(),
            Err(error) => return known.map(|(addresses, _)| addresses).ok_or(error),
        };
        let answer = Answer { addresses: addresses.clone(), until: now + NAME_LIFE };
        self.0.borrow_mut().insert(key, answer);
        Ok(addresses)
    }
}
