//! `agent "id" { … }`.

mod home;
mod kind;
mod options;
mod order;
mod process;
mod program;
mod references;
mod route;
mod settings;
mod waits;
mod wire;

pub mod auth;
pub mod bridge;
pub mod rate_limit;
pub mod schema;
pub mod waf;

use std::{collections::BTreeSet, time::Duration};

use selvedge_base::ByteSize;

use self::{
    auth::part::{ROLE_HEADER, USER_HEADER, identity_header},
    home::Home,
    kind::SettingsPart,
    process::ProcessPart,
    program::{ProgramPart, Way, only_program, read_programs},
    waits::Waits,
};
pub(crate) use self::{
    order::Order,
    references::{AGENTS_MAX, References, check_references, export_claims},
    route::{RouteAgentPart, read_route_agents, settle_route_agents},
};
use crate::{
    Agent, AgentEvent, AgentSettings, Code, FailureMode, Id,
    address::id,
    breaker::{BreakerPart, millis},
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned},
};

/// Most that an agent may inspect of a body: it is held in memory, once for each call.
const BODY_MAX: ByteSize = ByteSize::mib(64);
/// Most bytes of settings that an agent is told: they travel in one frame.
const SETTINGS_MAX: usize = 512 << 10;

/// An agent as written.
pub(crate) struct AgentPart {
    pub(crate) id: Option<Spanned<Id>>,
    span: Span,
    kind: Option<Spanned<Id>>,
    programs: Vec<ProgramPart>,
    /// `None`: nothing can be said of them, for the type is wrong.
    settings: Option<SettingsPart>,
    events: Option<Vec<Spanned<AgentEvent>>>,
    timeout: Option<Spanned<Duration>>,
    failure_mode: Option<Spanned<FailureMode>>,
    concurrency: Option<Spanned<usize>>,
    breaker: BreakerPart,
    body_max: Option<Spanned<ByteSize>>,
    after: Vec<Spanned<Id>>,
    identity_headers: Option<Vec<String>>,
    process: ProcessPart,
}

impl AgentPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let modes = [("open", FailureMode::Open), ("closed", FailureMode::Closed)];
        let id = cursor.argument("an id").and_then(|value| value.literal(id));
        let kind = cursor.required("type", "type \"auth\"", |v| v.literal(crate::address::id));
        let programs = read_programs(cursor);
        Self {
            id,
            span: cursor.span(),
            settings: SettingsPart::read(cursor, (kind.as_ref(), &programs)),
            kind,
            programs,
            events: cursor.child("events", read_events),
            timeout: cursor.setting("timeout-ms", |value| {
                let Spanned { value, span } = value.integer(1..=600_000_u32)?;
                Some(millis(value, span))
            }),
            failure_mode: cursor.setting("failure-mode", |value| value.word(&modes)),
            concurrency: cursor.setting("max-concurrent-calls", |v| v.count(1..=1_000_000)),
            breaker: cursor.child("circuit-breaker", BreakerPart::read).unwrap_or_default(),
            body_max: cursor.setting("body-max", |value| value.size(ByteSize(1)..=BODY_MAX)),
            after: cursor.child("after", read_after).unwrap_or_default(),
            identity_headers: cursor.child("identity-headers", read_identity_headers),
            process: ProcessPart::read(cursor),
        }
    }

    /// Request fields that only this agent may set; before anything is settled.
    fn identity_headers(&self) -> BTreeSet<String> {
        let is_auth = self.kind.as_ref().is_some_and(|kind| kind.value.as_ref() == "auth");
        let usual: &[&str] = if is_auth { &[USER_HEADER, ROLE_HEADER] } else { &[] };
        let mut headers: BTreeSet<String> = match &self.identity_headers {
            Some(written) => written.iter().cloned().collect(),
            None => usual.iter().map(|name| (*name).to_owned()).collect(),
        };
        if let Some(SettingsPart::Auth(auth)) = &self.settings {
            headers.extend(auth.identity_headers());
        }
        let ways = self.programs.iter().filter_map(|program| program.way.as_ref());
        for way in ways {
            if let Way::Service(service) = way {
                headers.extend(service.identity_headers());
            }
        }
        headers
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<Agent> {
        let identity_headers = self.identity_headers().into_iter().collect();
        let Self {
            id,
            span,
            kind,
            programs,
            settings,
            events,
            timeout,
            failure_mode,
            concurrency,
            breaker,
            body_max,
            after,
            identity_headers: _,
            process,
        } = self;
        let program = only_program(reading, programs);
        let (id, kind) = (id?.value, kind?);
        let scope = format!("agent {id:?}");
        warn_if_auth_opens(reading, &kind.value, failure_mode.as_ref());
        let body_max = reading.settle(&scope, "body-max", body_max, ByteSize::kib(128));
        let settings = settings?.settle(reading, (&scope, &id, body_max));
        let waits = settings.as_ref().map(Waits::of).unwrap_or_default();
        let timeout = waits.timeout(reading, &scope, timeout);
        let concurrency = waits.concurrency(reading, &scope, concurrency);
        // A probe costs one call, and an agent that is well again should not be missed for long.
        let breaker = breaker.settle(reading, &scope, Duration::from_secs(1));
        let home = Home { span, scope: &scope, body_max, timeout, events, process };
        let (program, settings, events) = home.settle(reading, (program, settings?))?;
        refuse_large_settings(reading, span, &settings);
        Some(Agent {
            id,
            kind: kind.value.to_string(),
            program,
            settings,
            events,
            timeout,
            failure_mode: failure_mode.map_or(FailureMode::Closed, |mode| mode.value),
            concurrency,
            breaker,
            body_max,
            after: after.into_iter().map(|id| id.value).collect(),
            identity_headers,
        })
    }
}

fn refuse_large_settings(reading: &Reading<'_>, span: Span, settings: &AgentSettings) {
    let size = settings.to_json().len();
    if size > SETTINGS_MAX {
        let message = format!("the settings of this agent are {} KiB as JSON", size >> 10);
        let problem = Problem::new(Code::TooLarge, message);
        let help = format!("at most {} KiB; name a file for it to read", SETTINGS_MAX >> 10);
        reading.error(span, problem.help(help));
    }
}

fn warn_if_auth_opens(reading: &Reading<'_>, kind: &str, mode: Option<&Spanned<FailureMode>>) {
    let open = mode.filter(|mode| mode.value == FailureMode::Open && kind == "auth");
    if let Some(open) = open {
        let message = "while this agent does not answer, everybody passes";
        let help = "write \"closed\", or leave it out";
        reading.warning(Some(open.span), Problem::new(Code::FailsOpen, message).help(help));
    }
}

fn read_events(cursor: &mut Cursor<'_>) -> Vec<Spanned<AgentEvent>> {
    let choices = AgentEvent::ALL.map(|event| (event.as_str(), event));
    let mut events: Vec<Spanned<AgentEvent>> = Vec::new();
    for value in cursor.arguments("events such as \"request_headers\"") {
        let Some(event) = value.word(&choices) else { continue };
        if events.iter().any(|other| other.value == event.value) {
            let problem = Problem::new(Code::Repeated, "this event is there already");
            cursor.reading().error(event.span, problem.help("remove it"));
        }
        events.push(event);
    }
    events
}

fn read_after(cursor: &mut Cursor<'_>) -> Vec<Spanned<Id>> {
    let arguments = cursor.arguments("ids of agents");
    arguments.into_iter().filter_map(|value| value.literal(id)).collect()
}

fn read_identity_headers(cursor: &mut Cursor<'_>) -> Vec<String> {
    let arguments = cursor.arguments("names of headers such as \"X-User-Id\"");
    let names = arguments.into_iter().filter_map(|value| value.parse(identity_header));
    names.map(|name| name.value).collect()
}
