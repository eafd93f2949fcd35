//! The admin listener: what a person or a machine asks the running edge, and the one thing they may
//! tell it, to reload. A small HTTP/1 server on the control thread, away from the dataplane.

mod agents;
pub(crate) mod core_page;
mod door;
mod status;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc::error::TrySendError, oneshot},
    task::JoinSet,
};

use crate::{
    audit::events::{self, Asker, cut},
    control::{InForce, Shared, Stage, Watch, publish},
};

/// Somebody asked the admin listener for a reload.
///
/// Whoever carries reloads out sends what came of it: a line for the person who asked, or the report
/// of why nothing changed. Dropping the request tells them that it was not carried out.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who asked.
    pub asker: Asker,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// A bound address, from before it is served until it is so no longer.
pub(crate) struct AdminSocket {
    /// As the operator wrote it.
    configured: SocketAddr,
    /// As the system chose it (port 0).
    pub(crate) bound: SocketAddr,
    socket: std::net::TcpListener,
}

/// Connections at once; those beyond wait in the kernel's queue.
pub(crate) const CONNECTIONS_MAX: usize = 32;
/// Connections that the kernel holds for us; it refuses those beyond.
const BACKLOG: i32 = 128;
/// Bytes of a request head; beyond, 431.
pub(crate) const HEAD_MAX: usize = 16 << 10;
/// Time for a request head; then the connection closes.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a reload; then 504, and it goes on all the same.
pub(crate) const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a whole connection; then it closes.
pub(crate) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nothing is accepted when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

impl AdminSocket {
    /// Binds `address`, unless `previous` was bound for it already.
    pub(crate) fn bind(
        address: Option<SocketAddr>,
        previous: Option<Arc<Self>>,
    ) -> io::Result<Option<Arc<Self>>> {
        let Some(configured) = address else { return Ok(None) };
        if let Some(kept) = previous.filter(|previous| previous.configured == configured) {
            return Ok(Some(kept));
        }
        // Without SO_REUSEPORT: two processes that share the port would answer in turns.
        let domain = Domain::for_address(configured);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if configured.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&configured.into())?;
        socket.listen(BACKLOG)?;
        let socket = std::net::TcpListener::from(socket);
        Ok(Some(Arc::new(Self { configured, bound: socket.local_addr()?, socket })))
    }

    fn listen(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.socket.try_clone()?)
    }
}

/// Serves the admin socket in force until the edge has gone.
pub(crate) async fn run(shared: Arc<Shared>, mut in_force: Watch) {
    let desk = Rc::new(Desk { shared, in_force: in_force.clone() });
    let mut connections = JoinSet::new();
    let mut served = Served::default();
    served.follow(&desk, &in_force.borrow_and_update().clone());
    loop {
        tokio::select! {
            changed = in_force.changed() => match changed {
                Ok(()) => served.follow(&desk, &in_force.borrow_and_update().clone()),
                Err(_) => return,
            },
            (stream, peer) = served.accept(), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn_local(serve(desk.clone(), stream, peer.ip()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The socket that is accepted on.
#[derive(Default)]
struct Served {
    socket: Option<Arc<AdminSocket>>,
    listener: Option<TcpListener>,
}

impl Served {
    fn follow(&mut self, desk: &Desk, in_force: &InForce) {
        let address = |socket: &Option<Arc<AdminSocket>>| socket.as_ref().map(Arc::as_ptr);
        if address(&self.socket) == address(&in_force.admin) {
            return;
        }
        self.socket = in_force.admin.clone();
        self.listener = self.socket.as_ref().and_then(|socket| {
            socket.listen().inspect_err(|error| desk.report(socket, error)).ok()
        });
    }

    /// The next connection; never, where nothing is listened on. May be cancelled.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
            }
        }
    }
}

async fn serve(desk: Rc<Desk>, stream: TcpStream, peer: IpAddr) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // How the connection ended concerns only the one at its other end.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

type Answer = Response<Full<Bytes>>;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Index,
    Metrics,
    Livez,
    Readyz,
    Config,
    Agents,
    Reload,
}

const INDEX: &str = "\
Selvedge, admin listener

GET  /metrics   metrics for Prometheus
GET  /livez     200 as long as the process works
GET  /readyz    200 when it takes requests; 503 while it starts or drains, or lost a worker
GET  /config    what is in force: listeners, upstreams, health (JSON)
GET  /agents    how each agent is: process, calls, verdicts, breaker (JSON)
POST /reload    read the config again; 200 when it took effect, 422 with the reasons when not
";

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/metrics" => Self::Metrics,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/config" => Self::Config,
            "/agents" => Self::Agents,
            "/reload" => Self::Reload,
            _ => return None,
        })
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Reload => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }

    fn allowed(self) -> HeaderValue {
        HeaderValue::from_static(if self == Self::Reload { "POST" } else { "GET, HEAD" })
    }
}

/// Where requests are answered.
struct Desk {
    shared: Arc<Shared>,
    in_force: Watch,
}

impl Desk {
    async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Answer {
        let asker = asker(&request, peer);
        if let Err(refusal) = door::check(&request) {
            if ![Method::GET, Method::HEAD].contains(request.method()) {
                let path = request.uri().path();
                self.shared.trail.tell(events::admin_refused(&asker, path, refusal.code()));
            }
            return text(refusal.status(), refusal.to_string());
        }
        let Some(endpoint) = Endpoint::of(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "no such page; GET / lists what there is\n");
        };
        if !endpoint.allows(request.method()) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
            answer.headers_mut().insert(ALLOW, endpoint.allowed());
            return answer;
        }
        match endpoint {
            Endpoint::Index => text(StatusCode::OK, INDEX),
            Endpoint::Metrics => self.metrics().await,
            Endpoint::Livez => text(StatusCode::OK, "alive\n"),
            Endpoint::Readyz => self.readiness(),
            Endpoint::Config => self.config(),
            Endpoint::Agents => self.agents(),
            Endpoint::Reload => self.reload(asker).await,
        }
    }

    async fn metrics(&self) -> Answer {
        let in_force = self.in_force.borrow().clone();
        let mut looks = JoinSet::new();
        for agent in &in_force.plan.agents {
            let measures = agent.door.measures().clone();
            looks.spawn_local(async move { measures.refresh().await });
        }
        // Both at once: a core that hangs is waited for no longer than that.
        let (core, _) = tokio::join!(core_page::render(&in_force.plan.config), looks.join_all());
        publish(&in_force.plan, std::time::Instant::now());
        let mut page = self.shared.hub.render_prometheus();
        page.push_str(&core);
        typed(StatusCode::OK, "text/plain; version=0.0.4", page)
    }

    fn readiness(&self) -> Answer {
        match (self.shared.stage(), self.shared.workers_lost()) {
            (Stage::Serving, 0) => text(StatusCode::OK, "ready\n"),
            (Stage::Serving, lost) => {
                let why = format!("{lost} of the workers ended; the log says why, restart\n");
                text(StatusCode::SERVICE_UNAVAILABLE, why)
            }
            (Stage::Starting, _) => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            (Stage::Draining, _) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    fn config(&self) -> Answer {
        let in_force = self.in_force.borrow().clone();
        json(status::render(&self.shared, &in_force))
    }

    fn agents(&self) -> Answer {
        json(agents::render(&self.in_force.borrow().clone().plan))
    }

    async fn reload(&self, asker: Asker) -> Answer {
        let (reply, outcome) = oneshot::channel();
        match self.shared.ask_reload(ReloadRequest { asker, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(refused)) => {
                let busy = events::admin_refused(&refused.asker, "/reload", "admin/busy");
                self.shared.trail.tell(busy);
                let why = "other reloads are under way; ask again in a moment\n";
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, why);
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                return answer;
            }
            Err(TrySendError::Closed(_)) => {
                let why = "this process takes no reloads here; send it SIGHUP\n";
                return text(StatusCode::NOT_IMPLEMENTED, why);
            }
        }
        match tokio::time::timeout(RELOAD_TIMEOUT, outcome).await {
            Ok(Ok(Ok(done))) => text(StatusCode::OK, line(done)),
            Ok(Ok(Err(report))) => text(StatusCode::UNPROCESSABLE_ENTITY, line(report)),
            Ok(Err(_)) => {
                let why = "not carried out: the process is about to end\n";
                text(StatusCode::SERVICE_UNAVAILABLE, why)
            }
            Err(_) => {
                let why = "not done yet; GET /config tells which revision is in force\n";
                text(StatusCode::GATEWAY_TIMEOUT, why)
            }
        }
    }

    fn report(&self, socket: &AdminSocket, error: &io::Error) {
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("address", &socket.bound), ("error", error)];
        let message = "no admin listener; reload once descriptors are free";
        self.shared.hub.event(selvedge_telemetry::Level::Error, message, &fields);
    }
}

fn asker<B>(request: &Request<B>, address: IpAddr) -> Asker {
    let user_agent = request.headers().get(USER_AGENT);
    Asker { address, user_agent: user_agent.map(|text| cut(text.as_bytes(), 256)) }
}

fn line(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

fn json(page: serde_json::Result<String>) -> Answer {
    match page {
        Ok(page) => typed(StatusCode::OK, "application/json", page),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
