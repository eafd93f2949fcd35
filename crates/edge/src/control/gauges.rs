//! What metrics tell of upstreams and no core counts: breakers and the health of targets.

use std::time::{Duration, Instant};

use selvedge_telemetry::{BreakerState, Health};

use super::Watch;
use crate::{
    plan::Plan,
    upstream::{breaker::Phase, target::UpstreamState},
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
        plan.labels.upstream(index).set_breaker(breaker_state(&upstream.state));
        let labels = plan.labels.targets(index);
        for (label, target) in labels.iter().zip(&upstream.state.targets) {
            label.set_health(match target.is_available(now) {
                true => Health::Healthy,
                false => Health::Unhealthy,
            });
        }
    }
}

fn breaker_state(upstream: &UpstreamState) -> BreakerState {
    match upstream.breaker.as_ref().map(|breaker| breaker.phase()) {
        None | Some(Phase::Closed) => BreakerState::Closed,
        Some(Phase::HalfOpen) => BreakerState::HalfOpen,
        Some(Phase::Open) => BreakerState::Open,
    }
}
