//! The exporter: a thread with a runtime of its own, which gathers, posts and tries again.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout},
};

use super::{
    endpoint::Endpoint,
    protobuf::{find_bytes, find_uint, push_bytes, push_head, push_message},
    spans::push_resource_attribute,
};
use crate::{metrics::Counter, trace::Sampling, writer::Batch};

/// Spans of one request at most.
pub(crate) const SPANS_BATCH_MAX: usize = 512;
/// A batch that is not full goes out after this time.
const GATHER: Duration = Duration::from_secs(1);
/// Batches of cores that wait at most; the spans in them have their own bound, the queue's.
const BATCHES_MAX: usize = 16 * 1024;
/// Time one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// First and longest pause before a request is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest pause that a collector may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Bytes read of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The sending side: any core may hand over spans, none waits.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: mpsc::Sender<Batch>,
    orders: watch::Sender<Orders>,
    shared: Arc<Shared>,
    finished: Mutex<Receiver<()>>,
}

/// What the thread is told.
#[derive(Clone, Debug, Default)]
struct Orders {
    endpoint: Option<Arc<Endpoint>>,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Shared {
    on: AtomicBool,
    /// Bits of the share that is sampled.
    sample: AtomicU64,
    queued_max: AtomicUsize,
    /// Spans handed over and neither delivered nor dropped.
    queued: AtomicUsize,
    counts: Counts,
}

/// What became of the spans handed over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Taken by the collector.
    pub(crate) exported: Counter,
    /// Dropped because the queue was full.
    pub(crate) overflowed: Counter,
    /// Refused by the collector, wholly or in part.
    pub(crate) rejected: Counter,
    /// Given up because export was switched off or the process ended.
    pub(crate) abandoned: Counter,
    /// Requests that failed and were tried again.
    pub(crate) retried: Counter,
}

impl Exporter {
    /// Starts the thread; it connects when there are spans.
    pub(crate) fn start(endpoint: Option<Endpoint>, version: &'static str) -> io::Result<Self> {
        let (queue, batches) = mpsc::channel(BATCHES_MAX);
        let (orders, heard) = watch::channel(Orders::default());
        let (done, finished) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let counting = Arc::clone(&shared);
        thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            let mut export = Export::new(batches, heard, counting, version);
            runtime.block_on(export.run());
            // Nobody may be waiting any more; then nobody needs to know.
            let _ = done.try_send(());
        })?;
        let exporter = Self { queue, orders, shared, finished: Mutex::new(finished) };
        exporter.redirect(endpoint);
        Ok(exporter)
    }

    /// Whether spans are wanted, and of how many requests.
    pub(crate) fn sampling(&self) -> Sampling {
        if !self.shared.on.load(Relaxed) {
            return Sampling::Off;
        }
        Sampling::Share(f64::from_bits(self.shared.sample.load(Relaxed)))
    }

    /// Hands spans over, or drops and counts them when the queue is full. Never waits.
    pub(crate) fn send(&self, batch: Batch) {
        let count = batch.count;
        let before = self.shared.queued.fetch_add(count, Relaxed);
        let fits = before + count <= self.shared.queued_max.load(Relaxed);
        if !fits || self.queue.try_send(batch).is_err() {
            self.shared.queued.fetch_sub(count, Relaxed);
            self.shared.counts.overflowed.add_shared(count as u64);
        }
    }

    /// Exports to `endpoint` from now on. `None`: nowhere; what waits is dropped.
    pub(crate) fn redirect(&self, endpoint: Option<Endpoint>) {
        self.shared.on.store(endpoint.is_some(), Relaxed);
        if let Some(endpoint) = &endpoint {
            self.shared.sample.store(endpoint.sample.to_bits(), Relaxed);
            self.shared.queued_max.store(endpoint.queue, Relaxed);
        }
        self.orders.send_modify(|orders| orders.endpoint = endpoint.map(Arc::new));
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    pub(crate) fn queued(&self) -> usize {
        self.shared.queued.load(Relaxed)
    }

    /// Tells the thread to send what it has, once, and end.
    pub(crate) fn stop(&self) {
        self.orders.send_modify(|orders| orders.stopping = true);
    }

    /// Waits until `deadline` for the thread to end. Whether it did.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        !matches!(finished.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side.
struct Export {
    batches: mpsc::Receiver<Batch>,
    orders: watch::Receiver<Orders>,
    shared: Arc<Shared>,
    version: &'static str,
    /// A batch that did not fit into the last request.
    kept: Option<Batch>,
    connection: Option<(Arc<Endpoint>, SendRequest<Full<Bytes>>)>,
}

/// How one request ended.
enum Outcome {
    /// Taken, but for so many spans.
    Taken { rejected: u64 },
    /// To be tried again, after this pause when the collector named one.
    Again(Option<Duration>),
    /// Refused for good.
    Refused,
}

impl Export {
    fn new(
        batches: mpsc::Receiver<Batch>,
        orders: watch::Receiver<Orders>,
        shared: Arc<Shared>,
        version: &'static str,
    ) -> Self {
        Self { batches, orders, shared, version, kept: None, connection: None }
    }

    /// Until it is told to stop and has nothing left.
    async fn run(&mut self) {
        while let Some(batch) = self.gather().await {
            self.deliver(&batch).await;
            self.shared.queued.fetch_sub(batch.count, Relaxed);
        }
    }

    /// The next request's spans: full, or a second after the first, or the rest at the end.
    async fn gather(&mut self) -> Option<Batch> {
        let mut whole = match self.kept.take() {
            Some(kept) => kept,
            None => self.next().await?,
        };
        let due = tokio::time::Instant::now() + GATHER;
        while whole.count < SPANS_BATCH_MAX {
            let Some(more) = self.next_until(due).await else { break };
            if whole.count + more.count > SPANS_BATCH_MAX {
                self.kept = Some(more);
                break;
            }
            whole.count += more.count;
            whole.bytes.extend_from_slice(&more.bytes);
        }
        Some(whole)
    }

    async fn next(&mut self) -> Option<Batch> {
        tokio::select! {
            biased;
            batch = self.batches.recv() => batch,
            () = stopped(&mut self.orders) => self.batches.try_recv().ok(),
        }
    }

    async fn next_until(&mut self, due: tokio::time::Instant) -> Option<Batch> {
        tokio::select! {
            batch = self.next() => batch,
            () = sleep_until(due) => None,
        }
    }

    /// Sends until the spans are taken or refused; gives up when there is no endpoint or no time.
    async fn deliver(&mut self, batch: &Batch) {
        let mut pause = PAUSE.0;
        loop {
            let Orders { endpoint, stopping } = self.orders.borrow_and_update().clone();
            let Some(endpoint) = endpoint else { return self.abandon(batch) };
            let asked = match self.post(&endpoint, batch).await {
                Outcome::Taken { rejected } => return self.count_taken(batch, rejected),
                Outcome::Refused => return self.shared.counts.rejected.add(batch.count as u64),
                Outcome::Again(_) if stopping => return self.abandon(batch),
                Outcome::Again(asked) => asked,
            };
            self.shared.counts.retried.add(1);
            self.rest(asked.unwrap_or_else(|| jittered(pause))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Pauses, but not past the next order.
    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause.min(RETRY_AFTER_MAX)) => (),
            _ = self.orders.changed() => (),
        }
    }

    fn count_taken(&self, batch: &Batch, rejected: u64) {
        let rejected = rejected.min(batch.count as u64);
        self.shared.counts.rejected.add(rejected);
        self.shared.counts.exported.add(batch.count as u64 - rejected);
    }

    fn abandon(&self, batch: &Batch) {
        self.shared.counts.abandoned.add(batch.count as u64);
    }

    async fn post(&mut self, endpoint: &Arc<Endpoint>, batch: &Batch) -> Outcome {
        match timeout(REQUEST, self.exchange(endpoint, batch)).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => {
                self.connection = None;
                Outcome::Again(None)
            }
        }
    }

    /// One request and its answer; `None` when the connection failed.
    async fn exchange(&mut self, endpoint: &Arc<Endpoint>, batch: &Batch) -> Option<Outcome> {
        let request = request(endpoint, wrap(batch, &endpoint.service, self.version));
        let sender = self.connected(endpoint).await?;
        let response = sender.send_request(request).await.ok()?;
        Some(outcome(response).await)
    }

    /// The open connection to `endpoint`, or a new one.
    async fn connected(
        &mut self,
        endpoint: &Arc<Endpoint>,
    ) -> Option<&mut SendRequest<Full<Bytes>>> {
        let known = self.connection.take_if(|(to, _)| to == endpoint);
        let mut sender = match known {
            Some((_, sender)) => sender,
            None => connect(endpoint).await?,
        };
        if sender.ready().await.is_err() {
            sender = connect(endpoint).await?;
        }
        Some(&mut self.connection.insert((Arc::clone(endpoint), sender)).1)
    }
}

/// Returns once the exporter is told to stop, or its sending side is gone.
async fn stopped(orders: &mut watch::Receiver<Orders>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = orders.wait_for(|orders| orders.stopping).await;
}

async fn connect(endpoint: &Endpoint) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(&endpoint.authority).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the connection; whoever sends learns of an error there.
    tokio::spawn(connection);
    Some(sender)
}

fn request(endpoint: &Endpoint, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = endpoint.path.parse().expect("cut from a valid URI");
    let headers = request.headers_mut();
    headers.extend(endpoint.headers.clone());
    let host = endpoint.authority.parse().expect("cut from a valid URI");
    headers.insert(header::HOST, host);
    let kind = header::HeaderValue::from_static("application/x-protobuf");
    headers.insert(header::CONTENT_TYPE, kind);
    let agent = header::HeaderValue::from_static("selvedge");
    headers.insert(header::USER_AGENT, agent);
    request
}

async fn outcome(response: Response<Incoming>) -> Outcome {
    match response.status() {
        status if status.is_success() => taken(response).await,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Again(retry_after(&response)),
        _ => Outcome::Refused,
    }
}

/// Reads `ExportTraceServiceResponse.partial_success.rejected_spans`. An answer that cannot be
/// read took everything: the status said so.
async fn taken(response: Response<Incoming>) -> Outcome {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let rejected = body.ok().and_then(|body| {
        let body = body.to_bytes();
        find_uint(find_bytes(&body, 1)?, 1)
    });
    Outcome::Taken { rejected: rejected.unwrap_or(0) }
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(value, SystemTime::now())
}

/// Seconds, or the date at which to come back.
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Between half of `pause` and the whole, so that many edges do not come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Wraps encoded spans into an `ExportTraceServiceRequest`.
fn wrap(batch: &Batch, service: &str, version: &str) -> Vec<u8> {
    let mut scope = Vec::new();
    push_message(&mut scope, 1, |out| {
        push_bytes(out, 1, b"selvedge");
        push_bytes(out, 2, version.as_bytes());
    });
    let mut inner = Vec::with_capacity(batch.bytes.len() + 256);
    push_message(&mut inner, 1, |out| {
        push_resource_attribute(out, "service.name", service);
        push_resource_attribute(out, "service.version", version);
    });
    push_head(&mut inner, 2, scope.len() + batch.bytes.len());
    inner.extend_from_slice(&scope);
    inner.extend_from_slice(&batch.bytes);
    let mut outer = Vec::with_capacity(inner.len() + 8);
    push_bytes(&mut outer, 1, &inner);
    outer
}
