use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use selvedge_agent::Report;

use super::BreakerState;

/// One agent's label.
pub type AgentLabel = Arc<Agent>;

/// An agent's name and what was last told of it. It counts for itself, so no core counts here.
#[derive(Debug)]
pub struct Agent {
    id: Box<str>,
    facts: Mutex<AgentFacts>,
}

/// What is known of an agent: totals since its id first came up, and how it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentFacts {
    /// Calls by how they ended, a stable token for each.
    pub calls: Vec<(&'static str, u64)>,
    /// How long they took.
    pub durations: CallDurations,
    /// Calls that it works on.
    pub in_flight: usize,
    /// Calls that wait for a permit.
    pub waiting: usize,
    /// Its circuit breaker.
    pub breaker: Option<BreakerState>,
    /// Starts after the first. `None`: somebody else starts it.
    pub restarts: Option<u32>,
    /// Whether any core has a connection to it on which it is ready.
    pub up: bool,
    /// Ends of exchanges that it was not told of.
    pub log_missed: u64,
    /// What it measured itself; `None`: it has not told, or is away.
    pub reported: Option<Reported>,
}

/// What an agent measured itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// What the agent is, as a part of names: letters, digits and `_`.
    pub kind: Box<str>,
    /// Its families.
    pub report: Arc<Report>,
}

/// Durations of calls as a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallDurations {
    /// Upper bounds, rising, each with the number of calls that took no longer.
    pub within: Vec<(Duration, u64)>,
    /// All calls.
    pub calls: u64,
    /// What they took together.
    pub sum: Duration,
}

impl Agent {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.into(), facts: Mutex::default() }
    }

    /// The operator's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells how it is; from any thread.
    pub fn tell(&self, facts: AgentFacts) {
        *self.facts() = facts;
    }

    /// What was told last.
    pub(super) fn facts(&self) -> MutexGuard<'_, AgentFacts> {
        // Facts are replaced whole: they are never half told.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
