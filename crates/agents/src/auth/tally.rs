//! What the agent measures: who was let in by what, and why others were not.

use selvedge_agent::{Counter, Labelled, Metrics};

/// By what somebody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Token,
    Key,
    Certificate,
    Anonymous,
}

impl Entry {
    const NAMES: [&str; 4] = ["token", "key", "certificate", "anonymous"];
}

/// Counters of the agent.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) metrics: Metrics,
    decisions: Labelled<Counter, 2>,
    allowed: [Counter; Entry::NAMES.len()],
}

impl Tally {
    /// Goes on with what was counted before.
    pub(super) fn following(before: Option<&Self>) -> Self {
        let metrics = before.map(|before| before.metrics.clone()).unwrap_or_default();
        let decisions = metrics.counters(
            "decisions_total",
            "Requests by what was decided, and by which credential or for what reason.",
            ["decision", "reason"],
        );
        let allowed = Entry::NAMES.map(|entry| decisions.with(["allowed", entry]));
        Self { metrics, decisions, allowed }
    }

    pub(super) fn allow(&self, entry: Entry) {
        self.allowed[entry as usize].add(1);
    }

    pub(super) fn refuse(&self, code: &str) {
        self.decisions.with(["refused", code]).add(1);
    }
}
