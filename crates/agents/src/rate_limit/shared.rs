//! Buckets in a Redis or Valkey server, exact for every process that asks it.
//!
//! One call of one script decides on all policies of a request, by the server's clock. A keeper
//! holds the connection: a question finds either a connection that worked a moment ago or none,
//! and never waits for one.

use std::{fmt, fs, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, Script, TlsCertificates, aio::MultiplexedConnection};
use selvedge_config::rate_limit as settings;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    gcra::{Rate, Span},
    ruling::{Asked, Charge, Found, Ruling, Standing},
};

/// Longest time to connect, TLS and the first question included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after the first failure to connect; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest pause between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// How often a connection is tried out, so that no request has to.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Commands on their way to the server; more wait, within their timeout.
const PIPELINE_MAX: usize = 1_024;
/// A hundred years: nothing is later than that.
const HORIZON_US: u64 = 100 * 31_557_600_000_000;

/// A server that keeps buckets.
#[derive(Debug)]
pub struct Shared {
    settings: settings::Redis,
    link: Arc<Link>,
    current: watch::Receiver<Option<MultiplexedConnection>>,
    keeper: AbortHandle,
}

/// The server gave no answer; why is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// What the keeper and those who ask share.
struct Link {
    client: Client,
    script: Script,
    timeout: Duration,
    probe_key: String,
    /// Somebody got no answer.
    doubt: Notify,
}

impl Shared {
    /// Connects in the background and waits a moment for that, lest the first requests after a start
    /// go uncounted. A server that cannot be reached is no error; settings that cannot be right are.
    pub async fn connect(settings: settings::Redis) -> Result<Self, String> {
        let link = Arc::new(Link {
            client: client(&settings)?,
            script: Script::new(include_str!("shared/take.lua")),
            timeout: settings.timeout,
            probe_key: format!("{}limit-probe", settings.prefix),
            doubt: Notify::new(),
        });
        let (sender, mut current) = watch::channel(None);
        let keeper = tokio::spawn(keep(Arc::clone(&link), sender)).abort_handle();
        let shared = Self { settings, link, current: current.clone(), keeper };
        // Neither outcome changes what follows.
        let _ = timeout(CONNECT_TIMEOUT, current.wait_for(Option::is_some)).await;
        Ok(shared)
    }

    /// What it was made of.
    pub fn settings(&self) -> &settings::Redis {
        &self.settings
    }

    /// Decides on a request: every policy agrees and takes its tokens, or none does.
    pub async fn decide(&self, asked: &[Asked<'_>]) -> Result<Ruling, Unavailable> {
        let buckets = asked.iter().map(|asked| Bucket {
            key: self.key(&asked.policy.id, &asked.key.shared()),
            room: asked.policy.shared.room(asked.ask),
            take: asked.ask.take,
            rate: &asked.policy.shared,
            lag_max: asked.policy.lag_max(),
        });
        let reply = self.ask(buckets.collect()).await?;
        let found = asked.iter().zip(&reply.lags).map(|(asked, lag)| Found {
            rate: &asked.policy.shared,
            ask: asked.ask,
            lag: *lag,
            crowded: false,
        });
        let ruling = Ruling::new(&found.collect::<Vec<_>>());
        debug_assert_eq!(ruling.admitted, reply.admitted, "script and core count alike");
        Ok(ruling)
    }

    /// Takes what an exchange turned out to cost, be it there or not.
    pub async fn charge(&self, charge: &Charge<'_>) -> Result<Standing, Unavailable> {
        let rate = &charge.policy.shared;
        let bucket = Bucket {
            key: self.key(&charge.policy.id, &charge.key.shared()),
            room: Some(rate.span_of(HORIZON_US, 0)),
            take: charge.tokens,
            rate,
            lag_max: charge.policy.lag_max(),
        };
        let reply = self.ask(vec![bucket]).await?;
        let lag = reply.lags.first().ok_or(Unavailable)?;
        Ok(Standing::charged(rate, lag.plus(rate.tokens(charge.tokens))))
    }

    fn key(&self, policy: &str, digest: &str) -> String {
        format!("{}limit:{policy}:{digest}", self.settings.prefix)
    }

    async fn ask(&self, buckets: Vec<Bucket<'_>>) -> Result<Reply, Unavailable> {
        let connection = self.current.borrow().clone().ok_or(Unavailable)?;
        self.link.ask(connection, &buckets).await.map_err(|_| {
            self.link.doubt.notify_one();
            Unavailable
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn client(settings: &settings::Redis) -> Result<Client, String> {
    // The error of the library would repeat the address, and with it a password.
    let wrong = |_| "the address of the Redis server is not one".to_owned();
    let address = settings.address.expose();
    let Some(path) = &settings.ca else { return Client::open(address).map_err(wrong) };
    let pem = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(address, certificates)
        .map_err(|_| format!("{}: no roots for a rediss:// address", path.display()))
}

/// A bucket in the script's terms.
struct Bucket<'p> {
    key: String,
    room: Option<Span>,
    take: u64,
    rate: &'p Rate,
    lag_max: Option<Duration>,
}

/// What the script said.
struct Reply {
    admitted: bool,
    lags: Vec<Span>,
}

impl Link {
    async fn ask(
        &self,
        mut connection: MultiplexedConnection,
        buckets: &[Bucket<'_>],
    ) -> Result<Reply, Failure> {
        let mut call = self.script.prepare_invoke();
        for bucket in buckets {
            bucket.put(&mut call);
        }
        let answer = call.invoke_async::<Vec<i64>>(&mut connection);
        let numbers = timeout(self.timeout, answer).await.map_err(|_| Failure::Slow)??;
        Reply::read(&numbers, buckets).ok_or(Failure::Nonsense)
    }

    /// A connection that has just decided, and written what it decided.
    async fn connect(&self) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_MAX);
        let attempt = async {
            let connection = self.client.get_multiplexed_async_connection_with_config(&config);
            let mut connection = connection.await?;
            self.script.load_async(&mut connection).await?;
            Ok(connection)
        };
        let connection = timeout(CONNECT_TIMEOUT, attempt).await.map_err(|_| Failure::Slow)?;
        let connection = connection.map_err(Failure::Redis)?;
        self.probe(connection.clone()).await?;
        Ok(connection)
    }

    /// Asks a question that makes the server write: one that only reads is of no use.
    async fn probe(&self, mut connection: MultiplexedConnection) -> Result<(), Failure> {
        let mut call = self.script.key(&self.probe_key);
        for argument in [HORIZON_US, 0, 1, 0, 1, 1] {
            call.arg(argument);
        }
        let answer = call.invoke_async::<Vec<i64>>(&mut connection);
        timeout(self.timeout, answer).await.map_err(|_| Failure::Slow)??;
        Ok(())
    }

    /// Returns when a connection has failed: tried out now and then, and whenever there is doubt.
    async fn watch(&self, connection: &MultiplexedConnection) -> Failure {
        loop {
            // Doubt or time: either way it is tried.
            let _ = timeout(PROBE_EVERY, self.doubt.notified()).await;
            if let Err(failure) = self.probe(connection.clone()).await {
                return failure;
            }
        }
    }
}

/// Why there is no answer.
enum Failure {
    Slow,
    Nonsense,
    Redis(redis::RedisError),
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => f.write_str("no answer in time"),
            Self::Nonsense => f.write_str("an answer that the script does not give"),
            Self::Redis(error) => error.fmt(f),
        }
    }
}

/// Keeps a connection for as long as anybody may ask for it.
async fn keep(link: Arc<Link>, current: watch::Sender<Option<MultiplexedConnection>>) {
    let mut backoff = BACKOFF_MIN;
    let mut silent = false;
    loop {
        match link.connect().await {
            Err(failure) if silent => drop(failure),
            Err(failure) => super::note(&format!("Redis does not answer: {failure}")),
            Ok(connection) => {
                super::note("Redis answers: limits hold over all machines");
                let since = Instant::now();
                current.send_replace(Some(connection.clone()));
                let failure = link.watch(&connection).await;
                current.send_replace(None);
                super::note(&format!("Redis no longer answers: {failure}"));
                if since.elapsed() > BACKOFF_MAX {
                    backoff = BACKOFF_MIN;
                }
            }
        }
        silent = true;
        sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

impl Bucket<'_> {
    fn put(&self, call: &mut redis::ScriptInvocation<'_>) {
        let Self { key, room, take, rate, lag_max } = self;
        let ticks = |span| {
            let (ticks, parts) = rate.ticks(span);
            (ticks.min(HORIZON_US) as i64, parts)
        };
        let (room, room_parts) = room.map_or((-1, 0), ticks);
        let (take, take_parts) = ticks(rate.tokens(*take));
        let lag_max =
            lag_max.map_or(-1, |lag| i64::try_from(lag.as_nanos().div_ceil(1_000)).unwrap_or(-1));
        call.key(key);
        call.arg(room).arg(room_parts).arg(take).arg(take_parts).arg(rate.per_tick()).arg(lag_max);
    }
}

impl Reply {
    fn read(numbers: &[i64], buckets: &[Bucket<'_>]) -> Option<Self> {
        let (admitted, lags) = numbers.split_first()?;
        if lags.len() != 2 * buckets.len() {
            return None;
        }
        let span = |(pair, bucket): (&[i64], &Bucket<'_>)| {
            Some(bucket.rate.span_of(pair[0].try_into().ok()?, pair[1].try_into().ok()?))
        };
        let lags = lags.chunks_exact(2).zip(buckets).map(span).collect::<Option<_>>()?;
        Some(Self { admitted: *admitted == 1, lags })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
