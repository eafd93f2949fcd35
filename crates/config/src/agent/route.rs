//! What a route says of its agents: `agents "a" "b"` and `agent "a" failure-mode="open" { … }`.

use std::{collections::BTreeMap, sync::Arc};

use super::{Order, auth, rate_limit, schema, warn_if_auth_opens};
use crate::{
    Agent, AgentSettings, Code, FailureMode, Id, RouteAgent,
    address::id,
    cursor::Cursor,
    reading::{Problem, Reading, did_you_mean, one_of},
    source::{Span, Spanned},
    value::{Checked, Plain},
};

/// Most agents that one route asks.
const AGENTS_MAX: usize = 32;

/// An agent that a route names.
pub(crate) struct RouteAgentPart {
    pub(super) id: Spanned<Id>,
    failure_mode: Option<Spanned<FailureMode>>,
    options: Vec<OptionPart>,
    /// Where its own block is, if it has one.
    block: Option<Span>,
}

/// `name "value" …` in a route's block of an agent.
struct OptionPart {
    name: String,
    span: Span,
    values: Vec<Spanned<Plain>>,
}

impl RouteAgentPart {
    /// Whether it asks for that policy: it does for each where it says nothing.
    pub(super) fn has_policy(&self, id: &str) -> bool {
        let named = self.options.iter().find(|option| option.name == "policy");
        let is_id =
            |value: &Spanned<Plain>| matches!(&value.value, Plain::Text(text) if text == id);
        named.is_none_or(|option| option.values.iter().any(is_id))
    }
}

/// The agents in the order in which they are first named; a block refines what a list names.
pub(crate) fn read_route_agents(cursor: &mut Cursor<'_>) -> Vec<RouteAgentPart> {
    let mut list: Option<Span> = None;
    let nodes = cursor.children(&["agents", "agent"], |cursor| match cursor.name() {
        "agents" => {
            refuse_second_list(cursor, &mut list);
            read_list(cursor)
        }
        _ => read_block(cursor).into_iter().collect(),
    });
    let mut agents: Vec<RouteAgentPart> = Vec::new();
    for agent in nodes.into_iter().flatten() {
        match agents.iter_mut().find(|other| other.id.value == agent.id.value) {
            Some(named) => named.refine(cursor.reading(), agent),
            None => agents.push(agent),
        }
    }
    if let Some(beyond) = agents.get(AGENTS_MAX) {
        let message = format!("a route asks at most {AGENTS_MAX} agents");
        let help = "split the route, or leave agents out";
        cursor.reading().error(beyond.id.span, Problem::new(Code::TooLarge, message).help(help));
    }
    agents
}

fn refuse_second_list(cursor: &Cursor<'_>, list: &mut Option<Span>) {
    if let Some(first) = *list {
        let problem = Problem::new(Code::Repeated, "`agents` is written twice")
            .note("first written here", first)
            .help("write all ids into one list");
        cursor.error(problem);
    }
    list.get_or_insert(cursor.span());
}

fn read_list(cursor: &mut Cursor<'_>) -> Vec<RouteAgentPart> {
    let arguments = cursor.arguments("ids of agents");
    let ids = arguments.into_iter().filter_map(|value| value.literal(id));
    ids.map(|id| RouteAgentPart { id, failure_mode: None, options: Vec::new(), block: None })
        .collect()
}

fn read_block(cursor: &mut Cursor<'_>) -> Option<RouteAgentPart> {
    let modes = [("open", FailureMode::Open), ("closed", FailureMode::Closed)];
    let id = cursor.argument("the id of an agent").and_then(|value| value.literal(id));
    let failure_mode = cursor.property("failure-mode").and_then(|value| value.word(&modes));
    let mut options = cursor.rest(|cursor| OptionPart {
        name: cursor.name().to_owned(),
        span: cursor.span(),
        values: cursor.arguments("a value").into_iter().filter_map(|value| value.plain()).collect(),
    });
    refuse_nameless(cursor.reading(), &mut options);
    refuse_repeated(cursor.reading(), &mut options);
    Some(RouteAgentPart { id: id?, failure_mode, options, block: Some(cursor.span()) })
}

fn refuse_nameless(reading: &Reading<'_>, options: &mut Vec<OptionPart>) {
    options.retain(|option| {
        let name = id(&option.name);
        name.map_err(|problem| reading.error(option.span, problem)).is_ok()
    });
}

fn refuse_repeated(reading: &Reading<'_>, options: &mut Vec<OptionPart>) {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    options.retain(|option| {
        let Some(first) = first.get(&option.name) else {
            first.insert(option.name.clone(), option.span);
            return true;
        };
        let problem = Problem::new(Code::Repeated, format!("`{}` is written twice", option.name))
            .note("first written here", *first)
            .help("keep one of them; it takes several values");
        reading.error(option.span, problem);
        false
    });
}

impl RouteAgentPart {
    fn refine(&mut self, reading: &Reading<'_>, more: Self) {
        let Self { id, failure_mode, options, block } = more;
        if let (Some(_), None) | (Some(_), Some(_)) | (None, None) = (self.block, block) {
            let is_block_then_list = self.block.is_some() && block.is_none();
            let message = format!("agent `{}` is named twice", id.value);
            let help = match is_block_then_list {
                true => "write `agents` above the blocks, or leave the agent out of one of them",
                false => "keep one of them",
            };
            let problem = Problem::new(Code::Repeated, message)
                .note("first written here", self.id.span)
                .help(help);
            return reading.error(id.span, problem);
        }
        *self = Self { id: self.id.clone(), failure_mode, options, block };
    }
}

/// What all agents are: what the parts of routes are settled against.
pub(crate) fn settle_route_agents(
    reading: &Reading<'_>,
    parts: Vec<RouteAgentPart>,
    (agents, order): (&BTreeMap<Id, Arc<Agent>>, &Order),
) -> Vec<RouteAgent> {
    // One that is not there has its error already.
    let known: Vec<(RouteAgentPart, &Agent)> = parts
        .into_iter()
        .filter_map(|part| agents.get(&part.id.value).map(|agent| (part, &**agent)))
        .collect();
    let ids: Vec<Id> = known.iter().map(|(part, _)| part.id.value.clone()).collect();
    let settle = |((part, agent), (after, stage))| {
        let RouteAgentPart { id, failure_mode, options, block: _ } = part;
        let agent: &Agent = agent;
        warn_if_auth_opens(reading, &agent.kind, failure_mode.as_ref());
        RouteAgent {
            id: id.value,
            failure_mode: failure_mode.map_or(agent.failure_mode, |mode| mode.value),
            options: settle_options(reading, (agent, id.span), options),
            after,
            stage,
        }
    };
    known.into_iter().zip(order.places(&ids)).map(settle).collect()
}

fn settle_options(
    reading: &Reading<'_>,
    (agent, span): (&Agent, Span),
    options: Vec<OptionPart>,
) -> BTreeMap<String, String> {
    let mut options = Options { reading, agent, left: options };
    let settled = match &agent.settings {
        AgentSettings::Auth(_) => options.auth(span).to_options(),
        AgentSettings::RateLimit(settings) => options.rate_limit(settings).to_options(),
        AgentSettings::Schema(settings) => options.schema(settings).to_options(),
        AgentSettings::Bridge(_) | AgentSettings::Foreign(_) => options.foreign(),
        AgentSettings::Waf => options.foreign(),
    };
    options.refuse_rest();
    settled
}

/// The options of one agent on one route, while they are taken one by one.
struct Options<'s> {
    reading: &'s Reading<'s>,
    agent: &'s Agent,
    left: Vec<OptionPart>,
}

impl Options<'_> {
    fn auth(&mut self, span: Span) -> auth::RouteOptions {
        let roles = self.texts("roles", auth::part::role);
        let scopes = self.texts("scopes", auth::part::scope);
        let anonymous = self.switch("anonymous");
        let needs_somebody = !roles.is_empty() || !scopes.is_empty();
        if needs_somebody && anonymous == Some(true) {
            let problem =
                Problem::new(Code::Conflict, "nobody in particular has no roles or scopes");
            let help = "remove `anonymous`, or remove `roles` and `scopes`";
            self.reading.error(span, problem.help(help));
        }
        let anonymous = if needs_somebody { Some(false) } else { anonymous };
        auth::RouteOptions { roles, scopes, anonymous }
    }

    fn rate_limit(&mut self, settings: &rate_limit::Settings) -> rate_limit::RouteOptions {
        let ids = settings.policies.iter().map(|policy| policy.id.as_str());
        let policies = self.references(("policy", "policy"), &ids.collect::<Vec<_>>());
        let cost =
            self.cost(|policy| policies.is_empty() || policies.contains(&policy.id), settings);
        rate_limit::RouteOptions { policies, cost }
    }

    fn cost(
        &mut self,
        holds: impl Fn(&rate_limit::Policy) -> bool,
        settings: &rate_limit::Settings,
    ) -> Option<u32> {
        let Spanned { value: cost, span } = self.number("cost", 1_000_000_000)?;
        let is_fixed = |policy: &&rate_limit::Policy| {
            matches!(policy.cost, rate_limit::Cost::Fixed(_)) && holds(policy)
        };
        let fixed: Vec<_> = settings.policies.iter().filter(is_fixed).collect();
        if fixed.is_empty() {
            let problem = Problem::new(Code::Conflict, "no policy of this route has a fixed cost");
            self.reading.error(span, problem.help("remove `cost`"));
        }
        if let Some(small) = fixed.iter().find(|policy| policy.burst < cost) {
            let (id, burst) = (&small.id, small.burst);
            let message =
                format!("a bucket of `{id}` holds {burst}: no request can ever pay {cost}");
            let problem = Problem::new(Code::Conflict, message);
            self.reading.error(span, problem.help("raise `burst` or lower the cost"));
        }
        Some(cost)
    }

    fn schema(&mut self, settings: &schema::Settings) -> schema::RouteOptions {
        let documents = settings.documents.iter().map(|document| document.id.as_str());
        let schemas = settings.schemas.iter().map(|schema| schema.id.as_str());
        schema::RouteOptions {
            documents: self.references(("document", "document"), &documents.collect::<Vec<_>>()),
            schemas: self.references(("schema", "schema"), &schemas.collect::<Vec<_>>()),
            report_only: self.switch("report-only"),
        }
    }

    /// What others' agents make of options is their affair.
    fn foreign(&mut self) -> BTreeMap<String, String> {
        let options = std::mem::take(&mut self.left).into_iter().map(|option| {
            let values = option.values.iter().map(|value| value.value.to_string());
            (option.name, values.collect::<Vec<_>>().join(","))
        });
        options.collect()
    }

    fn take(&mut self, name: &str) -> Option<OptionPart> {
        let at = self.left.iter().position(|option| option.name == name)?;
        Some(self.left.swap_remove(at))
    }

    fn texts(&mut self, name: &str, read: fn(&str) -> Checked<String>) -> Vec<String> {
        let values = self.take(name).map(|option| option.values).unwrap_or_default();
        let text = |value: Spanned<Plain>| match value.value {
            Plain::Text(text) => {
                read(&text).map_err(|problem| self.reading.error(value.span, problem)).ok()
            }
            _ => self.wrong_type(value.span, ("text", "put it in double quotes")),
        };
        values.into_iter().filter_map(text).collect()
    }

    /// Ids of things that the agent has.
    fn references(&mut self, (name, kind): (&str, &str), known: &[&str]) -> Vec<String> {
        let option = self.take(name);
        let values = option.map(|option| option.values).unwrap_or_default();
        let reference = |value: Spanned<Plain>| {
            let Plain::Text(text) = value.value else {
                return self.wrong_type(value.span, ("text", "put it in double quotes"));
            };
            if known.contains(&text.as_str()) {
                return Some(text);
            }
            let message = format!("agent `{}` has no {kind} `{text}`", self.agent.id);
            let near = did_you_mean(&text, known.iter().copied());
            let help = near.unwrap_or_else(|| match known.is_empty() {
                true => format!("it has none; add one to the agent, or remove `{name}`"),
                false => format!("it has {}", one_of(known.iter().copied())),
            });
            let problem = Problem::new(Code::UnknownReference, message).help(help);
            self.reading.error(value.span, problem);
            None
        };
        values.into_iter().filter_map(reference).collect()
    }

    fn only(&mut self, name: &str) -> Option<Spanned<Plain>> {
        let mut values = self.take(name)?.values.into_iter();
        let first = values.next()?;
        for more in values {
            let problem = Problem::new(Code::SurplusArgument, format!("`{name}` takes one value"));
            self.reading.error(more.span, problem.help("remove it"));
        }
        Some(first)
    }

    fn switch(&mut self, name: &str) -> Option<bool> {
        let value = self.only(name)?;
        match value.value {
            Plain::Switch(switch) => Some(switch),
            _ => self.wrong_type(value.span, ("a switch", "write #true or #false")),
        }
    }

    fn number(&mut self, name: &str, most: u32) -> Option<Spanned<u32>> {
        let value = self.only(name)?;
        let Plain::Integer(written) = value.value else {
            let remedy = "write digits alone, without quotes";
            return self.wrong_type(value.span, ("a whole number", remedy));
        };
        match u32::try_from(written).ok().filter(|number| *number <= most) {
            Some(number) => Some(Spanned::new(number, value.span)),
            None => {
                let problem = crate::value::out_of_range(&written.to_string(), &0, &most);
                self.reading.error(value.span, problem);
                None
            }
        }
    }

    fn wrong_type<T>(&self, span: Span, (expected, remedy): (&str, &str)) -> Option<T> {
        let message = format!("something else stands where {expected} belongs");
        self.reading.error(span, Problem::new(Code::WrongType, message).help(remedy));
        None
    }

    fn refuse_rest(self) {
        let known: &[&str] = match &self.agent.settings {
            AgentSettings::Auth(_) => &["roles", "scopes", "anonymous"],
            AgentSettings::RateLimit(_) => &["policy", "cost"],
            AgentSettings::Schema(_) => &["document", "schema", "report-only"],
            AgentSettings::Bridge(_) | AgentSettings::Foreign(_) | AgentSettings::Waf => &[],
        };
        for option in &self.left {
            let name = &option.name;
            let message =
                format!("an agent of type `{}` has no option `{name}` on routes", self.agent.kind);
            let help = did_you_mean(name, known.iter().copied())
                .unwrap_or_else(|| format!("known here: {}", one_of(known.iter().copied())));
            self.reading.error(option.span, Problem::new(Code::UnknownNode, message).help(help));
        }
    }
}
