//! What is in force, as JSON: the body of `GET /config`.

use std::{path::Path, time::Instant};

use selvedge_config::UpstreamProtocol;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::agents;
use crate::{
    agent::state::AgentState,
    control::{InForce, Shared, Stage},
    plan::ListenerPlan,
    tls::CertificateFacts,
    upstream::{
        breaker::{Breaker, Phase},
        health::Health,
        pool::SharedUpstream,
        target::TargetState,
    },
};

/// Writes what is in force.
pub(super) fn render(shared: &Shared, in_force: &InForce) -> serde_json::Result<String> {
    let mut page = serde_json::to_string_pretty(&Status::of(shared, in_force))?;
    page.push('\n');
    Ok(page)
}

#[derive(Serialize)]
struct Status<'a> {
    stage: &'static str,
    /// `None`: nobody has told yet.
    revision: Option<u64>,
    loaded_at: Option<String>,
    files: Vec<&'a Path>,
    listeners: Vec<ListenerStatus<'a>>,
    routes: usize,
    upstreams: Vec<UpstreamStatus<'a>>,
    agents: Vec<AgentStatus<'a>>,
}

#[derive(Serialize)]
struct ListenerStatus<'a> {
    id: &'a str,
    /// As configured.
    address: String,
    /// As the system chose it.
    bound: Option<String>,
    protocols: Vec<&'static str>,
    tls: bool,
    certificates: Vec<CertificateStatus>,
}

#[derive(Serialize)]
struct CertificateStatus {
    source: String,
    names: Vec<String>,
    not_after: Option<String>,
}

#[derive(Serialize)]
struct UpstreamStatus<'a> {
    id: &'a str,
    protocol: &'static str,
    /// `None`: it has none.
    breaker: Option<&'static str>,
    connections: usize,
    targets: Vec<TargetStatus<'a>>,
}

/// In few words; `GET /agents` has the rest.
#[derive(Serialize)]
struct AgentStatus<'a> {
    id: &'a str,
    kind: &'a str,
    state: &'static str,
    breaker: &'static str,
}

#[derive(Serialize)]
struct TargetStatus<'a> {
    address: &'a str,
    weight: u32,
    /// `None`: it is not checked.
    health: Option<&'static str>,
    ejected: bool,
    ejections: u64,
    in_flight: usize,
    requests: u64,
    failures: u64,
}

impl<'a> Status<'a> {
    fn of(shared: &Shared, in_force: &'a InForce) -> Self {
        let InForce { plan, bound, admin: _ } = in_force;
        let loaded = shared.hub.config_in_effect();
        let now = Instant::now();
        Self {
            stage: match shared.stage() {
                Stage::Starting => "starting",
                Stage::Serving => "serving",
                Stage::Draining => "draining",
            },
            revision: loaded.map(|(revision, _)| revision),
            loaded_at: loaded.and_then(|(_, at)| rfc3339(at.into())),
            files: plan.config.files.iter().map(|file| &**file).collect(),
            listeners: plan
                .listeners
                .iter()
                .map(|planned| ListenerStatus {
                    bound: bound.get(&planned.place).map(ToString::to_string),
                    ..ListenerStatus::of(planned)
                })
                .collect(),
            routes: plan.config.routes.len(),
            upstreams: plan.upstreams.iter().map(|it| UpstreamStatus::of(it, now)).collect(),
            agents: plan.agents.iter().map(|it| AgentStatus::of(it)).collect(),
        }
    }
}

impl<'a> ListenerStatus<'a> {
    fn of(planned: &'a ListenerPlan) -> Self {
        let listener = &planned.listener;
        let protocols = [(listener.http1, "http/1.1"), (listener.http2, "h2")];
        let certificates = planned.tls.iter().flat_map(|tls| tls.certificates());
        Self {
            id: &listener.id,
            address: listener.address.to_string(),
            bound: None,
            protocols: protocols.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect(),
            tls: planned.tls.is_some(),
            certificates: certificates.map(CertificateStatus::of).collect(),
        }
    }
}

impl CertificateStatus {
    fn of(facts: CertificateFacts) -> Self {
        let CertificateFacts { source, names, not_before: _, not_after } = facts;
        let end = OffsetDateTime::from_unix_timestamp(not_after).ok();
        Self { source, names, not_after: end.and_then(rfc3339) }
    }
}

impl<'a> UpstreamStatus<'a> {
    fn of(upstream: &'a SharedUpstream, now: Instant) -> Self {
        let SharedUpstream { state, tls: _, connections } = upstream;
        let checked = state.config.health.is_some();
        let targets = state.targets.iter().zip(&state.config.targets);
        Self {
            id: &state.config.id,
            protocol: match state.config.protocol {
                UpstreamProtocol::Http1 => "http/1.1",
                UpstreamProtocol::Http2 => "h2",
            },
            breaker: state.breaker.as_deref().map(breaker_name),
            connections: connections.value(),
            targets: targets
                .map(|(target, config)| TargetStatus {
                    weight: config.weight,
                    health: checked.then(|| health(target)),
                    ..TargetStatus::of(target, now)
                })
                .collect(),
        }
    }
}

impl<'a> TargetStatus<'a> {
    fn of(target: &'a TargetState, now: Instant) -> Self {
        Self {
            address: target.label(),
            weight: 1,
            health: None,
            ejected: target.ejection.is_ejected(now),
            ejections: target.ejection.total(),
            in_flight: target.in_flight(),
            requests: target.requests(),
            failures: target.failures(),
        }
    }
}

impl<'a> AgentStatus<'a> {
    fn of(agent: &'a AgentState) -> Self {
        let AgentState { config, breaker, .. } = agent;
        let (state, breaker) = (agents::state(agent), breaker_name(breaker));
        Self { id: &config.id, kind: &config.kind, state, breaker }
    }
}

/// Where a breaker stands.
pub(super) fn breaker_name(breaker: &Breaker) -> &'static str {
    match breaker.phase() {
        Phase::Closed => "closed",
        Phase::Open => "open",
        Phase::HalfOpen => "half-open",
    }
}

fn health(target: &TargetState) -> &'static str {
    match target.health() {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// `None` for a year that the format cannot write.
fn rfc3339(at: OffsetDateTime) -> Option<String> {
    at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}
