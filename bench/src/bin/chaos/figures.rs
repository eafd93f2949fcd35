//! What the exchanges of a run come to.

use std::time::{Duration, Instant};

use super::{
    course::is_recovered,
    load::{Exchange, Outcome, Route},
    upstream::Seen,
};

/// When things happened.
#[derive(Clone, Copy)]
pub struct Moments {
    /// Every route works.
    pub warm: Instant,
    /// The fault begins.
    pub began: Instant,
    /// The fault is over.
    pub ended: Instant,
}

/// The edge's resident memory.
#[derive(Clone, Copy)]
pub struct Memory {
    pub before_kib: u64,
    pub peak_kib: u64,
    pub after_kib: u64,
}

impl Memory {
    pub fn new(before_kib: u64) -> Self {
        Self { before_kib, peak_kib: before_kib, after_kib: before_kib }
    }
}

/// A line of the table.
pub struct Figures {
    pub closed: Closed,
    pub open: Open,
    pub memory: Memory,
    pub recovery: Recovery,
    pub steady: Steady,
}

/// The route that refuses without an answer.
pub struct Closed {
    /// Requests at the upstream that the agent had not seen, or had refused.
    pub uninspected: u64,
    pub refused: usize,
    pub slowest_refusal: Duration,
}

/// The route that goes on without an answer.
pub struct Open {
    pub failed: usize,
    pub uninspected: usize,
    /// The slowest of those that went on without an answer.
    pub slowest: Duration,
}

/// From the end of the fault.
pub struct Recovery {
    /// To the first inspected answer.
    pub first: Option<Duration>,
    /// To the last request that went without an answer.
    pub last_unanswered: Duration,
}

/// The route whose agent is well.
pub struct Steady {
    pub before: Latency,
    pub during: Latency,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
}

impl Figures {
    pub fn of(
        exchanges: &[Exchange],
        moments: Moments,
        pace: Duration,
        memory: Memory,
        seen: &Seen,
    ) -> Self {
        let Moments { warm, began, ended } = moments;
        let counted: Vec<&Exchange> = exchanges.iter().filter(|one| one.sent >= warm).collect();
        let steady = |from: Instant, to: Instant| {
            let within =
                |one: &&&Exchange| one.route == Route::Steady && one.sent >= from && one.sent < to;
            Latency::of(counted.iter().filter(within).map(|one| one.took), pace)
        };
        Self {
            closed: Closed::of(&counted, seen),
            open: Open::of(&counted),
            memory,
            recovery: Recovery::of(&counted, ended),
            steady: Steady {
                before: steady(warm, began),
                // A fault of a moment is felt until the agent is back.
                during: steady(began, ended.max(began + Duration::from_secs(1))),
            },
        }
    }

    /// A line for the terminal.
    pub fn summary(&self) -> String {
        let Self { closed, open, memory, recovery, steady } = self;
        format!(
            "closed {} uninspected, {} refused, slowest {:?}; open {} failed, {} uninspected, slowest {:?}; \
             RSS {} → {} → {} KiB; recovery {:?}, last unanswered {:?}; steady {:?} → {:?}",
            closed.uninspected,
            closed.refused,
            closed.slowest_refusal,
            open.failed,
            open.uninspected,
            open.slowest,
            memory.before_kib,
            memory.peak_kib,
            memory.after_kib,
            recovery.first,
            recovery.last_unanswered,
            steady.before,
            steady.during,
        )
    }
}

impl Closed {
    fn of(counted: &[&Exchange], seen: &Seen) -> Self {
        let own = counted.iter().filter(|one| one.route == Route::Closed);
        let refusals: Vec<Duration> =
            own.filter(|one| one.outcome == Outcome::Refused).map(|one| one.took).collect();
        Self {
            uninspected: seen.uninspected(Route::Closed) + seen.denied(Route::Closed),
            refused: refusals.len(),
            slowest_refusal: refusals.into_iter().max().unwrap_or_default(),
        }
    }
}

impl Open {
    fn of(counted: &[&Exchange]) -> Self {
        let own: Vec<_> = counted.iter().filter(|one| one.route == Route::Open).collect();
        let is_failed =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Refused);
        let passed: Vec<Duration> = own
            .iter()
            .filter(|one| one.outcome == Outcome::Uninspected)
            .map(|one| one.took)
            .collect();
        Self {
            failed: own.iter().filter(|one| is_failed(&one.outcome)).count(),
            uninspected: passed.len(),
            slowest: passed.into_iter().max().unwrap_or_default(),
        }
    }
}

impl Recovery {
    fn of(counted: &[&Exchange], ended: Instant) -> Self {
        let since = |one: &&Exchange| one.ended().saturating_duration_since(ended);
        let unanswered = |one: &&&Exchange| {
            let without = matches!(one.outcome, Outcome::Refused | Outcome::Uninspected);
            one.sent >= ended && without
        };
        Self {
            first: counted.iter().filter(|one| is_recovered(one, ended)).map(since).min(),
            last_unanswered: counted.iter().filter(unanswered).map(since).max().unwrap_or_default(),
        }
    }
}

impl Latency {
    /// Quantiles of `samples` of connections that ask every `pace`: who waits longer than that would have asked
    /// again meanwhile, and have waited for the rest of the time.
    fn of(samples: impl Iterator<Item = Duration>, pace: Duration) -> Self {
        let missed = |took: Duration| {
            std::iter::successors(Some(took), move |took| took.checked_sub(pace))
                .take_while(|took| !took.is_zero())
        };
        let mut all: Vec<Duration> = samples.flat_map(missed).collect();
        all.sort_unstable();
        let at = |share: f64| {
            let place = (all.len() as f64 * share) as usize;
            all.get(place.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_long_wait_counts_for_all_who_would_have_waited() {
        let quick = std::iter::repeat_n(ms(1), 97);
        assert_eq!(Latency::of(quick.clone(), ms(10)), Latency { p50: ms(1), p99: ms(1) });
        let stalled = quick.chain([ms(35)]);
        assert_eq!(Latency::of(stalled, ms(10)), Latency { p50: ms(1), p99: ms(25) });
    }

    #[test]
    fn recovery_is_counted_from_the_end_of_the_fault() {
        let start = Instant::now();
        let one = |sent: u64, took: u64, outcome| Exchange {
            route: Route::Closed,
            sent: start + ms(sent),
            took: ms(took),
            outcome,
        };
        let all = [
            one(0, 150, Outcome::Inspected),
            one(110, 30, Outcome::Refused),
            one(120, 5, Outcome::Inspected),
            one(130, 1, Outcome::Inspected),
        ];
        let recovery = Recovery::of(&all.iter().collect::<Vec<_>>(), start + ms(100));
        assert_eq!((recovery.first, recovery.last_unanswered), (Some(ms(25)), ms(40)));
    }
}
