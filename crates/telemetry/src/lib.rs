//! What the edge tells of itself: metrics, access log, traces and events, and their export.
//!
//! The crate exists to keep the dependencies of telemetry out of the dataplane. It knows neither
//! config nor routing: a [`Hub`] is told [`Settings`] and names, and each core records whole
//! [`Exchange`]s. Recording takes no lock, and what cannot keep up (a full disk, a collector that is
//! away) costs lines and spans, which are counted, and never the request.
//!
//! ```
//! use std::time::{Instant, SystemTime};
//!
//! use selvedge_telemetry::{Exchange, Hub, Labels, Routed, Settings, Timings};
//!
//! let hub = Hub::start(&Settings::quiet(1))?;
//! let names = Labels { listeners: vec!["web"], routes: vec!["api"], ..Labels::default() };
//! let labels = hub.register(&names);
//! let core = hub.core(0);
//!
//! let trace = core.trace([], []);
//! let timings = Timings::new(Instant::now(), SystemTime::now());
//! core.record(&Exchange {
//!     method: b"GET",
//!     path: b"/api/users",
//!     status: Some(200),
//!     route: Some(Routed { route: labels.route(0), cached: false, why: &"path-prefix /api" }),
//!     ..Exchange::new(labels.listener(0), "127.0.0.1:5000".parse()?, &trace, &timings)
//! });
//!
//! assert!(hub.render_prometheus().contains(
//!     r#"selvedge_requests_total{listener="web",route="api",method="GET",protocol="HTTP/1.1",status="2xx"} 1"#
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access_log;
mod core;
mod decision_log;
mod event;
mod exchange;
mod hub;
mod json;
mod line;
mod metrics;
mod otlp;
mod served;
mod settings;
mod timestamp;
mod trace;
mod writer;

pub use crate::{
    core::{Core, Open},
    event::{BURST as EVENTS_IN_A_ROW_MAX, Level, SHARE as EVENT_SHARE},
    exchange::{AgentCall, Decision, Exchange, Finding, Protocol, Proxied, Routed, Timings, Tls},
    hub::{Hub, SettingsError, Unflushed},
    metrics::{
        Agent, AgentFacts, AgentLabel, BreakerState, CallDurations, CertificateExpiry,
        ConnectError, Handshake, Health, Label, Labels, ListenerCells, ListenerLabel, Registered,
        Reported, RouteCells, RouteLabel, TargetLabel, UpstreamCells, UpstreamLabel,
        UpstreamLabels,
    },
    otlp::EndpointError,
    served::Served,
    settings::{LogTarget, Otlp, Settings},
    trace::{Sampling, TraceContext},
    writer::{BATCHES_MAX as LOG_BATCHES_MAX, BYTES_MAX as LOG_BYTES_MAX, OpenError},
};
