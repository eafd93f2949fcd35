//! The exporter: a thread with a runtime of its own, which gathers, posts and tries again.

use std::{
    fmt, io,
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
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout},
};

use tokio_rustls::TlsConnector;

use super::{
    endpoint::Endpoint,
    protobuf::{find_bytes, find_uint, push_bytes, push_head, push_message},
    spans::push_resource_attribute,
};
use crate::{
    event::{Events, Level},
    metrics::Counter,
    trace::Sampling,
    writer::Batch,
};

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
    /// `events` hears when export fails and when it works again.
    pub(crate) fn start(
        endpoint: Option<Endpoint>,
        version: &'static str,
        events: Arc<Events>,
    ) -> io::Result<Self> {
        let (queue, batches) = mpsc::channel(BATCHES_MAX);
        let (orders, heard) = watch::channel(Orders::default());
        let (done, finished) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let counting = Arc::clone(&shared);
        thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            let mut export = Export {
                batches,
                orders: heard,
                shared: counting,
                events,
                version,
                kept: None,
                connection: None,
                tls: None,
                failing: false,
            };
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
    events: Arc<Events>,
    version: &'static str,
    /// A batch that did not fit into the last request.
    kept: Option<Batch>,
    connection: Option<(Arc<Endpoint>, Sender)>,
    /// Made when first needed, as it reads all the roots.
    tls: Option<Arc<ClientConfig>>,
    /// Whether the last request failed: an operator is told of the change, not of each request.
    failing: bool,
}

type Sender = SendRequest<Full<Bytes>>;

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How one request ended.
enum Outcome {
    /// Taken, but for so many spans.
    Taken { rejected: u64 },
    /// To be tried again, after this pause when the collector named one.
    Again(String, Option<Duration>),
    /// Refused for good.
    Refused(String),
}

impl Export {
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
                Outcome::Taken { rejected } => return self.taken(&endpoint, batch, rejected),
                Outcome::Refused(why) => return self.refused(&endpoint, batch, &why),
                Outcome::Again(why, asked) => {
                    self.tell_failing(&endpoint, &why);
                    asked
                }
            };
            if stopping {
                return self.abandon(batch);
            }
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

    fn taken(&mut self, endpoint: &Endpoint, batch: &Batch, rejected: u64) {
        if std::mem::take(&mut self.failing) {
            let to: &dyn fmt::Display = &endpoint.authority;
            self.events.tell(Level::Info, "traces are exported again", &[("collector", to)]);
        }
        let rejected = rejected.min(batch.count as u64);
        self.shared.counts.rejected.add(rejected);
        self.shared.counts.exported.add(batch.count as u64 - rejected);
    }

    fn refused(&mut self, endpoint: &Endpoint, batch: &Batch, why: &str) {
        self.tell_failing(endpoint, why);
        self.shared.counts.rejected.add(batch.count as u64);
    }

    fn tell_failing(&mut self, endpoint: &Endpoint, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let to: &dyn fmt::Display = &endpoint.authority;
            let fields = [("collector", to), ("error", &why)];
            self.events.tell(Level::Warn, "traces cannot be exported", &fields);
        }
    }

    fn abandon(&self, batch: &Batch) {
        self.shared.counts.abandoned.add(batch.count as u64);
    }

    async fn post(&mut self, endpoint: &Arc<Endpoint>, batch: &Batch) -> Outcome {
        let failed = match timeout(REQUEST, self.exchange(endpoint, batch)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(failed)) => failed,
            Err(_) => format!("no answer within {} s", REQUEST.as_secs()),
        };
        self.connection = None;
        Outcome::Again(failed, None)
    }

    /// One request and its answer, or why there was none.
    async fn exchange(
        &mut self,
        endpoint: &Arc<Endpoint>,
        batch: &Batch,
    ) -> Result<Outcome, String> {
        let request = request(endpoint, wrap(batch, &endpoint.service, self.version));
        let sender = self.connected(endpoint).await.map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(outcome(response).await)
    }

    /// The open connection to `endpoint`, or a new one.
    async fn connected(&mut self, endpoint: &Arc<Endpoint>) -> io::Result<&mut Sender> {
        let known = self.connection.take_if(|(to, _)| to == endpoint);
        let open = match known {
            Some((_, mut sender)) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let sender = match open {
            Some(sender) => sender,
            None => connect(endpoint, self.tls.get_or_insert_with(mozilla_roots)).await?,
        };
        Ok(&mut self.connection.insert((Arc::clone(endpoint), sender)).1)
    }
}

/// Returns once the exporter is told to stop, or its sending side is gone.
async fn stopped(orders: &mut watch::Receiver<Orders>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = orders.wait_for(|orders| orders.stopping).await;
}

async fn connect(endpoint: &Endpoint, tls: &Arc<ClientConfig>) -> io::Result<Sender> {
    let stream = TcpStream::connect(&endpoint.authority).await?;
    let stream: Box<dyn Stream> = match &endpoint.tls {
        None => Box::new(stream),
        Some(name) => {
            Box::new(TlsConnector::from(Arc::clone(tls)).connect(name.clone(), stream).await?)
        }
    };
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the connection; whoever sends learns of an error there.
    tokio::spawn(connection);
    Ok(sender)
}

/// TLS towards collectors whose certificates the Mozilla roots vouch for.
fn mozilla_roots() -> Arc<ClientConfig> {
    client_config(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
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
        | StatusCode::GATEWAY_TIMEOUT => {
            Outcome::Again(format!("answered {}", response.status()), retry_after(&response))
        }
        status => Outcome::Refused(format!("answered {status}")),
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

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use selvedge_base::Secret;
    use tokio::{io::AsyncReadExt, net::TcpListener};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::settings::Otlp;

    #[track_caller]
    fn check_retry_after(value: &str, expected: Option<u64>) {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(parse_retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check_retry_after("120", Some(120));
        check_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check_retry_after("soon", None);
        check_retry_after("-1", None);
    }

    fn endpoint(port: u16) -> Endpoint {
        let settings = Otlp {
            endpoint: format!("https://localhost:{port}"),
            headers: vec![("x-key".to_owned(), Secret::new("s3cret"))],
            sample: 1.0,
            queue: 8,
            service: "selvedge".to_owned(),
        };
        Endpoint::try_new(&settings).unwrap()
    }

    /// Connects to a collector with a certificate that only `localhost` and these roots know.
    async fn connect_over_tls(trusted: bool) -> io::Result<Vec<u8>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap().port());
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(stream).await?;
            let mut head = vec![0; 29];
            stream.read_exact(&mut head).await?;
            io::Result::Ok(head)
        });
        let mut roots = RootCertStore::empty();
        if trusted {
            roots.add(certificate).unwrap();
        }
        let mut sender = connect(&endpoint, &client_config(roots)).await?;
        // The collector reads the head and hangs up: that is all it is asked for here.
        let _ = sender.send_request(request(&endpoint, Vec::new())).await;
        served.await.unwrap()
    }

    #[tokio::test]
    async fn a_trusted_collector_is_spoken_to_over_tls() {
        let head = connect_over_tls(true).await.unwrap();
        assert_eq!(String::from_utf8(head).unwrap(), "POST /v1/traces HTTP/1.1\r\nx-k");
    }

    #[tokio::test]
    async fn a_collector_that_nobody_vouches_for_gets_nothing() {
        let error = connect_over_tls(false).await.unwrap_err().to_string();
        assert_eq!(error, "invalid peer certificate: UnknownIssuer");
    }
}
