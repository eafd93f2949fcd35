//! `agent "id" { … }`.

mod order;
mod process;
mod program;
mod references;
mod route;
mod settings;
mod wire;

pub mod auth;
pub mod bridge;
pub mod rate_limit;
pub mod schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use selvedge_base::{ByteSize, Secret};

use self::{
    auth::part::{AuthPart, ROLE_HEADER, USER_HEADER, identity_header},
    bridge::part::Frame,
    process::ProcessPart,
    program::{ProgramPart, Way, only_program, read_programs},
    rate_limit::part::RateLimitPart,
    schema::part::SchemaPart,
    settings::read_settings,
};
pub(crate) use self::{
    order::Order,
    references::{AGENTS_MAX, References, check_references, export_claims},
    route::{RouteAgentPart, read_route_agents, settle_route_agents},
};
use crate::{
    Agent, AgentEvent, AgentProgram, AgentSettings, Code, FailureMode, Id, OwnKind,
    address::id,
    breaker::{BreakerPart, millis},
    cursor::Cursor,
    reading::{Problem, Reading, did_you_mean, one_of},
    source::{Span, Spanned},
};

/// Most that an agent may inspect of a body: it is held in memory, once for each call.
const BODY_MAX: ByteSize = ByteSize::mib(64);

/// Words of `type` for agents of Selvedge's own.
const OWN_KINDS: [(&str, OwnKind); 4] = [
    ("auth", OwnKind::Auth),
    ("rate-limit", OwnKind::RateLimit),
    ("schema", OwnKind::Schema),
    ("waf", OwnKind::Waf),
];

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

/// The settings of one kind.
enum SettingsPart {
    Auth(Box<AuthPart>),
    RateLimit(RateLimitPart),
    Schema(Box<SchemaPart>),
    Waf,
    /// Outer: written at all; inner: understood.
    Foreign(Option<Option<Secret>>),
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
        let breaker = breaker.settle(reading, &scope);
        let home = Home { span, scope: &scope, body_max, timeout, events, process };
        let (program, settings, events) = home.settle(reading, (program, settings?))?;
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

impl SettingsPart {
    fn read(
        cursor: &mut Cursor<'_>,
        (kind, programs): (Option<&Spanned<Id>>, &[ProgramPart]),
    ) -> Option<Self> {
        let own = match programs.is_empty() {
            true => kind.and_then(|kind| own_kind(cursor.reading(), kind)),
            false => None,
        };
        let part = match own {
            Some(OwnKind::Auth) => Some(Self::Auth(Box::new(AuthPart::read(cursor)))),
            Some(OwnKind::RateLimit) => Some(Self::RateLimit(RateLimitPart::read(cursor))),
            Some(OwnKind::Schema) => Some(Self::Schema(Box::new(SchemaPart::read(cursor)))),
            Some(OwnKind::Waf | OwnKind::Bridge) => Some(Self::Waf),
            None if programs.is_empty() => None,
            None => Some(Self::Foreign(read_foreign(cursor, programs))),
        };
        refuse_nodes_of_others(cursor, part.as_ref());
        part
    }

    fn settle(
        self,
        reading: &Reading<'_>,
        (scope, id, body_max): (&str, &Id, ByteSize),
    ) -> Option<AgentSettings> {
        Some(match self {
            Self::Auth(part) => AgentSettings::Auth(part.settle(reading, (scope, id))?),
            Self::RateLimit(part) => AgentSettings::RateLimit(part.settle(reading, scope)?),
            Self::Schema(part) => AgentSettings::Schema(part.settle(reading, (scope, body_max))?),
            Self::Waf => AgentSettings::Waf,
            Self::Foreign(None) => AgentSettings::Foreign(Secret::new("{}")),
            Self::Foreign(Some(settings)) => AgentSettings::Foreign(settings?),
        })
    }
}

fn own_kind(reading: &Reading<'_>, kind: &Spanned<Id>) -> Option<OwnKind> {
    let found = OWN_KINDS.iter().find(|(word, _)| *word == kind.value.as_ref());
    if found.is_none() {
        let message = format!("Selvedge has no agent of type `{}`", kind.value);
        let words = || OWN_KINDS.iter().map(|(word, _)| *word);
        let help = did_you_mean(&kind.value, words()).unwrap_or_else(|| {
            format!(
                "it is one of {}; one of somebody else's says where it runs by `command`, \
                 `address`, `grpc` or `http`",
                one_of(words())
            )
        });
        reading.error(kind.span, Problem::new(Code::UnknownWord, message).help(help));
    }
    found.map(|(_, kind)| *kind)
}

/// `settings { … }`, which programs have and services do not.
fn read_foreign(cursor: &mut Cursor<'_>, programs: &[ProgramPart]) -> Option<Option<Secret>> {
    let is_service = programs.iter().any(|program| matches!(program.way, Some(Way::Service(_))));
    if !is_service {
        return cursor.child("settings", read_settings);
    }
    if let Some(span) = cursor.skip("settings") {
        let message =
            "`settings` cannot be told to this service: its protocol has no place for them";
        let help = "remove them; `metadata \"name\" \"value\"` in `grpc { }` goes with each call";
        cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
    }
    None
}

/// An error for each node that belongs to agents of another kind.
fn refuse_nodes_of_others(cursor: &mut Cursor<'_>, part: Option<&SettingsPart>) {
    let own = match part {
        Some(SettingsPart::Auth(_)) => "auth",
        Some(SettingsPart::RateLimit(_)) => "rate-limit",
        Some(SettingsPart::Schema(_)) => "schema",
        Some(SettingsPart::Waf | SettingsPart::Foreign(_)) | None => "",
    };
    let kinds: [(&str, &[&str]); 3] = [
        ("auth", &auth::part::NODES),
        ("rate-limit", &rate_limit::part::NODES),
        ("schema", &schema::part::NODES),
    ];
    for (kind, nodes) in kinds.into_iter().filter(|(kind, _)| *kind != own) {
        for node in nodes {
            let span = cursor.skip(node);
            // Of a kind that is none, nothing more can be said.
            let Some(span) = span.filter(|_| part.is_some()) else { continue };
            let message = format!("`{node}` is for Selvedge's own agents of type `{kind}`");
            let help = match part {
                Some(SettingsPart::Foreign(_)) => "remove it; this agent runs elsewhere",
                _ => "remove it, or write it into an agent of that type",
            };
            cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
        }
    }
    let is_own = !matches!(part, Some(SettingsPart::Foreign(_)));
    if let Some(span) = if is_own { cursor.skip("settings") } else { None }
        && part.is_some()
    {
        let message = "`settings` are for agents of others; this one has nodes of its own";
        let help = "write them into the agent's block itself";
        cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
    }
}

/// How long an agent may have to think, and on how much at once.
#[derive(Default)]
struct Waits {
    /// Longest wait that its settings promise, and longest question of its own to others.
    delay: Duration,
    question: Duration,
    queue: usize,
}

impl Waits {
    fn of(settings: &AgentSettings) -> Self {
        let AgentSettings::RateLimit(settings) = settings else { return Self::default() };
        let delays = || settings.policies.iter().filter_map(|policy| policy.delay.as_ref());
        Self {
            delay: delays().map(|delay| delay.max).max().unwrap_or_default(),
            question: match &settings.store {
                rate_limit::Store::Redis(redis) => redis.timeout,
                rate_limit::Store::Local => Duration::ZERO,
            },
            queue: delays().map(|delay| delay.queue).sum(),
        }
    }

    fn timeout(
        &self,
        reading: &Reading<'_>,
        scope: &str,
        written: Option<Spanned<Duration>>,
    ) -> Duration {
        let longest = self.delay + self.question;
        if let Some(short) = written.as_ref().filter(|written| written.value <= longest) {
            let message = "requests may wait here for longer: this ends them as failures";
            let help =
                "raise `timeout-ms` above the longest `delay` and the store's `timeout` together";
            reading.error(short.span, Problem::new(Code::Conflict, message).help(help));
        }
        let default = self.delay + Duration::from_millis(100).max(self.question * 2);
        reading.settle(scope, "timeout-ms", written, default)
    }

    fn concurrency(
        &self,
        reading: &Reading<'_>,
        scope: &str,
        written: Option<Spanned<usize>>,
    ) -> usize {
        if let Some(few) = written.as_ref().filter(|written| written.value <= self.queue) {
            let message = format!("{} requests may wait in this agent's queues alone", self.queue);
            let help = "raise `max-concurrent-calls` above that, or lower `queue`";
            reading.error(few.span, Problem::new(Code::Conflict, message).help(help));
        }
        reading.settle(scope, "max-concurrent-calls", written, 100 + self.queue)
    }
}

/// What decides where an agent runs, and about what it is asked.
struct Home<'s> {
    span: Span,
    scope: &'s str,
    body_max: ByteSize,
    timeout: Duration,
    events: Option<Vec<Spanned<AgentEvent>>>,
    process: ProcessPart,
}

type Settled = (AgentProgram, AgentSettings, Vec<AgentEvent>);

impl Home<'_> {
    fn settle(
        self,
        reading: &Reading<'_>,
        (program, settings): (Option<ProgramPart>, AgentSettings),
    ) -> Option<Settled> {
        match program {
            None => Some(self.settle_own(reading, settings)),
            Some(program) => self.settle_foreign(reading, (program.way?, settings)),
        }
    }

    fn settle_own(self, reading: &Reading<'_>, settings: AgentSettings) -> Settled {
        let (kind, needed, files) = match &settings {
            AgentSettings::Auth(auth) => (OwnKind::Auth, auth.events(), auth.files()),
            AgentSettings::RateLimit(limit) => (OwnKind::RateLimit, limit.events(), limit.files()),
            AgentSettings::Schema(schema) => (OwnKind::Schema, schema.events(), schema.files()),
            AgentSettings::Waf | AgentSettings::Bridge(_) | AgentSettings::Foreign(_) => {
                (OwnKind::Waf, AgentEvent::ALL[..4].to_vec(), Vec::new())
            }
        };
        let Self { span, scope, events, process, .. } = self;
        if let Some(events) = events.filter(|_| kind != OwnKind::Waf) {
            check_own_events(reading, (span, kind), (&events, &needed));
        }
        let process = process.settle(reading, scope, &files);
        (AgentProgram::Own(kind, process), settings, needed)
    }

    fn settle_foreign(
        self,
        reading: &Reading<'_>,
        (way, settings): (Way, AgentSettings),
    ) -> Option<Settled> {
        let Self { span: _, scope, body_max, timeout, events, process } = self;
        Some(match way {
            Way::Command { program, arguments } => {
                let process = process.settle(reading, scope, &[]);
                let program = AgentProgram::Command { program, arguments, process };
                (program, settings, written_events(events, &AgentEvent::ALL))
            }
            Way::Address(path) => {
                process.refuse(reading);
                let events = written_events(events, &AgentEvent::ALL);
                (AgentProgram::Address(path), settings, events)
            }
            Way::Service(service) => {
                check_service_events(reading, events.as_deref(), service.events());
                let events = written_events(events, &[AgentEvent::RequestHeaders]);
                let frame = Frame { events: events.clone(), timeout, body_max };
                let settings = service.settle(reading, frame);
                let files: Vec<PathBuf> = settings.ca.iter().cloned().collect();
                let process = process.settle(reading, scope, &files);
                let program = AgentProgram::Own(OwnKind::Bridge, process);
                (program, AgentSettings::Bridge(settings), events)
            }
        })
    }
}

fn written_events(
    written: Option<Vec<Spanned<AgentEvent>>>,
    default: &[AgentEvent],
) -> Vec<AgentEvent> {
    let Some(written) = written else { return default.to_vec() };
    let events: BTreeSet<AgentEvent> = written.into_iter().map(|event| event.value).collect();
    events.into_iter().collect()
}

/// One of our own knows what it needs: less would switch it off in part, more would be in vain.
fn check_own_events(
    reading: &Reading<'_>,
    (span, kind): (Span, OwnKind),
    (written, needed): (&[Spanned<AgentEvent>], &[AgentEvent]),
) {
    let names = || one_of(needed.iter().map(|event| event.as_str())).replace(" or ", " and ");
    for surplus in written.iter().filter(|event| !needed.contains(&event.value)) {
        let message = format!(
            "an agent of type `{}` with these settings has no use for `{}`",
            kind.as_str(),
            surplus.value
        );
        let problem = Problem::new(Code::Conflict, message);
        reading.error(surplus.span, problem.help(format!("it is asked about {}", names())));
    }
    let is_written = |event: &&AgentEvent| written.iter().any(|other| other.value == **event);
    if let Some(missing) = needed.iter().find(|event| !is_written(event)) {
        let message = format!("without `{missing}` this agent cannot do what its settings say");
        let help = format!("leave `events` out: it is asked about {}", names());
        reading.error(span, Problem::new(Code::Conflict, message).help(help));
    }
}

fn check_service_events(
    reading: &Reading<'_>,
    written: Option<&[Spanned<AgentEvent>]>,
    known: &[AgentEvent],
) {
    for unknown in written.into_iter().flatten().filter(|event| !known.contains(&event.value)) {
        let message = format!("the protocol of this service has no `{}`", unknown.value);
        let help = format!("it knows {}", one_of(known.iter().map(|event| event.as_str())));
        reading.error(unknown.span, Problem::new(Code::Conflict, message).help(help));
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
