//! Active health: what a row of probes says about a target, and when the next one is due.
//!
//! It sends nothing. Whoever probes asks [`Checkup::first_at`] and [`Checkup::next_at`] for the time
//! and reports each result to [`Checkup::record`].

use std::{
    fmt,
    time::{Duration, Instant},
};

use selvedge_config as config;

/// What the active check says of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// No row of probes was long enough yet. Counts as healthy.
    Unknown,
    /// The last word was good.
    Healthy,
    /// The last word was bad: no request goes there.
    Unhealthy,
}

/// The checks of one target.
#[derive(Clone, Debug)]
pub(crate) struct Checkup {
    every: Duration,
    healthy_after: u32,
    unhealthy_after: u32,
    health: Health,
    /// Equal results in a row.
    row: u32,
    last_passed: bool,
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeFailure {
    /// No connection.
    Connect(std::io::ErrorKind),
    /// No whole answer within the probe's timeout.
    Timeout,
    /// The connection ended, or what came was not HTTP.
    Garbled,
    /// A status outside of what is expected.
    Status {
        /// What came.
        status: u16,
        /// First and last status that pass.
        expect: (u16, u16),
    },
}

impl Health {
    /// Whether requests may go there.
    pub(crate) fn is_usable(self) -> bool {
        self != Self::Unhealthy
    }
}

impl Checkup {
    /// Begins with what is `known` of the target, for example from before a reload.
    pub(crate) fn new(settings: &config::HealthCheck, known: Health) -> Self {
        Self {
            every: settings.every,
            healthy_after: settings.healthy.max(1),
            unhealthy_after: settings.unhealthy.max(1),
            health: known,
            row: 0,
            last_passed: true,
        }
    }

    /// What the probes so far say.
    pub(crate) fn health(&self) -> Health {
        self.health
    }

    /// Takes a result; returns the new health when it changed.
    pub(crate) fn record(&mut self, passed: bool) -> Option<Health> {
        self.row = if passed == self.last_passed { self.row.saturating_add(1) } else { 1 };
        self.last_passed = passed;
        let (goal, needed) = match passed {
            true => (Health::Healthy, self.healthy_after),
            false => (Health::Unhealthy, self.unhealthy_after),
        };
        let changed = self.row >= needed && self.health != goal;
        changed.then(|| {
            self.health = goal;
            goal
        })
    }

    /// When the first probe is due: within a tenth of the interval, so that targets are soon known
    /// and not all asked at once.
    pub(crate) fn first_at(&self, now: Instant, rng: &mut fastrand::Rng) -> Instant {
        now + self.every.mul_f64(0.1 * rng.f64())
    }

    /// When the probe after one that began at `now` is due: the interval, ±10 %.
    pub(crate) fn next_at(&self, now: Instant, rng: &mut fastrand::Rng) -> Instant {
        now + self.every.mul_f64(0.9 + 0.2 * rng.f64())
    }
}

/// Whether a probe that was answered with `status` passed.
pub(crate) fn check_status(expect: (u16, u16), status: u16) -> Result<(), ProbeFailure> {
    let (first, last) = expect;
    match (first..=last).contains(&status) {
        true => Ok(()),
        false => Err(ProbeFailure::Status { status, expect }),
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(kind) => write!(f, "no connection: {kind}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Garbled => f.write_str("the answer was not HTTP"),
            Self::Status { status, expect: (first, last) } if first == last => {
                write!(f, "status {status} instead of {first}")
            }
            Self::Status { status, expect: (first, last) } => {
                write!(f, "status {status} outside of {first} to {last}")
            }
        }
    }
}

impl std::error::Error for ProbeFailure {}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn settings() -> config::HealthCheck {
        config::HealthCheck {
            probe: config::Probe::Tcp,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            healthy: 2,
            unhealthy: 3,
        }
    }

    /// `+` passed, `-` failed; prints each change behind the result that made it.
    #[track_caller]
    fn check(known: Health, results: &str, expected: Expect) {
        let mut checkup = Checkup::new(&settings(), known);
        let mut log = String::new();
        for result in results.chars() {
            log.push(result);
            if let Some(health) = checkup.record(result == '+') {
                log += &format!("{health:?}");
            }
        }
        expected.assert_eq(&log);
    }

    #[test]
    fn rows_change_health() {
        check(Health::Unknown, "++++", expect!["++Healthy++"]);
        check(Health::Unknown, "--+---", expect!["--+---Unhealthy"]);
        check(Health::Healthy, "--+--+----", expect!["--+--+---Unhealthy-"]);
        check(Health::Unhealthy, "+-+-++---", expect!["+-+-++Healthy---Unhealthy"]);
    }

    #[test]
    fn only_unhealthy_is_unusable() {
        let usable = [Health::Unknown, Health::Healthy, Health::Unhealthy].map(Health::is_usable);
        assert_eq!(usable, [true, true, false]);
    }

    #[track_caller]
    fn check_answer(expect: (u16, u16), status: u16, expected: Expect) {
        let answer = check_status(expect, status);
        expected.assert_eq(&answer.map_or_else(|why| why.to_string(), |()| "passed".to_owned()));
    }

    #[test]
    fn status_decides() {
        check_answer((200, 399), 200, expect!["passed"]);
        check_answer((200, 399), 399, expect!["passed"]);
        check_answer((200, 399), 400, expect!["status 400 outside of 200 to 399"]);
        check_answer((204, 204), 200, expect!["status 200 instead of 204"]);
    }

    proptest! {
        #[test]
        fn probes_are_spread_around_the_interval(seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let now = Instant::now();
            let checkup = Checkup::new(&settings(), Health::Unknown);
            let next = checkup.next_at(now, &mut rng) - now;
            prop_assert!((Duration::from_secs(9)..=Duration::from_secs(11)).contains(&next));
            let first = checkup.first_at(now, &mut rng) - now;
            prop_assert!(first <= Duration::from_secs(1));
        }
    }
}
