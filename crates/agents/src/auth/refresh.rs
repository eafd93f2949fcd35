//! When an issuer's keys are fetched: in the background, and for a key that nobody knows.
//!
//! No socket and no clock: whoever drives it says what time it is and what became of a fetch.

use std::time::{Duration, Instant};

/// First and longest pause after a fetch that failed; no pause is longer than the usual one.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The fetches of one issuer, of which one is under way at most.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    schedule: Schedule,
    due: Instant,
    is_fetching: bool,
    /// When the last fetch began.
    begun: Option<Instant>,
    /// Fetches that have ended.
    ended: u64,
    /// Failures since the last success.
    failures: u32,
}

/// How often fetches happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Between fetches that nobody asked for.
    pub(super) every: Duration,
    /// At least this between the start of one fetch and of another that somebody asks for.
    pub(super) apart: Duration,
}

/// What comes of asking for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// One is under way or about to begin: the keys are as new as can be once this many have ended.
    Await(u64),
    /// One began too short a time ago: the keys are new enough.
    Recent,
}

impl Refresh {
    /// The first fetch is due at once.
    pub(super) fn new(schedule: Schedule, now: Instant) -> Self {
        Self { schedule, due: now, is_fetching: false, begun: None, ended: 0, failures: 0 }
    }

    /// When the next fetch is due; not while one is under way.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_fetching).then_some(self.due)
    }

    /// Whether a fetch is to begin now; then its end is to be told.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let begins = !self.is_fetching && now >= self.due;
        if begins {
            self.is_fetching = true;
            self.begun = Some(now);
        }
        begins
    }

    /// Somebody has a token whose key is not known.
    pub(super) fn demand(&mut self, now: Instant) -> Demand {
        if self.is_fetching || now >= self.due {
            return Demand::Await(self.ended + 1);
        }
        if self.begun.is_some_and(|begun| now < begun + self.schedule.apart) {
            return Demand::Recent;
        }
        self.due = now;
        Demand::Await(self.ended + 1)
    }

    /// The fetch has ended well. `chance` is from 0 to 1 and parts the fetches of many processes.
    pub(super) fn succeeded(&mut self, now: Instant, chance: f64) {
        self.failures = 0;
        self.end(now + jittered(self.schedule.every, chance));
    }

    /// The fetch has failed; the next comes sooner, later each time.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        let pause = RETRY.0.saturating_mul(1 << self.failures.min(16)).min(RETRY.1);
        self.failures = self.failures.saturating_add(1);
        self.end(now + jittered(pause.min(self.schedule.every), chance));
    }

    /// Fetches that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    fn end(&mut self, due: Instant) {
        self.is_fetching = false;
        self.ended += 1;
        self.due = due;
    }
}

/// From 90 % to 100 % of `pause`.
fn jittered(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 - 0.1 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: Schedule =
        Schedule { every: Duration::from_secs(600), apart: Duration::from_secs(30) };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// One that fetched at `now` with success.
    fn fresh(now: Instant) -> Refresh {
        let mut refresh = Refresh::new(SCHEDULE, now);
        assert!(refresh.handle_timeout(now));
        refresh.succeeded(now, 0.0);
        refresh
    }

    #[test]
    fn keys_are_fetched_at_once_and_then_at_times() {
        let now = Instant::now();
        let mut refresh = fresh(now);
        assert_eq!(refresh.poll_timeout(), Some(now + seconds(600)));
        assert!(!refresh.handle_timeout(now + seconds(599)));
        assert!(refresh.handle_timeout(now + seconds(600)));
        assert_eq!(refresh.poll_timeout(), None);
        refresh.succeeded(now + seconds(601), 1.0);
        assert_eq!(refresh.poll_timeout(), Some(now + seconds(601 + 540)));
    }

    #[test]
    fn failures_come_again_soon_and_then_rarely() {
        let start = Instant::now();
        let (mut refresh, mut now) = (fresh(start), start + seconds(600));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(refresh.handle_timeout(now));
            refresh.failed(now, 0.0);
            pauses.push((refresh.poll_timeout().unwrap() - now).as_secs());
            now = refresh.poll_timeout().unwrap();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(refresh.handle_timeout(now));
        refresh.succeeded(now, 0.0);
        assert_eq!(refresh.poll_timeout(), Some(now + seconds(600)));
    }

    #[test]
    fn an_unknown_key_is_looked_for_once_in_a_while() {
        let now = Instant::now();
        let mut refresh = fresh(now);
        assert_eq!(refresh.demand(now + seconds(29)), Demand::Recent);
        let late = now + seconds(30);
        assert_eq!(refresh.demand(late), Demand::Await(2));
        assert_eq!(refresh.demand(late), Demand::Await(2));
        assert!(refresh.handle_timeout(late));
        assert_eq!(refresh.demand(late + seconds(1)), Demand::Await(2));
        refresh.succeeded(late + seconds(2), 0.0);
        assert_eq!(refresh.ended(), 2);
        assert_eq!(refresh.demand(late + seconds(29)), Demand::Recent);
        assert_eq!(refresh.demand(late + seconds(30)), Demand::Await(3));
    }

    #[test]
    fn the_first_request_waits_for_the_first_fetch() {
        let now = Instant::now();
        let mut refresh = Refresh::new(SCHEDULE, now);
        assert_eq!(refresh.demand(now), Demand::Await(1));
        assert!(refresh.handle_timeout(now));
        assert_eq!(refresh.demand(now), Demand::Await(1));
    }

    proptest! {
        /// Whatever happens in whatever order, demands begin at most one fetch in their interval, and a
        /// fetch is due again sooner or later.
        #[test]
        fn demands_never_hurry(steps in prop::collection::vec((0_u64..40_000, 0_u8..4), 1..200)) {
            let mut now = Instant::now();
            let mut refresh = Refresh::new(SCHEDULE, now);
            let mut last_begun: Option<Instant> = None;
            for (pause_ms, what) in steps {
                now += Duration::from_millis(pause_ms);
                let was_due = refresh.poll_timeout().is_some_and(|due| due <= now);
                let demanded = what == 0 && matches!(refresh.demand(now), Demand::Await(_));
                if refresh.handle_timeout(now) {
                    if demanded && !was_due {
                        let apart = last_begun.map(|begun| now - begun);
                        prop_assert!(apart.is_none_or(|apart| apart >= SCHEDULE.apart));
                    }
                    last_begun = Some(now);
                } else if refresh.poll_timeout().is_none() {
                    match what {
                        1 => refresh.succeeded(now, 0.5),
                        2 => refresh.failed(now, 0.5),
                        _ => (),
                    }
                }
                let due = refresh.poll_timeout();
                prop_assert!(due.is_none_or(|due| due <= now + SCHEDULE.every));
            }
        }
    }
}
