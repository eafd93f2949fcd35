//! The record of an exchange: handed to metrics, access log and traces when it is over.

use std::{fmt, time::Instant};

use selvedge_agent::{Decision, Verdict};
use selvedge_config::{HostPattern, PathPattern, Route};
use selvedge_http1::{Known, Version};
use selvedge_telemetry::{
    self as telemetry, AgentCall, AgentLabel, Finding, Protocol, Proxied, Routed, Tls,
};

use super::{Exchange, Facts};
use crate::{
    agent::{
        call::outcome_of,
        minutes::{Asked, Written},
    },
    plan::Plan,
};

impl Exchange<'_> {
    /// Records the exchange as it stands.
    pub(super) fn record(&mut self) {
        self.facts.timings.done = Instant::now();
        let facts = &self.facts;
        let plan = &self.snapshot.plan;
        let connection = self.connection;
        let fields = self.request.fields();
        let why = facts.route.map(|index| Why(&plan.routes[index].route));
        let target = facts.upstream.as_ref().and_then(|upstream| {
            Some(plan.upstreams[upstream.index].state.target(upstream.target?).label())
        });
        let Written { asked, decisions: ruled, left_out } = self.council.take_minutes();
        let agents: Vec<_> = asked.iter().map(|asked| agent_call(plan, asked)).collect();
        let findings: Vec<Vec<_>> = ruled
            .iter()
            .map(|(_, verdict)| verdict.findings().iter().map(finding).collect())
            .collect();
        let decisions: Vec<_> = ruled
            .iter()
            .zip(&findings)
            .map(|((agent, verdict), findings)| {
                decision(plan.labels.agent(*agent), verdict, findings)
            })
            .collect();
        let exchange = telemetry::Exchange {
            peer: (facts.client != connection.socket_peer).then_some(connection.socket_peer),
            protocol: match self.request.version() {
                Version::Http10 => Protocol::Http10,
                Version::Http11 => Protocol::Http11,
                Version::Http2 => Protocol::Http2,
            },
            tls: connection.tls.as_ref().map(|tls| Tls {
                version: tls.version,
                cipher: tls.cipher,
                sni: tls.sni.as_deref(),
                resumed: tls.resumed,
                client_cert_subject: tls.client_subject.as_deref(),
            }),
            method: self.request.method().as_bytes(),
            host: fields.first(Known::Host),
            path: self.request.raw_path().as_bytes(),
            query: self.request.has_query().then(|| self.request.query().as_bytes()),
            user_agent: fields.first(Known::UserAgent),
            referer: fields.first(Known::Referer),
            route: facts.route.zip(why.as_ref()).map(|(index, why)| Routed {
                route: plan.labels.route(index),
                cached: facts.route_cached,
                why,
            }),
            upstream: facts.upstream.as_ref().map(|upstream| Proxied {
                upstream: plan.labels.upstream(upstream.index),
                target: target.as_ref().map(|target| target as &dyn fmt::Display),
                attempts: upstream.attempts,
                retry_reason: upstream.retry_reason,
                status: upstream.status,
                reused: upstream.reused,
            }),
            status: facts.status,
            refused_by: facts.refused_by,
            error: facts.error.as_ref().map(|error| error as &dyn fmt::Display),
            agents: &agents,
            blocked_by: facts.blocked_by.map(|agent| plan.labels.agent(agent)),
            decisions: &decisions,
            decisions_left_out: left_out,
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            ..telemetry::Exchange::new(
                &connection.label,
                facts.client,
                &facts.trace,
                &facts.timings,
            )
        };
        self.core.telemetry.record(&exchange);
        self.tell_of_block(&ruled);
    }
}

fn agent_call<'a>(plan: &'a Plan, asked: &Asked) -> AgentCall<'a> {
    let Asked { agent, event, outcome, began, took, passed_over } = *asked;
    AgentCall {
        agent: plan.labels.agent(agent),
        event: event.name(),
        outcome: outcome.name(),
        failed: outcome.is_failure(),
        began,
        took,
        passed_over,
    }
}

fn decision<'a>(
    agent: &'a AgentLabel,
    verdict: &'a Verdict,
    findings: &'a [Finding<'a>],
) -> telemetry::Decision<'a> {
    let status = match verdict.decision() {
        Decision::Allow => None,
        Decision::Block(answer)
        | Decision::Redirect { answer, .. }
        | Decision::Challenge { answer, .. } => Some(answer.status),
    };
    let decision = outcome_of(verdict).name();
    telemetry::Decision { agent, decision, status, findings, reason: verdict.reason_text() }
}

fn finding(found: &selvedge_agent::Finding) -> Finding<'_> {
    let selvedge_agent::Finding { rule, score, tags, detail } = found;
    Finding { rule, score: *score, tags, detail }
}

impl Facts {
    /// The trace id in hexadecimal, for people.
    pub(super) fn trace_id(&self) -> String {
        self.trace.trace_id().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a route asked for, in few words.
struct Why<'a>(&'a Route);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matches = &self.0.matches;
        for host in &matches.hosts {
            match host {
                HostPattern::Exact(host) => write!(f, "host {host}, ")?,
                HostPattern::Wildcard(host) => write!(f, "host *.{host}, ")?,
            }
        }
        for path in &matches.paths {
            match path {
                PathPattern::Exact(path) => write!(f, "path {path}, ")?,
                PathPattern::Prefix(path) => write!(f, "path-prefix {path}, ")?,
                PathPattern::Regex(path) => write!(f, "path-regex {}, ", path.as_str())?,
            }
        }
        for method in &matches.methods {
            write!(f, "method {method}, ")?;
        }
        for header in &matches.headers {
            write!(f, "header {}, ", header.name)?;
        }
        for query in &matches.query {
            write!(f, "query {}, ", query.name)?;
        }
        write!(f, "priority {}", self.0.priority)
    }
}
