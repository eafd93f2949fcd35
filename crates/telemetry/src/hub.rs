use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use fastrand::Rng;

use crate::{
    core::Core,
    event::{Events, Level},
    metrics::{
        CertificateExpiry, CoreCells, Counter, Label, Labels, Page, Registered, RouteLabel, render,
        render_process, render_reported,
    },
    otlp::{Endpoint, EndpointError, Exporter, push_served},
    served::Served,
    settings::Settings,
    trace::{Sampling, TraceContext},
    writer::{Batch, OpenError, Output, Writer},
};

/// The route of requests that were refused before one was chosen. No id looks like this.
const UNROUTED: &str = "(none)";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Telemetry of the whole process: its threads, its labels and its pages. Clones are one hub.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What cores and hub share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) access_log: Writer,
    pub(crate) requests_logged: AtomicBool,
    pub(crate) decisions_logged: AtomicBool,
    pub(crate) exporter: Exporter,
    pub(crate) cores: Box<[Arc<CoreCells>]>,
    pub(crate) unrouted: RouteLabel,
    events: Arc<Events>,
    registered: Mutex<Arc<Registered>>,
    process: Mutex<Process>,
    more: Mutex<Vec<More>>,
    started: SystemTime,
}

/// Metrics that somebody else counts.
struct More(Box<dyn Fn(&mut String) + Send + Sync>);

impl fmt::Debug for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("More")
    }
}

/// What is told of the process and not counted by a core.
#[derive(Debug, Default)]
struct Process {
    revision: u64,
    loaded_at: Option<SystemTime>,
    last_load_refused: bool,
    loads: u64,
    refused_loads: u64,
    certificates: Vec<CertificateExpiry>,
}

/// Telemetry cannot be as the settings want it.
#[derive(Debug)]
pub enum SettingsError {
    /// A log cannot be opened.
    Open(OpenError),
    /// The exporter cannot follow its settings.
    Endpoint(EndpointError),
    /// The system gave no thread, or no runtime for it.
    Thread(io::Error),
}

/// What was lost when telemetry had to end before all was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unflushed {
    /// The access log's writer had not ended.
    pub access_log: bool,
    /// The exporter had not ended; so many spans were with it.
    pub spans: usize,
}

impl Hub {
    /// Opens what `settings` name and starts the threads that write and export.
    pub fn start(settings: &Settings) -> Result<Self, SettingsError> {
        let Settings { access_log, requests, decisions, otlp, events, cores } = settings;
        let lines = access_log.as_ref().map(|target| Output::open("access log", target));
        let events = Output::open("events", events).map_err(SettingsError::Open)?;
        let endpoint = otlp.as_ref().map(Endpoint::try_new).transpose()?;
        let lines = lines.transpose().map_err(SettingsError::Open)?;
        let thread = SettingsError::Thread;
        let events = Writer::start("events", Some(events), None).map_err(thread)?;
        let events = Arc::new(Events::new(events));
        let trouble = Some(Arc::clone(&events));
        let shared = Shared {
            access_log: Writer::start("access log", lines, trouble).map_err(thread)?,
            requests_logged: AtomicBool::new(*requests),
            decisions_logged: AtomicBool::new(*decisions),
            exporter: Exporter::start(endpoint, VERSION, Arc::clone(&events)).map_err(thread)?,
            cores: (0..*cores).map(|_| Arc::default()).collect(),
            unrouted: Arc::new(Label::new(UNROUTED, *cores)),
            events,
            registered: Mutex::default(),
            process: Mutex::default(),
            more: Mutex::default(),
            started: SystemTime::now(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The recorder of core `index`: one for each core at a time, since its counters have one writer.
    ///
    /// # Panics
    /// When `index` is not below [`Settings::cores`].
    pub fn core(&self, index: usize) -> Core {
        Core::new(index, Arc::clone(&self.shared))
    }

    /// Labels for a new config. Ids that the last config had keep their counts.
    pub fn register(&self, names: &Labels<'_>) -> Arc<Registered> {
        let mut current = lock(&self.shared.registered);
        *current = Arc::new(Registered::following(&current, names, self.shared.cores.len()));
        Arc::clone(&current)
    }

    /// The trace that the headers of a request name, or a new one; for processes without cores.
    /// See [`TraceContext::from_headers`].
    pub fn trace<'h>(
        &self,
        parents: impl IntoIterator<Item = &'h [u8]>,
        states: impl IntoIterator<Item = &'h [u8]>,
    ) -> TraceContext {
        let sampling = self.shared.exporter.sampling();
        TraceContext::from_headers(parents, states, &mut Rng::new(), sampling)
    }

    /// Exports the span of a request that ended, if its trace is recorded. Never waits.
    pub fn record(&self, served: &Served<'_>) {
        if served.trace.is_recorded() && self.shared.exporter.sampling() != Sampling::Off {
            let mut batch = Batch { count: 1, ..Batch::default() };
            push_served(&mut batch.bytes, served);
            self.shared.exporter.send(batch);
        }
    }

    /// Follows new settings, or changes nothing and says why not. Cores and events stay as they are.
    pub fn reconfigure(&self, settings: &Settings) -> Result<(), SettingsError> {
        let Settings { access_log, requests, decisions, otlp, events: _, cores: _ } = settings;
        let endpoint = otlp.as_ref().map(Endpoint::try_new).transpose()?;
        let lines = access_log.as_ref().map(|target| Output::open("access log", target));
        let lines = lines.transpose().map_err(SettingsError::Open)?;
        self.shared.access_log.redirect(lines);
        self.shared.requests_logged.store(*requests, Relaxed);
        self.shared.decisions_logged.store(*decisions, Relaxed);
        self.shared.exporter.redirect(endpoint);
        Ok(())
    }

    /// Opens log files again by their names, as after a rotation.
    pub fn reopen(&self) {
        self.shared.access_log.reopen();
        self.shared.events.writer.reopen();
    }

    /// Writes one event, or counts it when there are too many. Never waits.
    pub fn event(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.shared.events.tell(level, message, fields);
    }

    /// A config took effect.
    pub fn config_loaded(&self, revision: u64) {
        let mut process = lock(&self.shared.process);
        process.revision = revision;
        process.loaded_at = Some(SystemTime::now());
        process.last_load_refused = false;
        process.loads += 1;
    }

    /// Revision of the config in effect, and when it took effect; `None` before the first.
    pub fn config_in_effect(&self) -> Option<(u64, SystemTime)> {
        let process = lock(&self.shared.process);
        process.loaded_at.map(|at| (process.revision, at))
    }

    /// A config was refused; the one before stays in effect.
    pub fn config_refused(&self) {
        let mut process = lock(&self.shared.process);
        process.last_load_refused = true;
        process.refused_loads += 1;
    }

    /// The certificates in use, all of them.
    pub fn set_certificates(&self, certificates: Vec<CertificateExpiry>) {
        lock(&self.shared.process).certificates = certificates;
    }

    /// From now on the page of metrics ends with what `render` appends, in Prometheus' text format.
    pub fn also_render(&self, render: impl Fn(&mut String) + Send + Sync + 'static) {
        lock(&self.shared.more).push(More(Box::new(render)));
    }

    /// All metrics in the Prometheus text format, version 0.0.4
    /// (`Content-Type: text/plain; version=0.0.4`).
    pub fn render_prometheus(&self) -> String {
        let mut page = Page::default();
        let registered = Arc::clone(&lock(&self.shared.registered));
        render(&mut page, &registered, &self.shared.unrouted, &self.shared.cores);
        self.render_losses(&mut page);
        self.render_state(&mut page);
        page.single(
            "process_start_time_seconds",
            "gauge",
            "When the process started.",
            unix_seconds(self.shared.started),
        );
        render_process(&mut page, "");
        render_reported(&mut page, &registered.agents);
        let mut page = page.finish();
        lock(&self.shared.more).iter().for_each(|More(render)| render(&mut page));
        page
    }

    /// What there is to know of a process without cores, for a page that the edge's page may be put before: names
    /// begin with `prefix`, such as `selvedge_core_`.
    pub fn render_process(&self, prefix: &str) -> String {
        let mut page = Page::default();
        render_exporter(&mut page, prefix, &self.shared.exporter);
        render_process(&mut page, prefix);
        page.finish()
    }

    fn render_losses(&self, page: &mut Page) {
        let Shared { access_log, events, exporter, .. } = &*self.shared;
        let writers = [access_log, &events.writer];
        type Count = fn(&Writer) -> &Counter;
        let lines: [(&str, &str, Count); 4] = [
            ("selvedge_log_lines_total", "Lines written.", |log| &log.counts().written),
            ("selvedge_log_lines_dropped_total", "Lines dropped: the queue was full.", |log| {
                &log.counts().dropped
            }),
            ("selvedge_log_lines_failed_total", "Lines lost: a write failed.", |log| {
                &log.counts().failed
            }),
            (
                "selvedge_log_reopen_failures_total",
                "Files that could not be opened again.",
                |log| &log.counts().reopen_failed,
            ),
        ];
        for (name, help, count) in lines {
            page.family(name, "counter", help);
            for writer in writers {
                let log = writer.log().replace(' ', "_");
                page.sample(name, &[("log", &log)], count(writer).get());
            }
        }
        let help = "Events of the process left out because there were too many.";
        let suppressed = events.suppressed.get();
        page.single("selvedge_events_suppressed_total", "counter", help, suppressed);
        render_exporter(page, "selvedge_", exporter);
    }

    fn render_state(&self, page: &mut Page) {
        let process = lock(&self.shared.process);
        let revision = "Revision of the config in effect.";
        page.single("selvedge_config_revision", "gauge", revision, process.revision);
        let successful = u8::from(!process.last_load_refused);
        let help = "Whether the last config was taken: 1 or 0.";
        page.single("selvedge_config_last_reload_successful", "gauge", help, successful);
        if let Some(at) = process.loaded_at {
            let (name, help) =
                ("selvedge_config_loaded_timestamp_seconds", "When the config took effect.");
            page.single(name, "gauge", help, unix_seconds(at));
        }
        const RELOADS: &str = "selvedge_config_reloads_total";
        page.family(RELOADS, "counter", "Configs loaded, the first included, by result.");
        page.sample(RELOADS, &[("result", "loaded")], process.loads);
        page.sample(RELOADS, &[("result", "refused")], process.refused_loads);
        const EXPIRY: &str = "selvedge_certificate_expiry_timestamp_seconds";
        page.family(EXPIRY, "gauge", "When a certificate in use ends.");
        for CertificateExpiry { listener, name, not_after } in &process.certificates {
            let pairs = [("listener", &**listener), ("name", &**name)];
            page.sample(EXPIRY, &pairs, unix_seconds(*not_after));
        }
        page.family("selvedge_build_info", "gauge", "The build that runs; always 1.");
        page.sample("selvedge_build_info", &[("version", VERSION)], 1);
    }

    /// Writes and exports what has gathered, waiting for `within` at most, and ends the threads.
    /// To be called once the cores are gone, as what they drop is flushed here.
    pub fn shutdown(&self, within: Duration) -> Unflushed {
        let deadline = Instant::now() + within;
        let Shared { access_log, events, exporter, .. } = &*self.shared;
        access_log.stop();
        exporter.stop();
        let lines_done = access_log.wait(deadline);
        let spans_done = exporter.wait(deadline);
        events.writer.stop();
        events.writer.wait(deadline);
        Unflushed { access_log: !lines_done, spans: if spans_done { 0 } else { exporter.queued() } }
    }
}

fn render_exporter(page: &mut Page, prefix: &str, exporter: &Exporter) {
    let counts = exporter.counts();
    let name = |name: &str| format!("{prefix}{name}");
    let (exported, help) = (counts.exported.get(), "Spans taken by a collector.");
    page.single(&name("spans_exported_total"), "counter", help, exported);
    let dropped = name("spans_dropped_total");
    page.family(&dropped, "counter", "Spans lost, by reason.");
    let reasons = [
        ("queue_full", &counts.overflowed),
        ("rejected", &counts.rejected),
        ("abandoned", &counts.abandoned),
    ];
    for (reason, count) in reasons {
        page.sample(&dropped, &[("reason", reason)], count.get());
    }
    let (retried, help) = (counts.retried.get(), "Exports that failed and were tried again.");
    page.single(&name("span_export_retries_total"), "counter", help, retried);
    let help = "Spans waiting for the collector.";
    page.single(&name("spans_queued"), "gauge", help, exporter.queued());
}

impl From<Arc<Shared>> for Hub {
    fn from(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Nothing that is done under these locks can leave a value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds with milliseconds; negative before 1970.
fn unix_seconds(at: SystemTime) -> f64 {
    let millis = |duration: Duration| duration.as_millis() as f64 / 1e3;
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

impl From<EndpointError> for SettingsError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Endpoint(error) => error.fmt(f),
            Self::Thread(error) => write!(
                f,
                "cannot start a telemetry thread: {error}; raise the limit of threads or files"
            ),
        }
    }
}

impl std::error::Error for SettingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Endpoint(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}
