use std::{fmt, path::PathBuf};

use selvedge_base::Secret;

/// What telemetry is told at the start and again at each reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the access log goes, and decisions of agents with it. `None`: off.
    pub access_log: Option<LogTarget>,
    /// Whether it has a line for each request.
    pub requests: bool,
    /// Whether it has a line for each decision.
    pub decisions: bool,
    /// Where traces go. `None`: off; a caller's `traceparent` is then passed on unchanged.
    pub otlp: Option<Otlp>,
    /// Where the process's own events go. A reload does not move it.
    pub events: LogTarget,
    /// Number of cores that record. A reload does not change it.
    pub cores: usize,
}

impl Settings {
    /// Nothing but metrics, and events on standard error.
    pub fn quiet(cores: usize) -> Self {
        let (requests, decisions) = (true, true);
        Self { access_log: None, requests, decisions, otlp: None, events: LogTarget::Stderr, cores }
    }
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to; made when it is not there.
    File(PathBuf),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Stderr => f.write_str("standard error"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Export of traces by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Collector, such as `http://127.0.0.1:4318`; `/v1/traces` is appended.
    pub endpoint: String,
    /// Headers sent along, for example an API key.
    pub headers: Vec<(String, Secret)>,
    /// Share of requests traced when the caller did not decide, 0.0 to 1.0.
    pub sample: f64,
    /// Spans kept while the collector is away; beyond, the newest are dropped and counted.
    pub queue: usize,
    /// `service.name`.
    pub service: String,
}
