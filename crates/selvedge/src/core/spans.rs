//! What traces show of the core: a span for each request, below that of the edge which sent it.

use std::time::{Instant, SystemTime};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response},
};
use selvedge_telemetry::{Hub, Served, Timings, TraceContext};

use super::{callers::Door, kept::keep};

/// A request whose trace is recorded; told when this is dropped: with the last byte of its answer, or when nobody waits
/// for one any more.
pub(super) struct Recording {
    hub: Hub,
    trace: TraceContext,
    timings: Timings,
    method: Method,
    path: String,
    route: String,
    door: Door,
    status: Option<u16>,
}

impl Recording {
    /// Begins one, unless nobody records the trace. `route` says what will answer.
    pub(super) fn begin<B>(
        hub: &Hub,
        request: &Request<B>,
        (route, door): (&str, Door),
    ) -> Option<Self> {
        let fields = request.headers();
        let trace = hub.trace(values(fields, "traceparent"), values(fields, "tracestate"));
        trace.is_recorded().then(|| Self {
            hub: hub.clone(),
            trace,
            timings: Timings::new(Instant::now(), SystemTime::now()),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: route.to_owned(),
            door,
            status: None,
        })
    }

    /// Goes with the answer until it has gone.
    pub(super) fn follow(mut self, response: Response<Body>) -> Response<Body> {
        self.status = Some(response.status().as_u16());
        keep(response, self)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.timings.done = Instant::now();
        let Self { hub, trace, timings, method, path, route, door, status } = self;
        hub.record(&Served {
            trace,
            timings,
            method: method.as_str().as_bytes(),
            path: path.as_bytes(),
            route,
            status: *status,
            facts: &[("selvedge.door", door.name())],
        });
    }
}

fn values<'f>(fields: &'f HeaderMap, name: &str) -> impl Iterator<Item = &'f [u8]> {
    fields.get_all(name).into_iter().map(|value| value.as_bytes())
}
