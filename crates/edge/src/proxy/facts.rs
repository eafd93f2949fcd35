//! What becomes known of an exchange, for the record.

use std::{net::SocketAddr, time::Instant};

use selvedge_telemetry::{Timings, TraceContext};

/// Collected on the way and written at the end.
pub(crate) struct Facts {
    pub(crate) timings: Timings,
    pub(crate) trace: TraceContext,
    /// The client as it is believed to be.
    pub(crate) client: SocketAddr,
    /// Position of the route in the plan.
    pub(crate) route: Option<usize>,
    pub(crate) route_cached: bool,
    pub(crate) upstream: Option<UpstreamFacts>,
    pub(crate) status: Option<u16>,
    pub(crate) refused_by: Option<&'static str>,
    pub(crate) error: Option<String>,
    /// The agent that refused, by its position in the plan.
    pub(crate) blocked_by: Option<usize>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// What was asked of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamFacts {
    /// Position of the upstream in the plan.
    pub(crate) index: usize,
    /// Position of the last target tried.
    pub(crate) target: Option<usize>,
    pub(crate) attempts: u32,
    pub(crate) retry_reason: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) reused: bool,
}

impl Facts {
    pub(crate) fn new(timings: Timings, trace: TraceContext, client: SocketAddr) -> Self {
        Self {
            timings,
            trace,
            client,
            route: None,
            route_cached: false,
            upstream: None,
            status: None,
            refused_by: None,
            error: None,
            blocked_by: None,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// All of it, for an exchange that goes on elsewhere.
    pub(crate) fn take(&mut self) -> Self {
        let emptied = Self::new(self.timings, self.trace.clone(), self.client);
        std::mem::replace(self, emptied)
    }

    pub(crate) fn routed_now(&mut self) {
        self.timings.routed = Some(Instant::now());
    }

    /// Names who refused, and why.
    pub(crate) fn refuse(&mut self, code: &'static str, cause: Option<String>) {
        self.refused_by = Some(code);
        self.error = cause;
    }

    /// What is known of the upstream; created at the first question.
    pub(crate) fn upstream_mut(&mut self, index: usize) -> &mut UpstreamFacts {
        self.upstream.get_or_insert(UpstreamFacts {
            index,
            target: None,
            attempts: 0,
            retry_reason: None,
            status: None,
            reused: false,
        })
    }
}
