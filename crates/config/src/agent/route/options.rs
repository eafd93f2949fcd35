//! Options of an agent on a route: what each kind knows, and what it must be.

use std::collections::BTreeMap;

use super::OptionPart;
use crate::{
    Agent, AgentSettings, Code,
    agent::{auth, rate_limit, schema, waf},
    reading::{Problem, Reading, did_you_mean, one_of},
    source::{Span, Spanned},
    value::{Checked, Plain},
};

/// The options of one agent on one route, as text.
pub(super) fn settle_options(
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
        AgentSettings::Waf(settings) => options.waf(settings).to_options(),
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

    fn waf(&mut self, settings: &waf::Settings) -> waf::RouteOptions {
        let profiles: Vec<&str> = settings.profiles.iter().map(|one| one.id.as_str()).collect();
        let spans = self.left.iter().find(|option| option.name == "profile");
        let second = spans.and_then(|option| option.values.get(1)).map(|value| value.span);
        if let Some(second) = second {
            let problem = Problem::new(Code::SurplusArgument, "`profile` takes one value");
            self.reading.error(second, problem.help("remove it"));
        }
        let profile = self.references(("profile", "profile"), &profiles).into_iter().next();
        waf::RouteOptions { profile }
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
            AgentSettings::Waf(_) => &["profile"],
            AgentSettings::Bridge(_) | AgentSettings::Foreign(_) => &[],
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
