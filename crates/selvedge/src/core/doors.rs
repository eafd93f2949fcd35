//! Where connections come in: a unix socket for the edge of this machine, TLS for edges elsewhere.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use selvedge_config::CoreProcess;
use selvedge_telemetry::{Hub, Level};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{callers::Door, gate::Gate, tls::EdgeTls};
use crate::exit::{Exit, Failure};

/// All doors, bound and not yet open.
pub(super) struct Doors {
    unix: UnixListener,
    socket: PathBuf,
    tls: Option<(TcpListener, Arc<RwLock<EdgeTls>>)>,
    connections_max: usize,
}

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
                Some((listener, Arc::new(RwLock::new(tls))))
            }
        };
        Ok(Self { unix, socket, tls, connections_max: process.limits.connections })
    }

    /// Where edges elsewhere connect.
    pub(super) fn tls_address(&self) -> Option<std::net::SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// The certificates, for a reload to replace.
    pub(super) fn tls(&self) -> Option<Arc<RwLock<EdgeTls>>> {
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
        if let Some((listener, tls)) = tls {
            tasks.spawn(hall(Source::Tls(listener, tls)).run());
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
    Tls(TcpListener, Arc<RwLock<EdgeTls>>),
}

enum Accepted {
    Unix(UnixStream),
    Tls(TcpStream, EdgeTls),
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
                        guests.spawn(welcome(accepted, self.desk.clone(), place));
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
    let place = places.clone().acquire_owned().await.ok();
    let accepted = match source {
        Source::Unix(listener) => listener.accept().await.map(|(it, _)| Accepted::Unix(it)),
        Source::Tls(listener, tls) => listener.accept().await.map(|(stream, _)| {
            let tls = tls.read().unwrap_or_else(PoisonError::into_inner).clone();
            Accepted::Tls(stream, tls)
        }),
    };
    (place, accepted)
}

/// Serves one connection to its end.
async fn welcome(accepted: Accepted, desk: Desk, place: Option<OwnedSemaphorePermit>) {
    let metrics = desk.gate.metrics().clone();
    let is_counted = metrics.connections.try_enter(usize::MAX);
    let refused = match accepted {
        Accepted::Unix(stream) if is_of_our_user(&stream) => {
            serve(stream, Door::Unix, &desk).await;
            None
        }
        Accepted::Unix(_) => Some("a process of another user".to_owned()),
        Accepted::Tls(stream, tls) => meet_edge(stream, &tls, &desk).await.err(),
    };
    if let Some(why) = refused {
        metrics.refused_connections.fetch_add(1, Relaxed);
        desk.hub.event(Level::Warn, "a connection was refused", &[("why", &why)]);
    }
    if is_counted {
        metrics.connections.leave();
    }
    drop(place);
}

/// Root may as well: nothing could be kept from it.
fn is_of_our_user(stream: &UnixStream) -> bool {
    let own = geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn meet_edge(stream: TcpStream, tls: &EdgeTls, desk: &Desk) -> Result<(), String> {
    let peer = stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |peer| peer.to_string());
    let _ = stream.set_nodelay(true);
    let shaken = timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("{peer}: {error}")),
        Err(_) => return Err(format!("{peer}: no handshake in time")),
    };
    if !tls.is_edge(&stream) {
        return Err(format!("{peer}: its certificate names none of the edges"));
    }
    serve(stream, Door::Tls, desk).await;
    Ok(())
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
    desk: &Desk,
) {
    let gate = desk.gate.clone();
    let service = service_fn(move |request| gate.clone().answer(request, door));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let mut draining = desk.draining.clone();
    // How it ended concerns only the other end.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = is_draining(&mut draining) => {
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
