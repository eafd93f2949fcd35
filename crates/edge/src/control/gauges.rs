//! What metrics tell and no core counts: breakers, the health of targets, and agents.

use std::time::{Duration, Instant};

use selvedge_telemetry::{AgentFacts, BreakerState, Health, Reported};

use super::Watch;
use crate::{
    agent::{process::Started, state::AgentState, stats::Outcome},
    plan::Plan,
    upstream::breaker::{Breaker, Phase},
};

/// How old a gauge may be.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes now and then, and whenever another config takes effect.
pub(super) async fn run(mut in_force: Watch) {
    loop {
        let plan = in_force.borrow_and_update().plan.clone();
        publish(&plan, Instant::now());
        if let Ok(Err(_)) = tokio::time::timeout(EVERY, in_force.changed()).await {
            return;
        }
    }
}

/// Writes what is known at `now` to the labels of `plan`.
pub(crate) fn publish(plan: &Plan, now: Instant) {
    for (index, upstream) in plan.upstreams.iter().enumerate() {
        let breaker = upstream.state.breaker.as_ref();
        let state = breaker.map_or(BreakerState::Closed, |breaker| breaker_state(breaker));
        plan.labels.upstream(index).set_breaker(state);
        let labels = plan.labels.targets(index);
        for (label, target) in labels.iter().zip(&upstream.state.targets) {
            label.set_health(match target.is_available(now) {
                true => Health::Healthy,
                false => Health::Unhealthy,
            });
        }
    }
    for (index, agent) in plan.agents.iter().enumerate() {
        plan.labels.agent(index).tell(facts_of(agent));
    }
}

fn facts_of(agent: &AgentState) -> AgentFacts {
    let AgentState { config, stats, door, breaker, .. } = agent;
    AgentFacts {
        calls: Outcome::ALL.map(|outcome| (outcome.name(), stats.outcome(outcome))).to_vec(),
        durations: stats.durations(),
        in_flight: stats.in_flight(),
        waiting: stats.waiting(),
        breaker: Some(breaker_state(breaker)),
        restarts: door.started().map(Started::restarts),
        up: door.connections() > 0,
        log_missed: stats.unlogged(),
        reported: door
            .measures()
            .report()
            .map(|report| Reported { kind: name_part(&config.kind), report }),
    }
}

/// A word of the config as a part of a metric's name.
fn name_part(word: &str) -> Box<str> {
    let fits = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    word.chars().map(|letter| fits(letter).to_ascii_lowercase()).collect::<String>().into()
}

fn breaker_state(breaker: &Breaker) -> BreakerState {
    match breaker.phase() {
        Phase::Closed => BreakerState::Closed,
        Phase::HalfOpen => BreakerState::HalfOpen,
        Phase::Open => BreakerState::Open,
    }
}
