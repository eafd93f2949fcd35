//! `route "id" { … }`.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use selvedge_base::{ByteSize, Secret};

use crate::{
    AGENTS_FIELD, Action, Agent, Code, Compress, Encoding, HeaderOp, Id, Matches, Rewrite, Route,
    RouteAgent, RouteLimits,
    action::{ActionPart, read_actions},
    address::id,
    agent::{Order, RouteAgentPart, read_route_agents, settle_route_agents},
    cursor::{Cursor, Switch},
    header_ops::read_header_ops,
    matches::read_matches,
    reading::{Problem, Reading},
    rewrite::read_rewrite,
    source::{Span, Spanned, sound},
    upstream_by::UpstreamByPart,
};

/// A route as written.
pub(crate) struct RoutePart {
    pub(crate) id: Option<Spanned<Id>>,
    span: Span,
    priority: Option<Spanned<i32>>,
    matches: Option<Matches>,
    agents: Vec<RouteAgentPart>,
    actions: Vec<ActionPart>,
    upstream_by: Option<UpstreamByPart>,
    rewrite: Option<(Span, Option<Rewrite>)>,
    request_headers: Option<(Span, Vec<HeaderOp>)>,
    response_headers: Option<(Span, Vec<HeaderOp>)>,
    limits: LimitsPart,
    compress: Option<Switch<CompressPart>>,
    /// An action may be among the nodes that nobody knows: its name is misspelt.
    pub(crate) has_unknown: bool,
}

#[derive(Default)]
struct LimitsPart {
    body: Option<Spanned<ByteSize>>,
    in_flight: Option<Spanned<usize>>,
}

struct CompressPart {
    min: Option<Spanned<ByteSize>>,
    encodings: Option<Vec<Encoding>>,
}

/// Largest request body where a route does not say.
const BODY_DEFAULT: ByteSize = ByteSize::mib(10);

/// Any size that a 64-bit number holds.
pub(crate) const ANY_SIZE: RangeInclusive<ByteSize> = ByteSize(0)..=ByteSize(u64::MAX);

impl RoutePart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            span: cursor.span(),
            priority: cursor.setting("priority", |v| v.integer(-1_000_000..=1_000_000)),
            matches: cursor.child("matches", read_matches),
            agents: read_route_agents(cursor),
            actions: read_actions(cursor),
            upstream_by: cursor.child("upstream-by", UpstreamByPart::read),
            rewrite: cursor.child("rewrite", |c| (c.span(), read_rewrite(c))),
            request_headers: cursor
                .child("request-headers", |c| (c.span(), read_header_ops(c, true))),
            response_headers: cursor
                .child("response-headers", |c| (c.span(), read_header_ops(c, false))),
            limits: cursor.child("limits", LimitsPart::read).unwrap_or_default(),
            compress: cursor.switch("compress", CompressPart::read),
            has_unknown: cursor.has_unread(),
        }
    }

    /// The upstreams that it names, and where.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Spanned<Id>> {
        let by_value = self.upstream_by.iter().flat_map(UpstreamByPart::upstreams);
        self.actions.iter().filter_map(ActionPart::upstream).take(1).chain(by_value)
    }

    /// Where it says that it leads to the core, if it does.
    pub(crate) fn core(&self) -> Option<Span> {
        self.actions.iter().find(|action| action.is_core()).map(|action| action.span)
    }

    pub(crate) fn agents(&self) -> &[RouteAgentPart] {
        &self.agents
    }

    pub(crate) fn upstream_by(&self) -> Option<&UpstreamByPart> {
        self.upstream_by.as_ref()
    }

    /// Largest request body.
    pub(crate) fn body_max(&self) -> ByteSize {
        self.limits.body.as_ref().map_or(BODY_DEFAULT, |body| body.value)
    }

    pub(crate) fn settle(
        self,
        reading: &Reading<'_>,
        agents: (&BTreeMap<Id, Arc<Agent>>, &Order),
    ) -> Option<Arc<Route>> {
        let Self {
            id,
            span,
            priority,
            matches,
            agents: asked,
            actions,
            upstream_by,
            rewrite,
            request_headers,
            response_headers,
            limits,
            compress,
            has_unknown,
        } = self;
        let upstream_only = [
            rewrite.as_ref().map(|(span, _)| ("rewrite", *span)),
            request_headers.as_ref().map(|(span, _)| ("request-headers", *span)),
            upstream_by.as_ref().map(|part| ("upstream-by", part.span)),
        ];
        if actions.is_empty() && !has_unknown {
            refuse_idle(reading, span);
        }
        let is_core = actions.iter().any(ActionPart::is_core);
        if let (true, Some(by)) = (is_core, &upstream_by) {
            refuse_choice(reading, by.span);
        }
        let action = only_action(reading, actions);
        if action.as_ref().is_some_and(|action| !matches!(action, Action::Upstream(_))) {
            for (name, span) in upstream_only.into_iter().flatten() {
                refuse_without_upstream(reading, name, span);
            }
        }
        let id = id?.value;
        let scope = format!("route {id:?}");
        let by_id = agents.0;
        let agents = settle_route_agents(reading, asked, agents);
        let mut request_headers = request_headers.map(|(_, ops)| ops).unwrap_or_default();
        if is_core {
            request_headers.push(vouchers(&agents, by_id));
        }
        Some(Arc::new(Route {
            priority: priority.map_or(0, |priority| priority.value),
            matches: matches.unwrap_or_default(),
            agents,
            action: action?,
            upstream_by: sound(upstream_by.map(UpstreamByPart::settle))?,
            rewrite: sound(rewrite.map(|(_, rewrite)| rewrite))?,
            request_headers,
            response_headers: response_headers.map(|(_, ops)| ops).unwrap_or_default(),
            limits: limits.settle(reading, &scope),
            compress: match compress {
                Some(Switch::On(part)) => Some(part.settle()),
                Some(Switch::Off) | None => None,
            },
            origin: reading.origin(span),
            id,
        }))
    }
}

fn refuse_idle(reading: &Reading<'_>, span: Span) {
    let problem = Problem::new(Code::Action, "this route does nothing with its requests");
    let help =
        "add one of `upstream \"…\"`, `core`, `static \"…\"`, `redirect \"…\"`, `respond 200`";
    reading.error(span, problem.help(help));
}

/// What goes to the core is sealed for it, and must not reach another.
fn refuse_choice(reading: &Reading<'_>, span: Span) {
    let problem =
        Problem::new(Code::Conflict, "`upstream-by` cannot choose for a route of the core");
    reading.error(span, problem.help("remove it, or write a route of its own"));
}

/// Tells the core which agents were asked who the caller is.
fn vouchers(asked: &[RouteAgent], agents: &BTreeMap<Id, Arc<Agent>>) -> HeaderOp {
    let names = asked.iter().filter_map(|asked| agents.get(&asked.id));
    let names = names.filter(|agent| !agent.identity_headers.is_empty());
    let names: Vec<&str> = names.map(|agent| &*agent.id).collect();
    match names.is_empty() {
        true => HeaderOp::Remove(AGENTS_FIELD.to_owned()),
        false => HeaderOp::Set(AGENTS_FIELD.to_owned(), Secret::new(names.join(" "))),
    }
}

fn only_action(reading: &Reading<'_>, actions: Vec<ActionPart>) -> Option<Action> {
    let mut actions = actions.into_iter();
    let first = actions.next()?;
    for more in actions {
        let problem = Problem::new(Code::Action, "this route has a second action")
            .note("the first is here", first.span)
            .help("keep one, or write a second route with its own `matches`");
        reading.error(more.span, problem);
    }
    first.settle()
}

fn refuse_without_upstream(reading: &Reading<'_>, name: &str, span: Span) {
    let message = format!("`{name}` has no effect: this route's requests go to no upstream");
    reading.error(span, Problem::new(Code::Conflict, message).help("remove it"));
}

impl LimitsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            body: cursor.setting("body", |value| value.size(ANY_SIZE)),
            in_flight: cursor.setting("in-flight", |value| value.count(1..=10_000_000)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> RouteLimits {
        let Self { body, in_flight } = self;
        RouteLimits {
            body: reading.settle(scope, "limits body", body, BODY_DEFAULT),
            in_flight: reading.settle_optional(scope, "limits in-flight", in_flight),
        }
    }
}

impl CompressPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            min: cursor.setting("min", |value| value.size(ANY_SIZE)),
            encodings: cursor.child("encodings", read_encodings),
        }
    }

    fn settle(self) -> Compress {
        let Self { min, encodings } = self;
        let all = || vec![Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];
        Compress {
            min: min.map_or(ByteSize::kib(1), |min| min.value),
            encodings: encodings.unwrap_or_else(all),
        }
    }
}

fn read_encodings(cursor: &mut Cursor<'_>) -> Vec<Encoding> {
    let choices = [("zstd", Encoding::Zstd), ("br", Encoding::Brotli), ("gzip", Encoding::Gzip)];
    let mut encodings = Vec::new();
    for value in cursor.arguments("\"zstd\", \"br\" or \"gzip\"") {
        let Some(Spanned { value: encoding, span }) = value.word(&choices) else { continue };
        if encodings.contains(&encoding) {
            let problem = Problem::new(Code::Repeated, "this encoding is there already");
            cursor.reading().error(span, problem.help("remove it"));
        }
        encodings.push(encoding);
    }
    encodings
}
