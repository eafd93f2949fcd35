//! How each agent is, as JSON: the body of `GET /agents`.

use std::{collections::BTreeMap, path::Path, time::Instant};

use selvedge_agent::{Mode, Subscription};
use selvedge_config::{AgentProgram, FailureMode};
use serde::Serialize;

use super::status::breaker_name;
use crate::{
    agent::{
        process::{Condition, Started},
        state::AgentState,
        stats::Outcome,
    },
    plan::Plan,
};

/// Writes how the agents of `plan` are.
pub(super) fn render(plan: &Plan) -> serde_json::Result<String> {
    let now = Instant::now();
    let agents = plan.agents.iter().map(|agent| AgentStatus::of(agent, now)).collect();
    let mut page = serde_json::to_string_pretty(&Status { agents })?;
    page.push('\n');
    Ok(page)
}

#[derive(Serialize)]
struct Status<'a> {
    agents: Vec<AgentStatus<'a>>,
}

#[derive(Serialize)]
struct AgentStatus<'a> {
    id: &'a str,
    kind: &'a str,
    state: &'static str,
    /// Connections of workers on which it is ready and answers.
    connections: usize,
    runs: Runs<'a>,
    restarts: u32,
    in_flight: usize,
    waiting: usize,
    max_concurrent_calls: usize,
    p50_us: u64,
    p99_us: u64,
    verdicts: BTreeMap<&'static str, u64>,
    failures: BTreeMap<&'static str, u64>,
    cancelled: u64,
    log_missed: u64,
    breaker: &'static str,
    failure_mode: &'static str,
    timeout_ms: u64,
    after: Vec<&'a str>,
    /// `None`: it has never been ready.
    said: Option<Said>,
}

/// Where it runs.
#[derive(Serialize)]
#[serde(untagged)]
enum Runs<'a> {
    Process { program: &'a str, process: ProcessStatus },
    Address { address: &'a Path },
}

#[derive(Serialize)]
struct ProcessStatus {
    condition: &'static str,
    pid: Option<u32>,
    running_ms: Option<u64>,
    /// How it ended last, while it does not run.
    ended: Option<String>,
    starts_in_ms: Option<u64>,
}

/// What it said of itself when it was last ready.
#[derive(Serialize)]
struct Said {
    name: String,
    version: String,
    wants: Vec<Wanted>,
}

#[derive(Serialize)]
struct Wanted {
    event: &'static str,
    /// `None`: not of a body.
    mode: Option<&'static str>,
    bytes_max: u32,
    /// None: all.
    methods: Vec<String>,
    /// None: all.
    content_types: Vec<String>,
}

impl<'a> AgentStatus<'a> {
    fn of(agent: &'a AgentState, now: Instant) -> Self {
        let AgentState { config, door, breaker, stats, .. } = agent;
        let counted = |wanted: fn(Outcome) -> bool| {
            let outcomes = Outcome::ALL.into_iter().filter(|outcome| wanted(*outcome));
            outcomes.map(|outcome| (outcome.name(), stats.outcome(outcome))).collect()
        };
        let micros = |share| u64::try_from(stats.quantile(share).as_micros()).unwrap_or(u64::MAX);
        Self {
            id: &config.id,
            kind: &config.kind,
            state: state(agent),
            connections: door.connections(),
            runs: Runs::of(agent, now),
            restarts: door.started().map_or(0, Started::restarts),
            in_flight: stats.in_flight(),
            waiting: stats.waiting(),
            max_concurrent_calls: config.concurrency,
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            verdicts: counted(Outcome::is_verdict),
            failures: counted(Outcome::is_failure),
            cancelled: stats.outcome(Outcome::Cancelled),
            log_missed: stats.unlogged(),
            breaker: breaker_name(breaker),
            failure_mode: match config.failure_mode {
                FailureMode::Open => "open",
                FailureMode::Closed => "closed",
            },
            timeout_ms: u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX),
            after: config.after.iter().map(|id| &**id).collect(),
            said: door.introduction().map(|introduction| Said {
                name: introduction.name,
                version: introduction.version,
                wants: introduction.wants.iter().map(Wanted::of).collect(),
            }),
        }
    }
}

/// How an agent is, in one word.
pub(super) fn state(agent: &AgentState) -> &'static str {
    let condition = agent.door.started().map(Started::condition);
    match (agent.door.connections(), agent.door.silent_connections(), condition) {
        (1.., _, _) => "ready",
        (0, 1.., _) => "unresponsive",
        (0, 0, None) => "away",
        (0, 0, Some(condition)) => condition_name(&condition),
    }
}

fn condition_name(condition: &Condition) -> &'static str {
    match condition {
        Condition::Waiting => "waiting",
        Condition::Running { .. } => "running",
        Condition::Resting { .. } => "resting",
        Condition::Gone => "gone",
    }
}

impl<'a> Runs<'a> {
    fn of(agent: &'a AgentState, now: Instant) -> Self {
        let process = agent.door.started().map(|started| ProcessStatus::of(started, now));
        // Arguments are not told: they may hold secrets.
        match (&agent.config.program, process) {
            (AgentProgram::Own(..), Some(process)) => {
                Self::Process { program: "selvedge", process }
            }
            (AgentProgram::Command { program, .. }, Some(process)) => {
                Self::Process { program, process }
            }
            (_, _) => Self::Address { address: agent.door.path() },
        }
    }
}

impl ProcessStatus {
    fn of(started: &Started, now: Instant) -> Self {
        let condition = started.condition();
        let millis =
            |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let name = condition_name(&condition);
        let (mut pid, mut running_ms, mut ended, mut starts_in_ms) = (None, None, None, None);
        match condition {
            Condition::Running { pid: own, since } => {
                (pid, running_ms) = (Some(own), Some(millis(now.saturating_duration_since(since))));
            }
            Condition::Resting { ended: how, until } => {
                (ended, starts_in_ms) =
                    (Some(how), Some(millis(until.saturating_duration_since(now))));
            }
            Condition::Waiting | Condition::Gone => {}
        }
        Self { condition: name, pid, running_ms, ended, starts_in_ms }
    }
}

impl Wanted {
    fn of(one: &Subscription) -> Self {
        let Subscription { event, mode, body_max, methods, content_types } = one;
        Self {
            event: event.name(),
            mode: match mode {
                Mode::Whole => None,
                Mode::Inspect => Some("inspect"),
                Mode::Stream => Some("stream"),
            },
            bytes_max: *body_max,
            methods: methods.clone(),
            content_types: content_types.clone(),
        }
    }
}
