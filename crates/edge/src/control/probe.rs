//! Active health checks: one task per target asks, `upstream::health` judges.

use std::{
    cell::RefCell, collections::HashMap, fmt, future::Future, io, rc::Rc, sync::Arc, time::Instant,
};

use http::Uri;
use selvedge_config::{HealthCheck, Id, Probe, TargetAddress, UpstreamProtocol};
use selvedge_http1::{Parsed, ResponseHead};
use selvedge_telemetry::{Hub, Level};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
    task::{JoinHandle, spawn_local},
};

use super::Watch;
use crate::{
    plan::Plan,
    tls::ClientTls,
    upstream::{
        health::{Checkup, Health, ProbeFailure, check_status},
        pool::SharedUpstream,
        target::TargetState,
    },
};

/// Probes under way at once; a probe beyond waits, and its timeout begins when it does.
pub(crate) const PROBES_MAX: usize = 256;
/// Bytes of an answer's head, interim ones included; beyond, the probe fails.
pub(crate) const HEAD_MAX: usize = 64 << 10;
const USER_AGENT: &str = "selvedge-health";

/// Probes what each config asks to probe.
pub(super) async fn run(hub: Hub, mut in_force: Watch) {
    let mut rounds = Rounds::new(hub);
    loop {
        let plan = in_force.borrow_and_update().plan.clone();
        rounds.follow(&plan);
        drop(plan);
        if in_force.changed().await.is_err() {
            return;
        }
    }
}

/// The targets that are probed.
struct Rounds {
    hub: Hub,
    slots: Rc<Semaphore>,
    /// By the address of their state, which the round keeps alive.
    running: HashMap<*const TargetState, Round>,
}

/// The probes of one target; they end when this is dropped.
struct Round {
    subject: Rc<Subject>,
    task: JoinHandle<()>,
}

/// What is probed, and how.
struct Subject {
    upstream: Id,
    target: Arc<TargetState>,
    check: HealthCheck,
    protocol: UpstreamProtocol,
    /// A reload reads its files again, which is no reason to begin anew.
    tls: RefCell<Option<Arc<ClientTls>>>,
}

impl Rounds {
    fn new(hub: Hub) -> Self {
        Self { hub, slots: Rc::new(Semaphore::new(PROBES_MAX)), running: HashMap::new() }
    }

    /// Goes on with the targets that stay as they were, begins with new and changed ones, and
    /// leaves the others alone.
    fn follow(&mut self, plan: &Plan) {
        let mut before = std::mem::take(&mut self.running);
        for upstream in &plan.upstreams {
            for target in &upstream.state.targets {
                let round = before.remove(&Arc::as_ptr(target));
                if let Some(round) = self.next_round(upstream, target, round) {
                    self.running.insert(Arc::as_ptr(target), round);
                }
            }
        }
    }

    fn next_round(
        &self,
        upstream: &SharedUpstream,
        target: &Arc<TargetState>,
        before: Option<Round>,
    ) -> Option<Round> {
        let config = &upstream.state.config;
        let Some(check) = &config.health else {
            // A probe may have ended between the reload and now.
            before.inspect(|_| target.set_health(Health::Unknown));
            return None;
        };
        let same = |round: &Round| {
            round.subject.check == *check && round.subject.protocol == config.protocol
        };
        if let Some(round) = before.filter(same) {
            round.subject.tls.replace(upstream.tls.clone());
            return Some(round);
        }
        let subject = Rc::new(Subject {
            upstream: config.id.clone(),
            target: target.clone(),
            check: check.clone(),
            protocol: config.protocol,
            tls: RefCell::new(upstream.tls.clone()),
        });
        let task = spawn_local(attend(self.hub.clone(), self.slots.clone(), subject.clone()));
        Some(Round { subject, task })
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Probes one target until aborted.
async fn attend(hub: Hub, slots: Rc<Semaphore>, subject: Rc<Subject>) {
    let mut rng = fastrand::Rng::new();
    let mut checkup = Checkup::new(&subject.check, subject.target.health());
    let mut due = checkup.first_at(Instant::now(), &mut rng);
    loop {
        tokio::time::sleep_until(due.into()).await;
        let slot = slots.acquire().await;
        due = checkup.next_at(Instant::now(), &mut rng);
        let outcome = subject.probe().await;
        drop(slot);
        if checkup.record(outcome.is_ok()).is_some() {
            subject.turn(&hub, checkup.health(), outcome.err());
        }
    }
}

/// Why a probe failed, where a [`ProbeFailure`] says too little.
#[derive(Debug)]
enum Fault {
    Probe(ProbeFailure),
    Name(io::Error),
    Tls(io::Error),
    Http2(h2::Error),
    Unspeakable,
}

impl Subject {
    /// Puts the verdict in force and tells of it.
    fn turn(&self, hub: &Hub, health: Health, fault: Option<Fault>) {
        self.target.set_health(health);
        let (level, message, word) = match health {
            Health::Unhealthy => (Level::Warn, "target unhealthy", "unhealthy"),
            Health::Healthy | Health::Unknown => (Level::Info, "target healthy", "healthy"),
        };
        let reason = fault.map_or_else(|| "probes passed".to_owned(), |fault| fault.to_string());
        let fields: [(&str, &dyn fmt::Display); 4] = [
            ("upstream", &self.upstream),
            ("target", &self.target.label()),
            ("health", &word),
            ("reason", &reason),
        ];
        hub.event(level, message, &fields);
    }

    async fn probe(&self) -> Result<(), Fault> {
        let asked = tokio::time::timeout(self.check.timeout, self.ask());
        asked.await.unwrap_or(Err(Fault::Probe(ProbeFailure::Timeout)))
    }

    async fn ask(&self) -> Result<(), Fault> {
        let stream = self.connect().await?;
        let Probe::Http { path, host, expect } = &self.check.probe else { return Ok(()) };
        let host = host.as_deref().unwrap_or_else(|| match self.target.address() {
            TargetAddress::Unix(_) => "localhost",
            TargetAddress::Socket(_) | TargetAddress::Name { .. } => self.target.label(),
        });
        let status = match self.protocol {
            UpstreamProtocol::Http1 => ask_http1(stream, host, path).await?,
            UpstreamProtocol::Http2 => {
                let scheme = if self.tls.borrow().is_some() { "https" } else { "http" };
                ask_http2(stream, &[scheme, host, path]).await?
            }
        };
        check_status(*expect, status).map_err(Fault::Probe)
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Fault> {
        let tcp = match self.target.address() {
            TargetAddress::Unix(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(no_connection)?));
            }
            TargetAddress::Socket(address) => {
                TcpStream::connect(address).await.map_err(no_connection)?
            }
            TargetAddress::Name { host, port } => connect_name(host, *port).await?,
        };
        let tls = self.tls.borrow().clone();
        let Some(tls) = tls else { return Ok(Box::new(tcp)) };
        Ok(Box::new(tls.connect(self.target.address(), tcp).await.map_err(Fault::Tls)?))
    }
}

/// Any connection to a target.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

fn no_connection(error: io::Error) -> Fault {
    Fault::Probe(ProbeFailure::Connect(error.kind()))
}

async fn connect_name(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(Fault::Name)?;
    let mut last = Fault::Name(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = no_connection(error),
        }
    }
    Err(last)
}

async fn ask_http1(mut stream: Box<dyn Stream>, host: &str, path: &str) -> Result<u16, Fault> {
    let garbled = || Fault::Probe(ProbeFailure::Garbled);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|_| garbled())?;
    let mut head = ResponseHead::default();
    let mut bytes = Vec::with_capacity(1024);
    let mut begin = 0;
    loop {
        let parsed = head.parse(&bytes[begin..], "GET", HEAD_MAX).map_err(|_| garbled())?;
        match parsed {
            Parsed::Complete(length) if (100..=199).contains(&head.status()) => begin += length,
            Parsed::Complete(_) => return Ok(head.status()),
            Parsed::Partial if bytes.len() >= HEAD_MAX => return Err(garbled()),
            Parsed::Partial => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return Err(garbled()),
                Ok(_) => {}
            },
        }
    }
}

/// Sends one GET for scheme, authority and path; the connection ends with the answer's head.
async fn ask_http2(stream: Box<dyn Stream>, target: &[&str; 3]) -> Result<u16, Fault> {
    let [scheme, host, path] = *target;
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    let request = http::Request::get(uri.map_err(|_| Fault::Unspeakable)?)
        .header("user-agent", USER_AGENT)
        .header("accept", "*/*")
        .body(())
        .map_err(|_| Fault::Unspeakable)?;
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(HEAD_MAX as u32)
        .handshake::<_, bytes::Bytes>(stream)
        .await
        .map_err(Fault::Http2)?;
    let answer = async {
        let (answer, _) = send.ready().await?.send_request(request, true)?;
        Ok(answer.await?.status().as_u16())
    };
    drive(answer, connection).await.map_err(Fault::Http2)
}

/// Waits for the answer while the connection is driven. The connection may end first, with the
/// answer in hand.
async fn drive<T>(answer: impl Future<Output = T>, connection: impl Future) -> T {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(failure) => failure.fmt(f),
            Self::Name(error) => write!(f, "name lookup: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::Http2(error) => write!(f, "HTTP/2: {error}"),
            Self::Unspeakable => f.write_str("the probe's host or path has no form in HTTP/2"),
        }
    }
}
