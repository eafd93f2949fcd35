//! What is asked of a store of buckets, and what it says.

use std::time::Duration;

use super::{
    gcra::{Ask, Rate, Span},
    key::Key,
    policy::{Policy, Waiting},
};

/// What a request asks of one policy.
#[derive(Debug)]
pub struct Asked<'p> {
    /// Which policy, in the order of the config.
    pub index: usize,
    /// The policy.
    pub policy: &'p Policy,
    /// Whose bucket.
    pub key: Key,
    /// How much.
    pub ask: Ask,
    /// Where the request waits, if it must.
    pub place: Option<Waiting>,
}

/// What an exchange turned out to cost.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'p> {
    /// Which policy, in the order of the config.
    pub index: usize,
    /// The policy.
    pub policy: &'p Policy,
    /// Whose bucket.
    pub key: &'p Key,
    /// How much.
    pub tokens: u64,
}

/// A decision: all policies agreed, or nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether all agreed.
    pub admitted: bool,
    /// What each said, in the order in which they were asked.
    pub standings: Vec<Standing>,
}

/// How one policy stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The wait until it is admitted; as an error, until it would be: `None` for never.
    pub wait: Result<Duration, Option<Duration>>,
    /// Whole tokens left, after what was taken.
    pub remaining: u64,
    /// When there will be one more; `None` for a full bucket.
    pub next: Option<Duration>,
    /// Whether other keys share the bucket, there being no place of its own.
    pub crowded: bool,
}

/// How a bucket was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'p> {
    /// The rate in whose units `lag` is.
    pub rate: &'p Rate,
    /// What is asked of it.
    pub ask: Ask,
    /// How far off its fullness is.
    pub lag: Span,
    /// Whether other keys share it.
    pub crowded: bool,
}

impl Ruling {
    /// Rules on buckets as they were found.
    pub fn new(found: &[Found<'_>]) -> Self {
        let waits = found.iter().map(|found| found.rate.admit(found.lag, found.ask));
        let waits: Vec<_> = waits.collect();
        let admitted = waits.iter().all(Result::is_ok);
        let standing = |(found, wait): (&Found<'_>, _)| {
            let Found { rate, ask, lag, crowded } = *found;
            let lag = if admitted { lag.plus(rate.tokens(ask.take)) } else { lag };
            Standing { wait, crowded, ..Standing::charged(rate, lag) }
        };
        Self { admitted, standings: found.iter().zip(waits).map(standing).collect() }
    }

    /// The longest wait of all policies.
    pub fn wait(&self) -> Duration {
        let waits = self.standings.iter().filter_map(|standing| standing.wait.ok());
        waits.max().unwrap_or_default()
    }
}

impl Standing {
    /// Whether a request that was refused would be admitted after so long a wait.
    pub fn could_wait(&self, patience: Duration) -> bool {
        self.wait.err().flatten().is_some_and(|needed| needed <= patience)
    }

    /// How a bucket stands that lags so far.
    pub fn charged(rate: &Rate, lag: Span) -> Self {
        let (remaining, next) = (rate.remaining(lag), rate.until_next(lag));
        Self { wait: Ok(Duration::ZERO), remaining, next, crowded: false }
    }
}
