//! The retry budget: retries are a bounded share of the traffic, so that they cannot become the
//! outage.
//!
//! A ring of one-second counters remembers the last ten seconds. A retry is allowed while the
//! retries in it stay within `budget_percent` of its requests and a floor of [`FLOOR`], which keeps
//! retries useful where traffic is thin.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use selvedge_config as config;

use super::epoch::Epoch;

/// Retries allowed in ten seconds whatever the traffic.
pub(crate) const FLOOR: u64 = 3;

const SECONDS: usize = 10;

/// One upstream's retry budget, shared by all cores.
#[derive(Debug)]
pub(crate) struct Budget {
    /// 0 when retries are off: then nothing is counted.
    percent: u64,
    epoch: Epoch,
    requests: Ring,
    retries: Ring,
}

/// Ten counters, each for one second and marked with it: `second << 32 | count`.
#[derive(Debug, Default)]
struct Ring([AtomicU64; SECONDS]);

impl Budget {
    /// A budget without past. No attempts or 0 percent: every retry is refused.
    pub(crate) fn new(settings: &config::Retry, now: Instant) -> Self {
        let percent = if settings.attempts == 0 { 0 } else { settings.budget_percent };
        Self {
            percent: percent.into(),
            epoch: Epoch::new(now),
            requests: Ring::default(),
            retries: Ring::default(),
        }
    }

    /// Counts a request; its first attempt, not its retries.
    pub(crate) fn count_request(&self, now: Instant) {
        if self.percent > 0 {
            self.requests.add(self.second(now));
        }
    }

    /// Whether a retry may be made now; if so, it is counted.
    ///
    /// Counts first and looks then, so that cores that ask at once cannot exceed the budget
    /// together: at worst both are refused.
    pub(crate) fn try_retry(&self, now: Instant) -> bool {
        if self.percent == 0 {
            return false;
        }
        let second = self.second(now);
        self.retries.add(second);
        let allowed = FLOOR + self.requests.sum(second) * self.percent / 100;
        let within = self.retries.sum(second) <= allowed;
        if !within {
            self.retries.take_back(second);
        }
        within
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(self.epoch.micros(now) / 1_000_000).unwrap_or(u32::MAX)
    }
}

impl Ring {
    /// Adds one. A counter that still shows an older second begins anew.
    fn add(&self, second: u32) {
        let counter = self.counter(second);
        let mut seen = counter.load(Relaxed);
        while second_of(seen) < second {
            match counter.compare_exchange_weak(seen, word(second, 1), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
        counter.fetch_add(1, Relaxed);
    }

    /// Undoes one `add` of the same second; a counter that has moved on forgot it already.
    fn take_back(&self, second: u32) {
        let _ = self.counter(second).fetch_update(Relaxed, Relaxed, |seen| {
            (second_of(seen) == second && count_of(seen) > 0).then(|| seen - 1)
        });
    }

    /// Counts of the ten seconds that end with `second`.
    fn sum(&self, second: u32) -> u64 {
        let oldest = second.saturating_sub(SECONDS as u32 - 1);
        let words = self.0.iter().map(|counter| counter.load(Relaxed));
        words.filter(|&seen| second_of(seen) >= oldest).map(count_of).sum()
    }

    fn counter(&self, second: u32) -> &AtomicU64 {
        &self.0[second as usize % SECONDS]
    }
}

fn word(second: u32, count: u32) -> u64 {
    u64::from(second) << 32 | u64::from(count)
}

fn second_of(word: u64) -> u32 {
    (word >> 32) as u32
}

fn count_of(word: u64) -> u64 {
    word & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, thread, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn budget(budget_percent: u8, now: Instant) -> Budget {
        let retry =
            config::Retry { attempts: 1, budget_percent, statuses: Vec::new(), per_attempt: None };
        Budget::new(&retry, now)
    }

    /// After `requests` in the first second, how many retries pass when all come `later_s` on.
    #[track_caller]
    fn check(percent: u8, requests: u32, later_s: u64, expected: usize) {
        let now = Instant::now();
        let budget = budget(percent, now);
        (0..requests).for_each(|_| budget.count_request(now));
        let later = now + Duration::from_secs(later_s);
        let allowed = (0..1000).filter(|_| budget.try_retry(later)).count();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn retries_are_a_share_of_requests_above_a_floor() {
        check(20, 0, 0, 3);
        check(20, 100, 0, 23);
        check(20, 100, 9, 23);
        check(20, 100, 10, 3);
        check(100, 100, 0, 103);
        check(0, 100, 0, 0);
    }

    #[test]
    fn used_budget_comes_back_after_ten_seconds() {
        let now = Instant::now();
        let budget = budget(20, now);
        assert_eq!((0..10).filter(|_| budget.try_retry(now)).count(), 3);
        assert!(!budget.try_retry(now + Duration::from_secs(9)));
        assert!(budget.try_retry(now + Duration::from_secs(10)));
    }

    #[test]
    fn no_attempts_no_budget() {
        let now = Instant::now();
        let retry = config::Retry {
            attempts: 0,
            budget_percent: 20,
            statuses: Vec::new(),
            per_attempt: None,
        };
        assert!(!Budget::new(&retry, now).try_retry(now));
    }

    proptest! {
        #[test]
        fn never_exceeded(
            percent in 0..=100u8,
            steps in prop::collection::vec((any::<bool>(), 0..700u64), 0..300),
        ) {
            let start = Instant::now();
            let budget = budget(percent, start);
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            let mut at = 0;
            for (is_retry, wait_ms) in steps {
                at += wait_ms;
                let now = start + Duration::from_millis(at);
                let second = at / 1000;
                if !is_retry {
                    budget.count_request(now);
                    requests.push(second);
                    continue;
                }
                let in_window = |seen: &[u64]| {
                    seen.iter().filter(|&&s| s + SECONDS as u64 > second).count() as u64
                };
                let allowed = FLOOR + in_window(&requests) * u64::from(percent) / 100;
                let expected = percent > 0 && in_window(&retries) < allowed;
                prop_assert_eq!(budget.try_retry(now), expected);
                if expected {
                    retries.push(second);
                }
            }
        }
    }

    #[test]
    fn cores_share_it() {
        let start = Instant::now();
        let budget = budget(20, start);
        let allowed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        budget.count_request(start);
                        allowed.fetch_add(budget.try_retry(start).into(), Relaxed);
                    }
                });
            }
        });
        let most = 3 + 20_000 / 5;
        let allowed = allowed.into_inner();
        assert!(allowed <= most, "{allowed} of {most}");
        let rest = (0..10_000).filter(|_| budget.try_retry(start)).count();
        assert_eq!(allowed + rest, most, "a refused retry must not use the budget");
    }
}
