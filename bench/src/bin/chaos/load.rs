//! Steady requests on connections that stay, each answer read to its end and compared.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use selvedge_bench::hostile::{DENIED, DENIED_STATUS, MARK};
use tokio::{net::TcpStream, task::JoinSet};

use super::upstream::{INSPECTED, UNINSPECTED};

/// Where requests go: the first segment of their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Asks the agent that fails; without an answer it refuses.
    Closed,
    /// Asks the agent that fails; without an answer it goes on.
    Open,
    /// Asks another agent.
    Steady,
}

impl Route {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Steady];

    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Steady => "steady",
        }
    }

    pub fn of(target: &str) -> Option<Self> {
        let first = target.split('/').nth(1)?;
        Self::ALL.into_iter().find(|route| route.name() == first)
    }

    fn connections(self) -> usize {
        match self {
            Self::Closed | Self::Open => 12,
            Self::Steady => 8,
        }
    }
}

/// Connections of all routes.
pub const CONNECTIONS: u32 = 32;
/// Each so manieth request of a connection is one that the agent blocks.
const DENIED_EVERY: u64 = 10;
/// Longest time for an answer; without one by then there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub route: Route,
    pub sent: Instant,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200, and the upstream saw the agent's mark.
    Inspected,
    /// 200, and it did not.
    Uninspected,
    /// The agent's own refusal.
    Denied,
    /// The edge's refusal for lack of an answer.
    Refused,
    /// Anything else: a wrong status, a wrong body, no answer.
    Failed(String),
}

impl Exchange {
    /// When the answer was there.
    pub fn ended(&self) -> Instant {
        self.sent + self.took
    }
}

/// A load that runs.
pub struct Load {
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    pub fn start(address: SocketAddr, rate: u32) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (exchanges, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let pace = Duration::from_secs(1) * CONNECTIONS / rate.max(1);
        let (shared, stopped) = (exchanges.clone(), stop.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let mut clients = JoinSet::new();
                for route in Route::ALL {
                    for number in 0..route.connections() {
                        let client = Client { address, route, number, pace, sender: None };
                        clients.spawn(client.run(shared.clone(), stopped.clone()));
                    }
                }
                clients.join_all().await;
            });
        });
        Ok(Self { exchanges, stop, thread })
    }

    /// Looks at all exchanges so far.
    pub fn look<T>(&self, at: impl FnOnce(&[Exchange]) -> T) -> T {
        at(&self.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the load and returns every exchange, the last answers included.
    pub fn end(self) -> io::Result<Vec<Exchange>> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the load panicked"))?;
        Ok(std::mem::take(&mut self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Client {
    address: SocketAddr,
    route: Route,
    number: usize,
    pace: Duration,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    async fn run(mut self, exchanges: Arc<Mutex<Vec<Exchange>>>, stop: Arc<AtomicBool>) {
        // The connections of a route are spread over one interval.
        let share = self.number as f64 / self.route.connections() as f64;
        let mut next = Instant::now() + self.pace.mul_f64(share);
        let mut count = 0;
        while !stop.load(Relaxed) {
            tokio::time::sleep_until(next.into()).await;
            let sent = Instant::now();
            let outcome = self.ask(count).await;
            let exchange = Exchange { route: self.route, sent, took: sent.elapsed(), outcome };
            exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
            count += 1;
            next = (next + self.pace).max(Instant::now());
        }
    }

    async fn ask(&mut self, count: u64) -> Outcome {
        let denied = count % DENIED_EVERY == DENIED_EVERY - 1;
        let segment = if denied { DENIED } else { "/" };
        let target = format!("/{}{segment}{}/{count}", self.route.name(), self.number);
        match tokio::time::timeout(PATIENCE, self.exchange(&target)).await {
            Ok(Ok((status, body))) => judge(&target, status, &body, denied),
            Ok(Err(error)) => {
                self.sender = None;
                Outcome::Failed(error.to_string())
            }
            Err(_) => {
                self.sender = None;
                Outcome::Failed("no answer at all".to_owned())
            }
        }
    }

    async fn exchange(&mut self, target: &str) -> io::Result<(StatusCode, Bytes)> {
        let request = Request::get(target)
            .header("host", "localhost")
            // What a client says of itself counts for nothing.
            .header(MARK, "forged")
            .body(Empty::new())
            .map_err(io::Error::other)?;
        let sender = self.sender().await?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    }

    /// The connection, or a new one where the edge has closed it between two requests.
    async fn sender(&mut self) -> io::Result<&mut SendRequest<Empty<Bytes>>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        Ok(self.sender.as_mut().expect("it was just made, where there was none"))
    }
}

fn judge(target: &str, status: StatusCode, body: &[u8], denied: bool) -> Outcome {
    let is = |word: &str| body == format!("{target} {word}").as_bytes();
    match status.as_u16() {
        200 if is(INSPECTED) && !denied => Outcome::Inspected,
        200 if is(UNINSPECTED) => Outcome::Uninspected,
        DENIED_STATUS if denied => Outcome::Denied,
        503 | 504 => Outcome::Refused,
        status => Outcome::Failed(format!("{status}: {}", String::from_utf8_lossy(body))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, denied: bool, expected: Option<Outcome>) {
        let status = StatusCode::from_u16(status).expect("a status");
        let found = judge("/open/1/2", status, body.as_bytes(), denied);
        match expected {
            Some(expected) => assert_eq!(found, expected),
            None => assert!(matches!(found, Outcome::Failed(_)), "{found:?}"),
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_status_and_its_body() {
        check(200, "/open/1/2 inspected", false, Some(Outcome::Inspected));
        check(200, "/open/1/2 uninspected", false, Some(Outcome::Uninspected));
        check(200, "/open/1/3 inspected", false, None);
        check(200, "/open/1/2 inspected", true, None);
        check(403, "", true, Some(Outcome::Denied));
        check(403, "", false, None);
        check(504, "", false, Some(Outcome::Refused));
        check(502, "", false, None);
    }
}
