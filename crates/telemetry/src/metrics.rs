//! Counting on the request path: each core owns its cells, and a scrape sums them.
//!
//! A label is found once, when a config is loaded. What is recorded then needs no hash, no lock and
//! no locked instruction: one core writes a cell, and others only read it.

mod agent;
mod cell;
mod label;
mod process;
mod render;
mod reported;
mod tokens;

pub use agent::{Agent, AgentFacts, AgentLabel, CallDurations, Reported};
pub use label::{
    CoreCells, Label, Labels, ListenerCells, ListenerLabel, Registered, RouteCells, RouteLabel,
    TargetLabel, UpstreamCells, UpstreamLabel, UpstreamLabels,
};
pub(crate) use {
    cell::Counter,
    label::{ListenerGauge, UpstreamGauge},
    process::render as render_process,
    render::{Page, render},
    reported::render as render_reported,
};

use crate::exchange::{Exchange, Proxied};
use label::series_of;

/// State of the circuit breaker of an upstream or an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Requests pass.
    Closed = 0,
    /// Probes pass.
    HalfOpen = 1,
    /// Nothing passes.
    Open = 2,
}

/// Health of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Checks or ejection took it out.
    Unhealthy = 0,
    /// It takes requests.
    Healthy = 1,
}

/// Why a connection to a target did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody listens there, or the network said no.
    Refused,
    /// It took too long.
    Timeout,
    /// The name was not found.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// No pool slot came free in time.
    PoolFull,
    /// Anything else.
    Other,
}

impl ConnectError {
    const NAMES: [&'static str; 6] = ["refused", "timeout", "dns", "tls", "pool_full", "other"];
}

/// How a TLS handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A full handshake.
    Full,
    /// An earlier session was resumed.
    Resumed,
    /// None came about.
    Failed,
}

impl Handshake {
    const NAMES: [&'static str; 3] = ["full", "resumed", "failed"];
}

/// When a certificate in use ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// Listener that presents it.
    pub listener: String,
    /// Names it holds for, as an operator would recognise it.
    pub name: String,
    /// `notAfter`.
    pub not_after: std::time::SystemTime,
}

/// Counts one finished exchange into the cells of `core`.
pub(crate) fn count(core: usize, cells: &CoreCells, exchange: &Exchange<'_>, none: &RouteLabel) {
    let took = exchange.timings.total();
    let label = match exchange.route {
        Some(chosen) => {
            cells.route_cache[usize::from(chosen.cached)].add(1);
            chosen.route
        }
        None => none,
    };
    let route = label.cells(core);
    route.duration.record(took);
    route.bytes_in.add(exchange.bytes_in);
    route.bytes_out.add(exchange.bytes_out);
    let series = series_of(exchange.method, exchange.protocol, exchange.status);
    route.requests(exchange.listener)[series].add(1);
    if let Some(token) = exchange.refused_by {
        cells.refusals.add(token);
    }
    if let Some(proxied) = &exchange.upstream {
        count_upstream(core, proxied, exchange);
    }
}

fn count_upstream(core: usize, proxied: &Proxied<'_>, exchange: &Exchange<'_>) {
    let cells = proxied.upstream.cells(core);
    cells.requests[label::status_class(proxied.status)].add(1);
    cells.retries.add(u64::from(proxied.attempts.saturating_sub(1)));
    if proxied.reused {
        cells.reused.add(1);
    }
    if let (Some(start), Some(first)) =
        (exchange.timings.upstream_start, exchange.timings.upstream_first_byte)
    {
        cells.first_byte.record(first.saturating_duration_since(start));
    }
}
