//! What the agent measures: what each policy said, and requests that nobody counted.

use selvedge_agent::{Counter, Labelled, Metrics};

use super::ruling::{Asked, Ruling};

/// What a policy said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Admitted,
    Delayed,
    Refused,
}

impl Said {
    const NAMES: [&str; 3] = ["admitted", "delayed", "refused"];
}

/// Counters of the agent.
#[derive(Debug)]
pub struct Tally {
    pub metrics: Metrics,
    /// Of each policy, in the order of the config.
    policies: Vec<[Counter; Said::NAMES.len()]>,
    uncounted: Labelled<Counter, 1>,
}

impl Tally {
    /// For policies of these ids; goes on with what was counted before.
    pub fn following<'p>(before: Option<&Self>, ids: impl Iterator<Item = &'p str>) -> Self {
        let metrics = before.map(|before| before.metrics.clone()).unwrap_or_default();
        let said = metrics.counters(
            "requests_total",
            "Requests by what a policy said; one that another policy refused counts there alone.",
            ["policy", "decision"],
        );
        let uncounted = metrics.counters(
            "uncounted_requests_total",
            "Requests that came while the store did not answer.",
            ["decision"],
        );
        let policies = ids.map(|id| Said::NAMES.map(|name| said.with([id, name]))).collect();
        Self { metrics, policies, uncounted }
    }

    pub fn count(&self, asked: &[Asked<'_>], ruling: &Ruling) {
        for (asked, standing) in asked.iter().zip(&ruling.standings) {
            let said = match standing.wait {
                Err(_) => Said::Refused,
                Ok(_) if !ruling.admitted => continue,
                Ok(wait) if wait.is_zero() => Said::Admitted,
                Ok(_) => Said::Delayed,
            };
            self.policies[asked.index][said as usize].add(1);
        }
    }

    /// The store does not answer.
    pub fn count_uncounted(&self, admitted: bool) {
        let said = if admitted { Said::Admitted } else { Said::Refused };
        self.uncounted.with([Said::NAMES[said as usize]]).add(1);
    }
}
