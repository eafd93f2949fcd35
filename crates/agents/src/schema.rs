//! `selvedge agent schema`: what messages must look like.
//!
//! [`guard`] is the gate that every JSON body passes first. [`openapi`] reads an API's description and
//! [`single`] a schema by itself; both compile their schemas with [`checker`], which works within a bound
//! that [`metered`] keeps. [`rules`] says what of all this is for a message, and [`answer`] what its sender
//! is told; this file speaks the agent protocol.
//!
//! Everything is read when the agent starts. What cannot be checked as its author means keeps it from
//! starting; what is not checked at all is said in the log.

mod answer;
mod body;
mod checker;
mod document;
mod guard;
mod media;
mod metered;
mod openapi;
mod pointer;
mod rules;
mod single;
#[cfg(test)]
mod suite;
mod unique;
mod violation;

use std::{fmt, sync::Arc};

use selvedge_agent::{
    Agent, Body, Counter, Finding, Labelled, Metrics, RequestHead, ResponseHead, Subscriptions,
    Verdict, attributes,
};
use selvedge_config::schema::{RouteOptions, Settings};

use self::{
    answer::{Answer, Reason, Refusal, Sender},
    checker::{Dialect, Patterns},
    document::Folder,
    openapi::{Api, Fields, Options},
    rules::{Awaited, Due, Message, Rules, Ruling},
    violation::Violation,
};
use crate::problem::CONTENT_TYPE;

/// Reads an API's description that lies in no file, as the agent reads those that do, and forgets it:
/// what is to be noted of it, or else its faults. The name says whether it is JSON or YAML.
pub fn read_description(name: &str, text: &str) -> Result<Vec<String>, Vec<String>> {
    let folder = Folder::of_text(name, text).map_err(|fault| vec![fault])?;
    let dialect = Dialect { formats: Some(true), patterns: Patterns::Linear };
    let options = Options { base_path: None, dialect, responses: true };
    Api::of(folder, name.to_owned(), options).map(|(_, notes)| notes)
}

/// The agent that checks messages.
pub struct Schema {
    rules: Arc<Rules>,
    metrics: Metrics,
    refusals: Labelled<Counter, 3>,
}

/// What is kept of an exchange.
#[derive(Default)]
pub struct Exchange {
    /// Those that it began with.
    rules: Option<Arc<Rules>>,
    report_only: bool,
    /// The body that comes next, if it is to be looked at.
    due: Option<Due>,
    /// The response, if it is to be looked at.
    awaited: Option<Awaited>,
}

/// Bodies larger than this are checked off the thread that speaks to the edge.
const LARGE: usize = 128 << 10;

/// Findings that one verdict carries.
const FINDINGS: usize = 32;

/// Characters of one finding.
const DETAIL: usize = 1000;

impl Agent for Schema {
    type Settings = Settings;
    type Exchange = Exchange;

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let read = tokio::task::spawn_blocking(move || Rules::read(&settings)).await;
        let (rules, notes) = read.map_err(|error| error.to_string())??;
        notes.iter().for_each(|note| notice(format_args!("{note}")));
        let metrics = previous.map(|previous| previous.metrics.clone()).unwrap_or_default();
        let refusals = metrics.counters(
            "refusals_total",
            "Messages that are not as described, by what was done: refused, or only reported.",
            ["message", "code", "outcome"],
        );
        Ok(Self { rules: Arc::new(rules), metrics, refusals })
    }

    fn wants(&self) -> Subscriptions {
        let size = self.rules.body_max();
        let mut wants = Subscriptions::none().request_headers();
        if self.rules.looks_at_requests() {
            wants = wants.inspect_request_body(size);
        }
        if self.rules.looks_at_responses() {
            wants = wants.response_headers().inspect_response_body(size);
        }
        wants
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.metrics)
    }

    async fn request_headers(&self, request: &RequestHead<'_>, exchange: &mut Exchange) -> Verdict {
        let options = RouteOptions::read(|name| request.attributes().route_option(name));
        let Some(chosen) = self.rules.choose(&options) else {
            return Verdict::abandon("the route names what this agent does not have");
        };
        exchange.report_only = options.report_only.unwrap_or(self.rules.report_only());
        let message = Message {
            method: request.method(),
            path: request.path(),
            query: request.query(),
            fields: &Lines(request.fields()),
            has_body: request.has_body(),
        };
        let Ruling { refusal, due, awaited } = self.rules.request_head(&message, &chosen);
        exchange.rules = Some(Arc::clone(&self.rules));
        (exchange.due, exchange.awaited) = (due, awaited);
        let verdict = self.verdict(exchange, refusal, (Sender::Client, request));
        match verdict.is_allow() && exchange.awaited.is_some() {
            true => comes_plain(verdict),
            false => verdict,
        }
    }

    async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let refusal = exchange.look(body).await;
        self.verdict(exchange, refusal, (Sender::Client, request))
    }

    async fn response_headers(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let (Some(rules), Some(awaited)) = (exchange.rules.clone(), exchange.awaited.take()) else {
            return Verdict::allow().done();
        };
        let has_body = response.has_body() && request.method() != "HEAD";
        let message = Message {
            method: request.method(),
            path: request.path(),
            query: request.query(),
            fields: &Lines(response.fields()),
            has_body: has_body && !matches!(response.status(), 204 | 304),
        };
        let Ruling { refusal, due, .. } =
            rules.response_head(&message, response.status(), &awaited);
        exchange.due = due;
        self.verdict(exchange, refusal, (Sender::Upstream, request))
    }

    async fn response_body(
        &self,
        request: &RequestHead<'_>,
        _: &ResponseHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let refusal = exchange.look(body).await;
        self.verdict(exchange, refusal, (Sender::Upstream, request))
    }
}

impl Schema {
    /// What is said to the edge; a refusal is counted.
    fn verdict(
        &self,
        exchange: &Exchange,
        refusal: Option<Refusal>,
        (sender, request): (Sender, &RequestHead<'_>),
    ) -> Verdict {
        if let Some(refusal) = &refusal {
            let message = if sender == Sender::Client { "request" } else { "response" };
            let outcome = if exchange.report_only { "reported" } else { "refused" };
            self.refusals.with([message, refusal.code(), outcome]).add(1);
        }
        exchange.verdict(refusal, sender, request)
    }
}

impl Exchange {
    /// Looks at the body that is due.
    async fn look(&mut self, body: Body<'_>) -> Option<Refusal> {
        let (rules, due) = self.rules.clone().zip(self.due.take())?;
        if body.is_truncated() {
            return Some(Refusal::new(Reason::Size));
        }
        if body.bytes().len() <= LARGE {
            return rules.body(&due, body.bytes());
        }
        let bytes = body.bytes().to_vec();
        match tokio::task::spawn_blocking(move || rules.body(&due, &bytes)).await {
            Ok(refusal) => refusal,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends, and nobody said that the body is sound.
                Err(_) => Some(Refusal::new(Reason::Cost)),
            },
        }
    }

    /// What is said to the edge; the last of it if nothing more is to be looked at.
    fn verdict(
        &self,
        refusal: Option<Refusal>,
        sender: Sender,
        request: &RequestHead<'_>,
    ) -> Verdict {
        let verdict = refusal.map_or_else(Verdict::allow, |refusal| {
            let trace = request.attributes().get(attributes::TRACE);
            self.refuse(&refusal, sender, trace)
        });
        if self.due.is_none() && self.awaited.is_none() { verdict.done() } else { verdict }
    }

    fn refuse(&self, refusal: &Refusal, sender: Sender, trace: Option<&str>) -> Verdict {
        let status = self.rules.as_ref().map_or(400, |rules| rules.status());
        let Answer { status, fields, body, code, summary } = refusal.answer(sender, status, trace);
        let verdict = if self.report_only {
            Verdict::allow()
        } else {
            let verdict = Verdict::block(status).header("content-type", CONTENT_TYPE);
            let verdict =
                fields.iter().fold(verdict, |verdict, (name, value)| verdict.header(name, value));
            verdict.body(body)
        };
        let findings = findings(refusal, code, &summary);
        findings.into_iter().fold(verdict, Verdict::finding).reason(summary)
    }
}

/// What was found, for the decision log.
fn findings(refusal: &Refusal, code: &'static str, summary: &str) -> Vec<Finding> {
    if refusal.violations.is_empty() {
        return vec![Finding::new(refusal.code()).detail(summary)];
    }
    let finding = |violation: &Violation| {
        let Violation { rule, source, message, .. } = violation;
        let asked = if source.is_empty() { String::new() } else { format!(" ({source})") };
        let detail = format!("{} {message}{asked}", answer::place(violation));
        Finding::new(format!("schema/{rule}"))
            .tag(code)
            .detail(answer::shortened_to(&detail, DETAIL))
    };
    refusal.violations.iter().take(FINDINGS).map(finding).collect()
}

/// Asks the upstream for an answer that can be checked: whole and not encoded.
fn comes_plain(verdict: Verdict) -> Verdict {
    ["accept-encoding", "range", "if-range"]
        .into_iter()
        .fold(verdict, Verdict::remove_request_header)
}

/// The fields of a head.
struct Lines<'h>(selvedge_agent::Fields<'h>);

impl Fields for Lines<'_> {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.all(name).collect()
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Tells the operator; the supervisor makes it a line of the log.
#[expect(clippy::print_stderr, reason = "the standard error of an agent is its log")]
fn notice(text: fmt::Arguments<'_>) {
    eprintln!("schema: {text}");
}
