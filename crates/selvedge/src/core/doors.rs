//! Where connections come in: a unix socket for the edge of this machine, TLS for edges elsewhere.

use std::{
    fs,
    future::{Future, pending},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use selvedge_base::{ByteSize, format_duration};
use selvedge_config::{Bound, BoundOrigin, CoreProcess};
use selvedge_telemetry::{Hub, Level};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{callers::Door, courier::EdgePeer, gate::Gate, tls::EdgeTls};
use crate::exit::{Exit, Failure};

/// Bounds of the core that no config sets, with what happens there.
pub(super) fn fixed_bounds() -> Vec<Bound> {
    const CLOSES: &str = "the connection closes";
    let head = ByteSize(HEAD_BYTES_MAX as u64);
    let rows = [
        ("handshakes with edges", HANDSHAKES_MAX.to_string(), "further ones wait"),
        ("handshake with an edge, time", format_duration(HANDSHAKE_TIMEOUT), CLOSES),
        ("request head at the core", head.to_string(), "431"),
        ("fields of a request at the core", FIELDS_MAX.to_string(), "431"),
        ("silence of an edge", format_duration(HEAD_TIMEOUT), CLOSES),
    ];
    let row = |(name, value, at_bound)| {
        let scope = "fixed, of the core".to_owned();
        Bound { name, scope, value, origin: BoundOrigin::Fixed, at_bound }
    };
    rows.into_iter().map(row).collect()
}

/// All doors, bound and not yet open.
pub(super) struct Doors {
    unix: UnixListener,
    socket: PathBuf,
    tls: Option<(TcpListener, Certificates)>,
    connections_max: usize,
}

/// What edges elsewhere are met with, for a reload to replace.
pub(super) type Certificates = watch::Sender<Arc<EdgeTls>>;

/// What serves connections.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) gate: Arc<Gate>,
    pub(super) hub: Hub,
    pub(super) draining: watch::Receiver<bool>,
}

/// Doors that are open, until they are drained.
pub(super) struct Open {
    tasks: JoinSet<usize>,
    deadline: watch::Sender<Option<Instant>>,
    socket: PathBuf,
}

/// Longer than the edge keeps a connection idle, so that it is never the core that closes one which
/// the edge is about to use.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 128 << 10;
const FIELDS_MAX: usize = 256;
/// How long nothing is accepted when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// Handshakes at once. They have places of their own, so that strangers take none from edges.
pub(super) const HANDSHAKES_MAX: usize = 256;

impl Doors {
    /// Binds all of them, before any work begins.
    pub(super) async fn bind(process: &CoreProcess) -> Result<Self, Failure> {
        let socket = process.socket.clone();
        let unix = bind_unix(&socket).map_err(|error| {
            let text = format!("the core cannot listen on {}: {error}", socket.display());
            Failure::new(Exit::Unavailable, text)
        })?;
        let tls = match &process.listen {
            None => None,
            Some(listen) => {
                let tls = EdgeTls::load(listen)?;
                let listener = TcpListener::bind(listen.address).await.map_err(|error| {
                    let text = format!("the core cannot listen on {}: {error}", listen.address);
                    Failure::new(Exit::Unavailable, text)
                })?;
                Some((listener, watch::Sender::new(Arc::new(tls))))
            }
        };
        Ok(Self { unix, socket, tls, connections_max: process.limits.connections })
    }

    /// Where edges elsewhere connect.
    pub(super) fn tls_address(&self) -> Option<std::net::SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// What edges elsewhere are met with.
    pub(super) fn certificates(&self) -> Option<Certificates> {
        self.tls.as_ref().map(|(_, tls)| tls.clone())
    }

    /// Lets connections in.
    pub(super) fn open(self, desk: &Desk) -> Open {
        let Self { unix, socket, tls, connections_max } = self;
        let (deadline, end) = watch::channel(None);
        let places = Arc::new(Semaphore::new(connections_max));
        let mut tasks = JoinSet::new();
        let hall =
            |source| Hall { source, places: places.clone(), desk: desk.clone(), end: end.clone() };
        tasks.spawn(hall(Source::Unix(unix)).run());
        if let Some((listener, certificates)) = tls {
            let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
            let certificates = certificates.subscribe();
            tasks.spawn(hall(Source::Tls { listener, certificates, handshakes }).run());
        }
        Open { tasks, deadline, socket }
    }
}

impl Open {
    /// Waits for connections to end, which `draining` has asked for; cuts those that take longer than
    /// `within` and returns how many these were.
    pub(super) async fn drain(mut self, within: Duration) -> usize {
        // Whoever connects now is to find nobody, and be told at once.
        let _ = fs::remove_file(&self.socket);
        self.deadline.send_replace(Some(Instant::now() + within));
        let mut cut = 0;
        while let Some(hall) = self.tasks.join_next().await {
            cut += hall.unwrap_or_default();
        }
        cut
    }
}

/// One door and the connections that came through it.
struct Hall {
    source: Source,
    places: Arc<Semaphore>,
    desk: Desk,
    /// When connections are cut, once we drain.
    end: watch::Receiver<Option<Instant>>,
}

enum Source {
    Unix(UnixListener),
    Tls {
        listener: TcpListener,
        certificates: watch::Receiver<Arc<EdgeTls>>,
        handshakes: Arc<Semaphore>,
    },
}

enum Accepted {
    Unix(UnixStream),
    /// Somebody who has yet to show that it is an edge.
    Tls(TcpStream, watch::Receiver<Arc<EdgeTls>>),
}

impl Hall {
    /// Accepts until the drain, then waits for its end; returns how many connections were cut.
    async fn run(mut self) -> usize {
        let mut guests = JoinSet::new();
        let mut draining = self.desk.draining.clone();
        loop {
            tokio::select! {
                () = is_draining(&mut draining) => break,
                Some(_) = guests.join_next() => {}
                (place, accepted) = accept(&self.places, &self.source) => match accepted {
                    Ok(accepted) => {
                        let places = self.places.clone();
                        guests.spawn(welcome(accepted, self.desk.clone(), (place, places)));
                    }
                    Err(error) => {
                        self.desk.hub.event(Level::Warn, "no connection can be accepted", &[("error", &error)]);
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                }
            }
        }
        drop(self.source);
        let Ok(end) = self.end.wait_for(Option::is_some).await.map(|end| *end) else { return 0 };
        let end = end.unwrap_or_else(Instant::now);
        while let Ok(Some(_)) = timeout_at(end, guests.join_next()).await {}
        let cut = guests.len();
        guests.shutdown().await;
        cut
    }
}

async fn is_draining(draining: &mut watch::Receiver<bool>) {
    // A core that has gone without a word drains as well.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// The next connection, once there is a place for it. Cancel-safe: a place that is not used is free
/// again.
async fn accept(
    places: &Arc<Semaphore>,
    source: &Source,
) -> (Option<OwnedSemaphorePermit>, io::Result<Accepted>) {
    match source {
        Source::Unix(listener) => {
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)))
        }
        Source::Tls { listener, certificates, handshakes } => {
            let place = handshakes.clone().acquire_owned().await.ok();
            let accepted = listener.accept().await;
            (place, accepted.map(|(stream, _)| Accepted::Tls(stream, certificates.clone())))
        }
    }
}

/// Where somebody who came in is counted, and where it may go on to.
type Places = (Option<OwnedSemaphorePermit>, Arc<Semaphore>);

/// Serves one connection to its end.
async fn welcome(accepted: Accepted, desk: Desk, (place, places): Places) {
    let metrics = desk.gate.metrics().clone();
    let is_counted = metrics.connections.try_enter(usize::MAX);
    let refused = match accepted {
        Accepted::Unix(stream) if is_of_our_user(&stream) => {
            serve(stream, (Door::Unix, None, &desk), pending()).await;
            drop(place);
            None
        }
        Accepted::Unix(_) => Some("a process of another user".to_owned()),
        // In a box: what it takes to meet an edge elsewhere is not part of each connection of the edge here.
        Accepted::Tls(stream, certificates) => {
            Box::pin(meet_edge(stream, certificates, (&desk, place, places))).await.err()
        }
    };
    if let Some(why) = refused {
        metrics.refused_connections.fetch_add(1, Relaxed);
        desk.hub.event(Level::Warn, "a connection was refused", &[("why", &why)]);
    }
    if is_counted {
        metrics.connections.leave();
    }
}

/// Root may as well: nothing could be kept from it.
fn is_of_our_user(stream: &UnixStream) -> bool {
    let own = geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Serves an edge elsewhere until it goes, or until what it was let in with counts no more: a reload that leaves
/// it out ends its connections after the request under way.
async fn meet_edge(
    stream: TcpStream,
    mut certificates: watch::Receiver<Arc<EdgeTls>>,
    (desk, place, places): (&Desk, Option<OwnedSemaphorePermit>, Arc<Semaphore>),
) -> Result<(), String> {
    let peer = stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |peer| peer.to_string());
    let _ = stream.set_nodelay(true);
    let tls = certificates.borrow_and_update().clone();
    let met = timeout(HANDSHAKE_TIMEOUT, tls.meet(stream)).await;
    let met = met.unwrap_or_else(|_| Err("no handshake in time".to_owned()));
    let stream = met.map_err(|why| format!("{peer}: {why}"))?;
    let lasting = places.acquire_owned().await.ok();
    drop(place);
    let outdated = async {
        // An error means that the core ends, which the drain tells as well.
        let _ = certificates.changed().await;
    };
    let peer = tls.peer(&stream);
    serve(stream, (Door::Tls, peer, desk), outdated).await;
    drop(lasting);
    Ok(())
}

/// Answers requests until the other end goes; once the core drains, or `outdated` says so, none after the one under
/// way.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (door, peer, desk): (Door, Option<EdgePeer>, &Desk),
    outdated: impl Future<Output = ()>,
) {
    let gate = desk.gate.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        // In a box: a connection whose answer takes long has no need of what led to it.
        Box::pin(gate.clone().answer(request, door))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let mut draining = desk.draining.clone();
    let is_last = async {
        tokio::select! {
            () = is_draining(&mut draining) => {}
            () = outdated => {}
        }
    };
    // How it ended concerns only the other end.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = is_last => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// A socket that only our user may open. It appears under its name with these rights, never before;
/// what a core that died left behind is replaced.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    let draft = draft(path);
    let _ = fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    fs::rename(&draft, path)?;
    Ok(listener)
}

/// As long as the name itself, so that it fits where the name does.
fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.as_encoded_bytes().len()).unwrap_or_default();
    let mut draft = format!("~{:x}", std::process::id());
    draft.truncate(name.max(1));
    path.with_file_name(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_fixed_bound() {
        let page = include_str!("../../../../docs/reference/bounds.md");
        let table = page.split("## Bounds of the core").nth(1).unwrap();
        let written: Vec<&str> =
            table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let row =
            |bound: &Bound| format!("| {} | {} | {} |", bound.name, bound.value, bound.at_bound);
        let actual: Vec<String> = fixed_bounds().iter().map(row).collect();
        assert_eq!(written, actual, "write these lines:\n{}", actual.join("\n"));
    }
}
