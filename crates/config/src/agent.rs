//! `agent "id" { … }`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    Agent, AgentEvent, AgentProcess, AgentProgram, AgentSettings, Code, FailureMode, Id, OwnKind,
    Restart, Sandbox,
    address::id,
    breaker::{BreakerPart, millis},
    cursor::Cursor,
    http::base_url,
    reading::{Problem, Reading},
    source::{Spanned, sound},
};

pub mod auth;
pub mod bridge;
pub mod rate_limit;
pub mod schema;
mod wire;

/// An agent as written.
pub(crate) struct AgentPart {
    pub(crate) id: Option<Spanned<Id>>,
    kind: Option<Spanned<Id>>,
    grpc: Option<Option<Spanned<String>>>,
    events: Option<Vec<AgentEvent>>,
    timeout: Option<Spanned<Duration>>,
    failure_mode: Option<Spanned<FailureMode>>,
    concurrency: Option<Spanned<usize>>,
    breaker: BreakerPart,
}

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
        let events = events.unwrap_or_else(|| AgentEvent::ALL.to_vec());
        let body_max = ByteSize::kib(128);
        let process = AgentProcess {
            threads: 1,
            sandbox: Sandbox {
                memory: ByteSize::mib(256),
                descriptors: 256,
                landlock: true,
                seccomp: true,
                read: Vec::new(),
                write: Vec::new(),
            },
            restart: Restart {
                backoff: Duration::from_millis(100),
                backoff_max: Duration::from_secs(10),
            },
        };
        let (program, settings) = match sound(grpc)? {
            Some(address) => {
                let service = bridge::Service::Grpc(bridge::Grpc {
                    address: address.value,
                    protocol: bridge::GrpcProtocol::ExtProc,
                    metadata: Vec::new(),
                });
                let settings = bridge::Settings {
                    service,
                    events: events.clone(),
                    timeout,
                    body_max,
                    ca: None,
                };
                (AgentProgram::Own(OwnKind::Bridge, process), AgentSettings::Bridge(settings))
            }
            None => (AgentProgram::Own(OwnKind::Waf, process), AgentSettings::Waf),
        };
        Some(Arc::new(Agent {
            kind: kind?.value.to_string(),
            program,
            settings,
            events,
            timeout,
            failure_mode: failure_mode.map_or(FailureMode::Closed, |mode| mode.value),
            concurrency,
            breaker: breaker.settle(reading, &scope),
            body_max,
            after: Vec::new(),
            identity_headers: Vec::new(),
            id,
        }))
    }
}

/// The items of a list in an option of a route.
fn listed(option: Option<&str>, separator: char) -> Vec<String> {
    option.into_iter().flat_map(|list| list.split(separator)).map(str::to_owned).collect()
}

/// The options that say something.
fn written<const N: usize>(options: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    let written = options.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    written.collect()
}

fn read_grpc(cursor: &mut Cursor<'_>) -> Option<Spanned<String>> {
    let address = cursor.property("address");
    if address.is_none() {
        let problem = Problem::new(Code::Missing, "`grpc` needs an address");
        cursor.error(problem.help("write `grpc address=\"http://localhost:50051\"`"));
    }
    address.and_then(|value| value.parse(base_url))
}

fn read_events(cursor: &mut Cursor<'_>) -> Vec<AgentEvent> {
    let choices = AgentEvent::ALL.map(|event| (event.as_str(), event));
    let arguments = cursor.arguments("events such as \"request_headers\"");
    arguments.into_iter().filter_map(|value| value.word(&choices)).map(|one| one.value).collect()
}
