//! What a route says of its agents: `agents "a" "b"` and `agent "a" failure-mode="open" { … }`.

mod options;

use std::{collections::BTreeMap, sync::Arc};

use self::options::settle_options;
use super::{Order, warn_if_auth_opens};
use crate::{
    Agent, Code, FailureMode, Id, RouteAgent,
    address::id,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned},
    value::Plain,
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
