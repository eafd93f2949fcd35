//! Opening connections to targets.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use selvedge_config::TargetAddress;
use selvedge_telemetry::ConnectError;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::Semaphore,
};

use super::{
    http1::Http1Upstream,
    http2_driver::{Established, drive, establish},
    http2_pool::Http2Slot,
    pool::{ConnectionPermit, CoreUpstream},
};
use crate::{
    core::Core,
    transport::{Input, Output, Socket, Transport},
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
    Http2(io::Error),
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
    /// The same fault, for someone else who waited for the connection.
    pub(crate) fn copy(&self) -> Self {
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Name(error) => Self::Name(copy(error)),
            Self::Connect(error) => Self::Connect(copy(error)),
            Self::Tls(error) => Self::Tls(copy(error)),
            Self::Http2(error) => Self::Http2(copy(error)),
        }
    }

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

/// Opens an HTTP/2 connection, shares it, and has it driven until it ends. Its first stream is the
/// caller's.
pub(crate) async fn http2(
    core: &Rc<Core>,
    upstream: &CoreUpstream,
    target: usize,
    permit: ConnectionPermit,
) -> Result<Http2Slot, ConnectFault> {
    let transport = open(core, upstream, target).await?;
    let head_max = core.snapshot().plan.config.limits.response_head.0;
    let head_max = u32::try_from(head_max).unwrap_or(u32::MAX);
    let Established { send, usage, connection } = establish(core, transport, head_max)
        .await
        .map_err(|error| ConnectFault::Http2(io::Error::other(error)))?;
    let slot = upstream.http2(target, |connections| connections.add(send, usage.clone(), core));
    tokio::task::spawn_local(drive(core.clone(), connection, usage, permit));
    slot.ok_or_else(|| ConnectFault::Http2(io::Error::other("the target allows no streams")))
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

/// Addresses of names, remembered for [`NAME_LIFE`]. Each name is looked up by one task at a time.
#[derive(Default)]
pub(crate) struct Resolver(Rc<Names>);

struct Names {
    entries: RefCell<HashMap<(String, u16), Name>>,
    /// Bounds the threads that wait for the system's resolver.
    lookups: Semaphore,
}

/// What is known of a name.
struct Name {
    /// The last answer that had any addresses.
    addresses: Option<Rc<[SocketAddr]>>,
    /// Why the last lookup failed.
    fault: Option<io::Error>,
    /// When to look again.
    until: Instant,
    used: Instant,
    looking: bool,
    waiting: Vec<Waker>,
}

/// How long an answer is used before the name is looked up again.
const NAME_LIFE: Duration = Duration::from_secs(30);
/// How long a failure is remembered.
const FAULT_LIFE: Duration = Duration::from_secs(1);
/// How long a name is remembered that nobody asks for.
const NAME_KEPT: Duration = Duration::from_secs(600);
/// Lookups of one core at once. A thread waits for each.
pub(crate) const LOOKUPS_MAX: usize = 16;

impl Default for Names {
    fn default() -> Self {
        Self { entries: RefCell::default(), lookups: Semaphore::new(LOOKUPS_MAX) }
    }
}

impl Resolver {
    /// The addresses of `host`. An old answer is used at once, and renewed beside: a stale address is
    /// better than none while the name server is slow or away.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Rc<[SocketAddr]>> {
        let key = (host.to_owned(), port);
        poll_fn(|context| self.poll_lookup(&key, context)).await
    }

    fn poll_lookup(
        &self,
        key: &(String, u16),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Rc<[SocketAddr]>>> {
        let now = Instant::now();
        let mut entries = self.0.entries.borrow_mut();
        let name = entries.entry(key.clone()).or_insert_with(|| Name::unknown(now));
        name.used = now;
        if now >= name.until && !name.looking {
            name.looking = true;
            tokio::task::spawn_local(self.0.clone().renew(key.clone()));
        }
        match (&name.addresses, &name.fault) {
            (Some(addresses), _) => Poll::Ready(Ok(addresses.clone())),
            (None, Some(fault)) if !name.looking => {
                Poll::Ready(Err(io::Error::new(fault.kind(), fault.to_string())))
            }
            (None, _) => {
                name.waiting.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Names {
    async fn renew(self: Rc<Self>, key: (String, u16)) {
        let _permit = self.lookups.acquire().await;
        let found = tokio::net::lookup_host((&*key.0, key.1)).await;
        self.learn(&key, found.map(Iterator::collect), Instant::now());
    }

    /// Takes an answer in, and forgets what nobody asks for.
    fn learn(&self, key: &(String, u16), found: io::Result<Vec<SocketAddr>>, now: Instant) {
        let mut entries = self.entries.borrow_mut();
        if let Some(name) = entries.get_mut(key) {
            name.learn(found, now);
        }
        entries
            .retain(|_, name| name.looking || now.saturating_duration_since(name.used) < NAME_KEPT);
    }
}

impl Name {
    fn unknown(now: Instant) -> Self {
        Self {
            addresses: None,
            fault: None,
            until: now,
            used: now,
            looking: false,
            waiting: Vec::new(),
        }
    }

    fn learn(&mut self, found: io::Result<Vec<SocketAddr>>, now: Instant) {
        match found {
            Ok(found) if !found.is_empty() => {
                (self.addresses, self.fault) = (Some(found.into()), None);
                self.until = now + NAME_LIFE;
            }
            failed => {
                let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                self.fault = Some(failed.err().unwrap_or(none));
                self.until = now + FAULT_LIFE;
            }
        }
        self.looking = false;
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Learns each answer in turn and prints what is known after it.
    #[track_caller]
    fn check(answers: &[Result<&[u8], &str>], expected: Expect) {
        let now = Instant::now();
        let mut name = Name::unknown(now);
        let known: Vec<String> = answers
            .iter()
            .map(|answer| {
                name.looking = true;
                let found = answer.map_err(io::Error::other);
                let found =
                    found.map(|ends| ends.iter().map(|n| ([10, 0, 0, *n], 80).into()).collect());
                name.learn(found, now);
                assert!(!name.looking);
                let fault = name.fault.as_ref().map(ToString::to_string);
                format!("{:?} {fault:?} for {:?}", name.addresses, name.until - now)
            })
            .collect();
        expected.assert_eq(&known.join("\n"));
    }

    #[test]
    fn an_old_answer_outlives_failures() {
        check(
            &[Err("away"), Ok(&[1, 2]), Err("away"), Ok(&[]), Ok(&[3])],
            expect![[r#"
                None Some("away") for 1s
                Some([10.0.0.1:80, 10.0.0.2:80]) None for 30s
                Some([10.0.0.1:80, 10.0.0.2:80]) Some("away") for 1s
                Some([10.0.0.1:80, 10.0.0.2:80]) Some("the name has no address") for 1s
                Some([10.0.0.3:80]) None for 30s"#]],
        );
    }

    #[test]
    fn names_that_nobody_asks_for_are_forgotten() {
        let now = Instant::now();
        let names = Names::default();
        let key = |name: &str| (name.to_owned(), 80);
        for name in ["old", "looking", "new"] {
            names.entries.borrow_mut().insert(key(name), Name::unknown(now));
        }
        names.entries.borrow_mut().get_mut(&key("looking")).unwrap().looking = true;
        let later = now + NAME_KEPT;
        names.entries.borrow_mut().get_mut(&key("new")).unwrap().used = later;
        names.learn(&key("new"), Ok(vec![([10, 0, 0, 1], 80).into()]), later);
        let mut left: Vec<_> =
            names.entries.borrow().keys().map(|(name, _)| name.clone()).collect();
        left.sort();
        assert_eq!(left, ["looking", "new"]);
    }
}
