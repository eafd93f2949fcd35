//! What can only be said of agents and routes together, before anything is settled.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AgentPart, Order,
    kind::{OWN_KINDS, SettingsPart},
    rate_limit::{self, KeyPart},
    route::RouteAgentPart,
    waf,
};
use crate::{
    Agent, AgentSettings, Code, Id,
    auth::ClaimValue,
    reading::{Problem, Reading, did_you_mean},
    route::RoutePart,
    source::Spanned,
};

/// Most agents of one config; each is a process or a connection for each core.
pub(crate) const AGENTS_MAX: usize = 256;

/// All agents and routes as written.
pub(crate) struct References<'p> {
    pub(crate) agents: &'p [AgentPart],
    pub(crate) routes: &'p [RoutePart],
    /// Whether no node was unknown: one might be what seems to be missing.
    pub(crate) is_whole: bool,
}

/// Reports all that is wrong or doubtful between them.
pub(crate) fn check_references(reading: &Reading<'_>, references: &References<'_>) {
    if let Some(beyond) = references.agents.get(AGENTS_MAX) {
        let problem =
            Problem::new(Code::TooLarge, format!("a config has at most {AGENTS_MAX} agents"));
        return reading.error(beyond.span, problem.help("leave some of them out"));
    }
    let check = Check::new(reading, references);
    check.check_after();
    check.check_circles();
    check.check_credentials();
    check.check_keys();
    for route in references.routes {
        check.check_route(route);
        check.check_upstream_by(route);
    }
    if references.is_whole {
        check.warn_of_unused();
        check.warn_of_body_max();
    }
}

struct Check<'c> {
    reading: &'c Reading<'c>,
    references: &'c References<'c>,
    by_id: BTreeMap<&'c str, &'c AgentPart>,
    /// Request fields that each may set and clients may not, by agent.
    identity: BTreeMap<&'c str, BTreeSet<String>>,
    order: Order,
}

impl<'c> Check<'c> {
    fn new(reading: &'c Reading<'c>, references: &'c References<'c>) -> Self {
        let by_id = |part: &'c AgentPart| Some((part.id.as_ref()?.value.as_ref(), part));
        let after = references.agents.iter().filter_map(|part| {
            let after = part.after.iter().map(|id| id.value.clone());
            Some((part.id.as_ref()?.value.clone(), after.collect()))
        });
        Self {
            reading,
            references,
            by_id: references.agents.iter().filter_map(by_id).collect(),
            identity: references
                .agents
                .iter()
                .filter_map(by_id)
                .map(|(id, part)| (id, part.identity_headers()))
                .collect(),
            order: Order::new(&after.collect()),
        }
    }

    fn check_after(&self) {
        for id in self.references.agents.iter().flat_map(|part| &part.after) {
            self.check_reference(id);
        }
    }

    fn check_reference(&self, reference: &Spanned<Id>) {
        let name = reference.value.as_ref();
        if self.by_id.contains_key(name) {
            return;
        }
        let message = format!("there is no agent `{name}`");
        let own = OWN_KINDS.iter().find(|(word, _)| *word == name);
        let help = did_you_mean(name, self.by_id.keys().copied()).unwrap_or_else(|| match own {
            Some((word, _)) => format!("add `agent \"{name}\" {{ type \"{word}\"; … }}`"),
            None => format!("add `agent \"{name}\" {{ … }}`"),
        });
        self.reading
            .error(reference.span, Problem::new(Code::UnknownReference, message).help(help));
    }

    fn check_circles(&self) {
        for circle in self.order.circles() {
            let first = circle.first().and_then(|id| self.by_id.get(id.as_ref()));
            let Some(first) = first else { continue };
            let is_in = |id: &&Spanned<Id>| circle.contains(&&id.value);
            let span = first.after.iter().find(is_in).map_or(first.span, |id| id.span);
            let names: Vec<String> = circle.iter().map(|id| format!("`{id}`")).collect();
            let message = match names.as_slice() {
                [only] => format!("agent {only} waits for itself"),
                _ => format!("agents {} wait for each other", names.join(", ")),
            };
            let problem = Problem::new(Code::AgentOrder, message);
            self.reading.error(span, problem.help("remove one of the `after` that lead back"));
        }
    }

    /// A credential in a field that is taken off every client's request never arrives.
    fn check_credentials(&self) {
        let is_identity = |name: &str| self.identity.values().any(|names| names.contains(name));
        for part in self.references.agents {
            let Some(SettingsPart::Auth(auth)) = &part.settings else { continue };
            for name in auth.credential_headers().into_iter().filter(|name| is_identity(name)) {
                let message = format!(
                    "`{name}` is taken off every client's request, with the credential in it"
                );
                let help =
                    "an agent sets this field: send the credential, or the identity, in another";
                self.reading.error(part.span, Problem::new(Code::Conflict, message).help(help));
            }
        }
    }

    /// A limit by what nobody sets would put all clients into one bucket.
    fn check_keys(&self) {
        for part in self.references.agents {
            for (_, key) in part.keys().filter(|(_, key)| self.is_set_by_agents(&key.value)) {
                let is_setter = |id: &str| self.is_earlier(id, part) && self.sets(id, &key.value);
                if !self.by_id.keys().any(|id| is_setter(id)) {
                    self.reading.error(key.span, self.no_setter(part, &key.value));
                }
            }
        }
    }

    fn is_earlier(&self, id: &str, than: &AgentPart) -> bool {
        than.id.as_ref().is_some_and(|than| self.order.is_before(id, &than.value))
    }

    /// Whether a part of a key reads what no client can send.
    fn is_set_by_agents(&self, key: &KeyPart) -> bool {
        match key {
            KeyPart::Value(_) => true,
            KeyPart::Header(name) => self.identity.values().any(|names| names.contains(name)),
            KeyPart::Address | KeyPart::Path | KeyPart::Method | KeyPart::Host | KeyPart::Route => {
                false
            }
        }
    }

    /// Whether the agent `id` may set what such a part reads.
    fn sets(&self, id: &str, key: &KeyPart) -> bool {
        match key {
            KeyPart::Value(name) => self.by_id.get(id).is_some_and(|part| part.may_set(name)),
            KeyPart::Header(name) => self.identity.get(id).is_some_and(|own| own.contains(name)),
            KeyPart::Address | KeyPart::Path | KeyPart::Method | KeyPart::Host | KeyPart::Route => {
                false
            }
        }
    }

    fn no_setter(&self, part: &AgentPart, key: &KeyPart) -> Problem {
        let message = format!("no agent that is asked before this one sets {}", in_words(key));
        let able = self.by_id.keys().find(|id| self.sets(id, key) && !part.has_id(id));
        let help = match (able, key) {
            (Some(id), _) => format!("add `after \"{id}\"` to the agent"),
            (None, KeyPart::Value(name)) if self.waits_for_auth(part) => {
                format!("add `values {{ \"{name}\" }}` to the agent of type `auth`")
            }
            (None, _) => "add `after \"…\"` with the agent that sets it".to_owned(),
        };
        Problem::new(Code::Conflict, message).help(help)
    }

    fn waits_for_auth(&self, part: &AgentPart) -> bool {
        let is_auth = |other: &AgentPart| matches!(other.settings, Some(SettingsPart::Auth(_)));
        self.by_id.iter().any(|(id, other)| self.is_earlier(id, part) && is_auth(other))
    }

    fn check_route(&self, route: &RoutePart) {
        for agent in route.agents() {
            self.check_reference(&agent.id);
        }
        for asked in route.agents() {
            self.warn_of_keys(route, asked);
        }
    }

    fn warn_of_keys(&self, route: &RoutePart, asked: &RouteAgentPart) {
        let Some(part) = self.by_id.get(asked.id.value.as_ref()) else { return };
        let keys = part.keys().filter(|(policy, _)| asked.has_policy(policy));
        for (policy, key) in keys.filter(|(_, key)| self.is_set_by_agents(&key.value)) {
            let is_setter = |id: &str| self.is_earlier(id, part) && self.sets(id, &key.value);
            if route.agents().iter().any(|other| is_setter(&other.id.value)) {
                continue;
            }
            let message = format!(
                "policy `{policy}` counts by {}, which no agent of this route sets",
                in_words(&key.value)
            );
            let help = "all clients share one limit here: ask the agent that sets it too, or name \
                        other policies in the route's block";
            let problem = Problem::new(Code::KeyNeverSet, message).help(help);
            self.reading.warning(Some(asked.id.span), problem);
        }
    }

    fn check_upstream_by(&self, route: &RoutePart) {
        let Some(name) = route.upstream_by().and_then(|by| by.value.as_ref()) else { return };
        let agents: Vec<_> =
            route.agents().iter().map(|agent| self.by_id.get(agent.id.value.as_ref())).collect();
        // One that is not there has its error already.
        if agents.iter().any(|part| part.is_none_or(|part| part.may_set(&name.value))) {
            return;
        }
        let message = format!("no agent of this route sets the value `{}`", name.value);
        let help = "add the agent that does, or `values { … }` to one of type `auth`";
        self.reading.error(name.span, Problem::new(Code::Conflict, message).help(help));
    }

    fn warn_of_unused(&self) {
        let used: BTreeSet<&str> = self.asked().map(|(_, agent)| agent.id.value.as_ref()).collect();
        for (id, part) in self.by_id.iter().filter(|(id, _)| !used.contains(*id)) {
            let problem = Problem::new(Code::UnusedAgent, format!("no route asks agent `{id}`"));
            let help = format!("add `agents \"{id}\"` to a route, or remove it");
            let span = part.id.as_ref().map_or(part.span, |id| id.span);
            self.reading.warning(Some(span), problem.help(help));
        }
    }

    fn asked(&self) -> impl Iterator<Item = (&'c RoutePart, &'c RouteAgentPart)> {
        let routes = self.references.routes.iter();
        routes.flat_map(|route| route.agents().iter().map(move |agent| (route, agent)))
    }

    fn warn_of_body_max(&self) {
        for (id, part) in &self.by_id {
            let Some(body_max) = &part.body_max else { continue };
            let of_agent = self.asked().filter(|(_, agent)| agent.id.value.as_ref() == *id);
            let Some(most) = of_agent.map(|(route, _)| route.body_max()).max() else { continue };
            if most < body_max.value {
                let message =
                    format!("no route that asks this agent lets more than {most} through");
                let help = "lower `body-max`, or raise `limits { body }` of a route";
                let problem = Problem::new(Code::BodyMax, message).help(help);
                self.reading.warning(Some(body_max.span), problem);
            }
        }
    }
}

fn in_words(key: &KeyPart) -> String {
    match key {
        KeyPart::Value(name) => match rate_limit::claim_of(name) {
            Some(claim) => format!("the claim `{claim}`"),
            None => format!("the value `{name}`"),
        },
        KeyPart::Header(name) => format!("the header `{name}`"),
        KeyPart::Address | KeyPart::Path | KeyPart::Method | KeyPart::Host | KeyPart::Route => {
            "what every request has".to_owned()
        }
    }
}

impl AgentPart {
    /// The parts of the keys of its limits, each with the id of its policy.
    fn keys(&self) -> impl Iterator<Item = (&str, &Spanned<KeyPart>)> {
        let limits = match &self.settings {
            Some(SettingsPart::RateLimit(limits)) => Some(limits),
            _ => None,
        };
        let keys = limits.into_iter().flat_map(|limits| limits.keys());
        keys.flat_map(|(policy, key)| key.iter().map(move |part| (policy, part)))
    }

    fn has_id(&self, id: &str) -> bool {
        self.id.as_ref().is_some_and(|own| own.value.as_ref() == id)
    }

    /// Whether it may set a value of that name: others' agents may set any.
    fn may_set(&self, value: &str) -> bool {
        let is_claim = rate_limit::claim_of(value).is_some();
        match &self.settings {
            Some(SettingsPart::Auth(auth)) => is_claim || auth.sets(value),
            Some(SettingsPart::Foreign(_)) => !is_claim,
            Some(SettingsPart::RateLimit(_) | SettingsPart::Schema(_)) => false,
            Some(SettingsPart::Waf(_)) => value == waf::SCORE,
            // Of a type that is wrong; that is said already.
            None => true,
        }
    }
}

/// Has the auth agents set the claims that keys of limits read.
pub(crate) fn export_claims(agents: &mut BTreeMap<Id, Agent>, order: &Order) {
    let mut wanted: Vec<(Id, ClaimValue)> = Vec::new();
    for (limiter, agent) in agents.iter() {
        let AgentSettings::RateLimit(settings) = &agent.settings else { continue };
        let keys = settings.policies.iter().flat_map(|policy| &policy.key);
        for (claim, value) in keys.filter_map(|key| match key {
            KeyPart::Value(value) => Some((rate_limit::claim_of(value)?, value)),
            _ => None,
        }) {
            let earlier = agents.keys().filter(|id| order.is_before(id, limiter));
            let set = ClaimValue { claim: claim.to_owned(), value: value.clone() };
            wanted.extend(earlier.map(|id| (id.clone(), set.clone())));
        }
    }
    for (id, claim) in wanted {
        if let Some(AgentSettings::Auth(auth)) =
            agents.get_mut(&id).map(|agent| &mut agent.settings)
            && !auth.values.contains(&claim)
        {
            auth.values.push(claim);
        }
    }
}
