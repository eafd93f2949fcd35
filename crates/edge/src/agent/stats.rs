//! What is counted of an agent, by all cores: for `selvedge agents`, metrics and the console.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use selvedge_telemetry::CallDurations;

/// How a call to an agent came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The agent lets it pass.
    Allow,
    /// The agent blocks.
    Block,
    /// The agent redirects.
    Redirect,
    /// The agent wants credentials first.
    Challenge,
    /// No verdict in time.
    Timeout,
    /// The breaker let nothing through.
    BreakerOpen,
    /// Too many calls waited.
    QueueFull,
    /// The agent is not there, went away, or broke the protocol.
    Lost,
    /// The agent said that it cannot decide.
    Abandoned,
    /// Nobody needed the verdict any more.
    Cancelled,
}

impl Outcome {
    pub(crate) const ALL: [Self; 10] = [
        Self::Allow,
        Self::Block,
        Self::Redirect,
        Self::Challenge,
        Self::Timeout,
        Self::BreakerOpen,
        Self::QueueFull,
        Self::Lost,
        Self::Abandoned,
        Self::Cancelled,
    ];

    /// Stable token for metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Redirect => "redirect",
            Self::Challenge => "challenge",
            Self::Timeout => "timeout",
            Self::BreakerOpen => "breaker_open",
            Self::QueueFull => "queue_full",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the agent decided.
    pub(crate) fn is_verdict(self) -> bool {
        matches!(self, Self::Allow | Self::Block | Self::Redirect | Self::Challenge)
    }

    /// Whether an answer was needed and none came.
    pub(crate) fn is_failure(self) -> bool {
        !self.is_verdict() && self != Self::Cancelled
    }
}

/// Buckets of latencies for each power of two microseconds.
const STEPS: usize = 4;
/// They reach to 16 s; what takes longer is in the last.
const BUCKETS: usize = STEPS * 24;
/// Powers of two microseconds that metrics have as bounds: 16 µs to 8.4 s. Below the last bucket, each
/// bound is the end of one.
const BOUND_POWERS: RangeInclusive<usize> = 4..=23;

/// Counts of one agent. Cores add to them without a lock.
#[derive(Debug)]
pub(crate) struct Stats {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Calls that have a permit.
    in_flight: AtomicUsize,
    /// Calls that wait for one.
    waiting: AtomicUsize,
    /// Ends of exchanges that it was not told of.
    unlogged: AtomicU64,
    latency: [AtomicU64; BUCKETS],
    latency_us_total: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            unlogged: AtomicU64::new(0),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
            latency_us_total: AtomicU64::new(0),
        }
    }
}

/// Counts one up for as long as it lives.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Stats {
    /// A call ended after `took`, the wait for its permit included.
    pub(crate) fn record(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        if outcome == Outcome::Cancelled {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency[bucket(micros)].fetch_add(1, Relaxed);
        self.latency_us_total.fetch_add(micros, Relaxed);
    }

    /// The agent was not told how an exchange ended.
    pub(crate) fn note_unlogged(&self) {
        self.unlogged.fetch_add(1, Relaxed);
    }

    /// Ends of exchanges that the agent was not told of.
    pub(crate) fn unlogged(&self) -> u64 {
        self.unlogged.load(Relaxed)
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Counts a call that has its permit.
    pub(crate) fn enter(&self) -> Counted<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        Counted(&self.in_flight)
    }

    /// Counts a call that waits for its permit; `None` when `max` wait already.
    pub(crate) fn try_wait(&self, max: usize) -> Option<Counted<'_>> {
        let counted = Counted(&self.waiting);
        let before = self.waiting.fetch_add(1, Relaxed);
        (before < max).then_some(counted)
    }

    /// The latency that `share` of all calls did not exceed; zero before the first call. It is at
    /// most a quarter too high.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self.latency.iter().map(|count| count.load(Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let rank = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let position = counts.iter().position(|count| {
            seen += count;
            all > 0 && seen >= rank
        });
        position.map_or(Duration::ZERO, |bucket| Duration::from_micros(upper_end(bucket)))
    }

    /// The latencies as metrics want them: how many calls took no longer than each power of two.
    pub(crate) fn durations(&self) -> CallDurations {
        let counts: Vec<u64> = self.latency.iter().map(|count| count.load(Relaxed)).collect();
        let within = BOUND_POWERS.map(|power| {
            let below = counts[..power * STEPS].iter().sum();
            (Duration::from_micros(1 << power), below)
        });
        CallDurations {
            within: within.collect(),
            calls: counts.iter().sum(),
            sum: Duration::from_micros(self.latency_us_total.load(Relaxed)),
        }
    }
}

fn bucket(micros: u64) -> usize {
    let power = micros.max(1).ilog2() as usize;
    // The two bits below the highest one.
    let step = (micros.max(1) << 2 >> power) as usize & 3;
    (power * STEPS + step).min(BUCKETS - 1)
}

/// The largest number of microseconds of a bucket, about.
fn upper_end(bucket: usize) -> u64 {
    let (power, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    ((5 + step) << power) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_a_quarter() {
        let stats = Stats::default();
        assert_eq!(stats.quantile(0.5), Duration::ZERO);
        for micros in 1..=1000 {
            stats.record(Outcome::Allow, Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (0.01, 10.0)] {
            let found = stats.quantile(share).as_micros() as f64;
            assert!((exact..=exact * 1.26).contains(&found), "{share}: {found}");
        }
        assert_eq!(stats.outcome(Outcome::Allow), 1000);
    }

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let stats = Stats::default();
        for took_us in [1, 15, 16, 17, 1_023, 1_024, 9_000_000, 60_000_000] {
            stats.record(Outcome::Timeout, Duration::from_micros(took_us));
        }
        stats.record(Outcome::Cancelled, Duration::from_secs(1));
        let durations = stats.durations();
        let within = |micros| {
            let bound = Duration::from_micros(micros);
            durations.within.iter().find(|(own, _)| *own == bound).map(|(_, calls)| *calls)
        };
        let bounds = [16, 32, 1_024, 2_048, 8_388_608];
        assert_eq!(bounds.map(within), [2, 4, 5, 6, 6].map(Some));
        assert_eq!(durations.within.len(), 20);
        assert_eq!(durations.calls, 8);
        assert_eq!(durations.sum, Duration::from_micros(69_002_096));
    }

    #[test]
    fn every_latency_has_a_bucket() {
        for micros in [0, 1, 2, 3, 5, 1 << 20, u64::MAX] {
            let found = bucket(micros);
            assert!(found < BUCKETS);
            assert!(upper_end(found) >= micros.min(1 << 23), "{micros}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let stats = Stats::default();
        let first = stats.try_wait(1);
        assert!(first.is_some());
        assert!(stats.try_wait(1).is_none());
        assert_eq!(stats.waiting(), 1);
        drop(first);
        assert_eq!(stats.waiting(), 0);
        let _counted = stats.enter();
        assert_eq!(stats.in_flight(), 1);
    }
}
