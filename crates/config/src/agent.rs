//! `agent "id" { … }`.

use std::{sync::Arc, time::Duration};

use crate::{
    Agent, Code, FailureMode, Id,
    address::id,
    breaker::{BreakerPart, millis},
    cursor::Cursor,
    http::base_url,
    reading::{Problem, Reading},
    source::{Spanned, sound},
};

/// An agent as written.
pub(crate) struct AgentPart {
    pub(crate) id: Option<Spanned<Id>>,
    kind: Option<Spanned<Id>>,
    grpc: Option<Option<Spanned<String>>>,
    events: Option<Vec<String>>,
    timeout: Option<Spanned<Duration>>,
    failure_mode: Option<Spanned<FailureMode>>,
    concurrency: Option<Spanned<usize>>,
    breaker: BreakerPart,
}

/// Events an agent can be asked about.
const EVENTS: [&str; 4] = ["request_headers", "request_body", "response_headers", "response_body"];

impl AgentPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let modes = [("open", FailureMode::Open), ("closed", FailureMode::Closed)];
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            kind: cursor.required("type", "type \"auth\"", |value| value.literal(id)),
            grpc: cursor.child("grpc", read_grpc),
            events: cursor.child("events", read_events),
            timeout: cursor.setting("timeout-ms", |value| {
                let Spanned { value, span } = value.integer(1..=600_000_u32)?;
                Some(millis(value, span))
            }),
            failure_mode: cursor.setting("failure-mode", |value| value.word(&modes)),
            concurrency: cursor.setting("max-concurrent-calls", |v| v.count(1..=1_000_000)),
            breaker: cursor.child("circuit-breaker", BreakerPart::read).unwrap_or_default(),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<Arc<Agent>> {
        let Self { id, kind, grpc, events, timeout, failure_mode, concurrency, breaker } = self;
        let id = id?.value;
        let scope = format!("agent {id:?}");
        let millis_100 = Duration::from_millis(100);
        let timeout = reading.settle(&scope, "timeout-ms", timeout, millis_100);
        let concurrency = reading.settle(&scope, "max-concurrent-calls", concurrency, 100);
        Some(Arc::new(Agent {
            kind: kind?.value.to_string(),
            grpc: sound(grpc)?.map(|address| address.value),
            events: events.unwrap_or_else(|| vec![EVENTS[0].to_owned()]),
            timeout,
            failure_mode: failure_mode.map_or(FailureMode::Closed, |mode| mode.value),
            concurrency,
            breaker: breaker.settle(reading, &scope),
            id,
        }))
    }
}

fn read_grpc(cursor: &mut Cursor<'_>) -> Option<Spanned<String>> {
    let address = cursor.property("address");
    if address.is_none() {
        let problem = Problem::new(Code::Missing, "`grpc` needs an address");
        cursor.error(problem.help("write `grpc address=\"http://localhost:50051\"`"));
    }
    address.and_then(|value| value.parse(base_url))
}

fn read_events(cursor: &mut Cursor<'_>) -> Vec<String> {
    let choices = EVENTS.map(|event| (event, event));
    let arguments = cursor.arguments("events such as \"request_headers\"");
    let events = arguments.into_iter().filter_map(|value| value.word(&choices));
    events.map(|event| event.value.to_owned()).collect()
}
