//! Connections to a service: kept, shared and, while it is away, not tried too often.

use std::{
    error::Error,
    fmt,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Uri, body::Body};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use thread_local::ThreadLocal;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::{Instant, timeout},
};
use tower_service::Service;

use crate::roots::trust;

/// Time for a connection, TLS included. Those who wait for it have less.
const DIAL_MAX: Duration = Duration::from_secs(5);
/// Wait after a first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest such wait.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Connections of HTTP/1 that are made at once, by one thread; others wait for their turn.
const DIALS_MAX: usize = 16;
/// How long a connection is of use that nobody waited for.
const SPARE_MAX: Duration = Duration::from_secs(5);
/// Connections of one thread that are kept for later.
const IDLE_MAX: usize = 64;
/// How long they are kept; shorter than most servers keep theirs.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// After this silence in the middle of a call an HTTP/2 service is asked whether it lives.
const PING_AFTER: Duration = Duration::from_secs(10);
const PING_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Which HTTP a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// One exchange at a time on a connection.
    Http1,
    /// All of a thread's exchanges on one connection; without TLS the service is known to speak it.
    Http2,
}

/// A service's clients, one for each thread: an answer is read where it is awaited.
pub(super) struct Clients<B: Send> {
    version: Version,
    trust: ClientConfig,
    own: ThreadLocal<Client<Connector, B>>,
}

impl<B> Clients<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Clients that trust the roots in the file, or Mozilla's.
    pub(super) fn new(version: Version, ca: Option<&Path>) -> Result<Self, String> {
        let trust = (*trust(ca).map_err(|error| error.to_string())?).clone();
        Ok(Self { version, trust, own: ThreadLocal::new() })
    }

    /// The client of this thread.
    pub(super) fn own(&self) -> &Client<Connector, B> {
        self.own.get_or(|| self.build())
    }

    fn build(&self) -> Client<Connector, B> {
        let connector = Connector::new(self.version, self.trust.clone());
        Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http2_only(self.version == Version::Http2)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_MAX)
            .build(connector)
    }
}

/// Makes connections, in turn.
#[derive(Clone)]
pub(super) struct Connector(Arc<Dialer>);

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

struct Dialer {
    https: HttpsConnector<HttpConnector>,
    /// How many are made at once.
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made for somebody who did not wait long enough.
    spare: Option<(Instant, Connection)>,
    failures: u32,
    /// Until then nothing is tried.
    pause: Option<Instant>,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) enum DialError {
    /// It was tried.
    Failed(String),
    /// It takes too long.
    Late,
    /// It failed a moment ago.
    Pausing,
}

impl Connector {
    fn new(version: Version, trust: ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(trust).https_or_http();
        let (https, turns) = match version {
            Version::Http1 => (https.enable_http1().wrap_connector(http), DIALS_MAX),
            Version::Http2 => (https.enable_http2().wrap_connector(http), 1),
        };
        let turns = Arc::new(Semaphore::new(turns));
        Self(Arc::new(Dialer { https, turns, state: Mutex::default() }))
    }
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(Arc::clone(&self.0).dial(uri))
    }
}

impl Dialer {
    /// A connection. It is made by a task of its own: who waits may have less time than it takes, and
    /// the next one finds it.
    async fn dial(self: Arc<Self>, uri: Uri) -> Result<Connection, DialError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        if let Some(spare) = self.state().take_spare() {
            return Ok(spare);
        }
        if self.state().is_pausing() {
            return Err(DialError::Pausing);
        }
        let (give, given) = oneshot::channel();
        tokio::spawn(async move {
            let dialed = self.attempt(uri).await;
            self.state().note(&dialed);
            if let Err(Ok(unwanted)) = give.send(dialed) {
                self.state().spare = Some((Instant::now(), unwanted));
            }
            drop(turn);
        });
        given.await.unwrap_or(Err(DialError::Failed("the process is about to end".to_owned())))
    }

    async fn attempt(&self, uri: Uri) -> Result<Connection, DialError> {
        let dialed = timeout(DIAL_MAX, self.https.clone().call(uri)).await;
        dialed.map_err(|_| DialError::Late)?.map_err(|error| {
            let error: &(dyn Error + 'static) = &*error;
            let causes = std::iter::successors(Some(error), |&error| error.source());
            let last = causes.last().map(ToString::to_string);
            DialError::Failed(last.unwrap_or_default())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl State {
    fn take_spare(&mut self) -> Option<Connection> {
        let (made, connection) = self.spare.take()?;
        (made.elapsed() < SPARE_MAX).then_some(connection)
    }

    fn is_pausing(&self) -> bool {
        self.pause.is_some_and(|end| Instant::now() < end)
    }

    fn note(&mut self, dialed: &Result<Connection, DialError>) {
        if dialed.is_ok() {
            (self.failures, self.pause) = (0, None);
            return;
        }
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        // Not all threads and machines at once.
        self.pause = Some(Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Late => write!(f, "no connection within {} s", DIAL_MAX.as_secs()),
            Self::Pausing => f.write_str("no connection a moment ago; it is tried again shortly"),
        }
    }
}

impl Error for DialError {}
