//! Passive ejection: a target that fails real requests rests for a while.
//!
//! `failures` in a row take a target out for `rest`. The row goes on until a success ends it: a
//! target that comes back and fails its first request rests again, each time twice as long, up to
//! ten times `rest`. Never more than `most_percent` of the targets are out at once (one may always
//! be, unless it is the only one).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use selvedge_config as config;

use super::epoch::{Epoch, micros};

/// A rest grows up to this many times the first one.
const REST_GROWTH_MAX: u32 = 10;

/// What is known of one target; shared by all cores.
#[derive(Debug)]
pub(crate) struct EjectionState {
    epoch: Epoch,
    /// Failures since the last success.
    streak: AtomicU32,
    /// Ejections since the last success in rotation.
    rests: AtomicU32,
    /// When the rest ends, in microseconds of the epoch; 0: never ejected.
    until: AtomicU64,
    /// Ejections in all, for metrics.
    total: AtomicU64,
}

/// Decides on ejections of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Ejector {
    settings: config::Ejection,
    /// Held while the share of ejected targets is counted and changed; survives a reload.
    gate: Arc<Mutex<()>>,
}

/// What happened, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The target is out.
    Ejected {
        /// For how long.
        rest: Duration,
        /// The how many-th time without a success in between.
        times: u32,
    },
    /// The target earned it, but too many others are out; said once per row of failures.
    Spared,
    /// The first success after a rest.
    Recovered,
}

impl EjectionState {
    /// A target without past.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            epoch: Epoch::new(now),
            streak: AtomicU32::new(0),
            rests: AtomicU32::new(0),
            until: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Whether the target rests at `now`.
    pub(crate) fn is_ejected(&self, now: Instant) -> bool {
        let until = self.until.load(Relaxed);
        until != 0 && self.epoch.micros(now) < until
    }

    /// Ejections in all.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Back into rotation, the past forgotten.
    pub(crate) fn release(&self) {
        self.until.store(0, Relaxed);
        self.rests.store(0, Relaxed);
        self.streak.store(0, Relaxed);
    }

    /// Returns the failures in a row, this one included.
    fn count_failure(&self) -> u32 {
        let more = |streak: u32| Some(streak.saturating_add(1));
        let before = self.streak.fetch_update(Relaxed, Relaxed, more);
        before.map_or(u32::MAX, |streak| streak.saturating_add(1))
    }

    fn rest(&self, first: Duration, now: Instant) -> Event {
        let times = self.rests.load(Relaxed).saturating_add(1);
        let rest = first.saturating_mul(growth(times));
        let until = self.epoch.micros(now).saturating_add(micros(rest)).max(1);
        self.rests.store(times, Relaxed);
        self.until.store(until, Relaxed);
        self.total.fetch_add(1, Relaxed);
        Event::Ejected { rest, times }
    }
}

impl Ejector {
    /// Decides by `settings`.
    pub(crate) fn new(settings: config::Ejection) -> Self {
        Self { settings, gate: Arc::default() }
    }

    /// Decides by `settings` about targets that `self` may still decide on.
    pub(crate) fn with_settings(&self, settings: config::Ejection) -> Self {
        Self { settings, gate: Arc::clone(&self.gate) }
    }

    /// A request to `target` succeeded. One that began before an ejection does not end it.
    pub(crate) fn success(&self, target: &EjectionState, now: Instant) -> Option<Event> {
        if target.streak.load(Relaxed) != 0 {
            target.streak.store(0, Relaxed);
        }
        if target.rests.load(Relaxed) == 0 || target.is_ejected(now) {
            return None;
        }
        (target.rests.swap(0, Relaxed) != 0).then_some(Event::Recovered)
    }

    /// A request to `target`, one of `targets`, failed.
    pub(crate) fn failure<'a>(
        &self,
        target: &EjectionState,
        targets: impl ExactSizeIterator<Item = &'a EjectionState>,
        now: Instant,
    ) -> Option<Event> {
        let streak = target.count_failure();
        let most = self.most(targets.len());
        if streak < self.settings.failures || most == 0 || target.is_ejected(now) {
            return None;
        }
        let _gate = self.close_gate();
        if target.is_ejected(now) {
            return None;
        }
        if targets.filter(|other| other.is_ejected(now)).count() >= most {
            return (streak == self.settings.failures).then_some(Event::Spared);
        }
        Some(target.rest(self.settings.rest, now))
    }

    /// Brings a set that has just changed within the bound: those whose rest ends first return.
    pub(crate) fn enforce<'a>(
        &self,
        targets: impl ExactSizeIterator<Item = &'a EjectionState>,
        now: Instant,
    ) {
        let _gate = self.close_gate();
        let most = self.most(targets.len());
        let mut out: Vec<_> = targets.filter(|target| target.is_ejected(now)).collect();
        out.sort_by_key(|target| target.until.load(Relaxed));
        let surplus = out.len().saturating_sub(most);
        out.iter().take(surplus).for_each(|target| target.release());
    }

    /// How many of `total` targets may be out at once.
    fn most(&self, total: usize) -> usize {
        match total {
            0 | 1 => 0,
            _ => (total * usize::from(self.settings.most_percent) / 100).clamp(1, total),
        }
    }

    fn close_gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 1, 2, 4, 8, 10, 10, … for the first ejection and those that follow.
fn growth(times: u32) -> u32 {
    1u32.checked_shl(times.saturating_sub(1)).map_or(REST_GROWTH_MAX, |g| g.min(REST_GROWTH_MAX))
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn ejector(failures: u32, most_percent: u8) -> Ejector {
        Ejector::new(config::Ejection { failures, rest: Duration::from_secs(10), most_percent })
    }

    fn targets(total: usize, now: Instant) -> Vec<EjectionState> {
        (0..total).map(|_| EjectionState::new(now)).collect()
    }

    fn ejected(targets: &[EjectionState], now: Instant) -> usize {
        targets.iter().filter(|target| target.is_ejected(now)).count()
    }

    /// Plays a script with 2 failures in a row on `total` targets: `a` is a failure of target 0, `A`
    /// its success, and so on; a digit waits that many times ten seconds. Prints what happened.
    #[track_caller]
    fn check(total: usize, script: &str, expected: Expect) {
        let mut now = Instant::now();
        let (ejector, targets) = (ejector(2, 50), targets(total, now));
        let mut log = String::new();
        for step in script.chars() {
            let index = usize::from(step.to_ascii_lowercase() as u8 - b'0');
            let event = match step {
                '0'..='9' => {
                    now += Duration::from_secs(10 * index as u64);
                    continue;
                }
                'a'..='z' => {
                    let target = &targets[usize::from(step as u8 - b'a')];
                    ejector.failure(target, targets.iter(), now)
                }
                _ => ejector.success(&targets[usize::from(step as u8 - b'A')], now),
            };
            if let Some(event) = event {
                log += &format!("{step} {event:?}\n");
            }
        }
        expected.assert_eq(&log);
    }

    #[test]
    fn failures_in_a_row_eject() {
        check(
            2,
            "aAaAabaA",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
        "#]],
        );
    }

    #[test]
    fn rests_double_up_to_ten_times() {
        check(
            2,
            "aa1a2a4a8a9a",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
            a Ejected { rest: 20s, times: 2 }
            a Ejected { rest: 40s, times: 3 }
            a Ejected { rest: 80s, times: 4 }
            a Ejected { rest: 100s, times: 5 }
        "#]],
        );
    }

    #[test]
    fn a_success_ends_the_row_and_shortens_the_rest_again() {
        check(
            2,
            "aa1A1aa",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
            A Recovered
            a Ejected { rest: 10s, times: 1 }
        "#]],
        );
    }

    #[test]
    fn a_late_success_does_not_end_a_rest() {
        check(
            2,
            "aaAa1a",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
            a Ejected { rest: 20s, times: 2 }
        "#]],
        );
    }

    #[test]
    fn most_percent_may_be_out() {
        check(
            4,
            "aabbccc1c",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
            b Ejected { rest: 10s, times: 1 }
            c Spared
            c Ejected { rest: 10s, times: 1 }
        "#]],
        );
        check(
            3,
            "aabb",
            expect![[r#"
            a Ejected { rest: 10s, times: 1 }
            b Spared
        "#]],
        );
    }

    #[test]
    fn the_only_target_stays() {
        check(1, "aaaaaa", expect![[""]]);
    }

    #[test]
    fn a_smaller_set_is_brought_within_the_bound() {
        let now = Instant::now();
        let (ejector, targets) = (ejector(1, 50), targets(4, now));
        for (step, target) in targets.iter().take(2).enumerate() {
            let at = now + Duration::from_secs(step as u64);
            assert!(ejector.failure(target, targets.iter(), at).is_some());
        }
        ejector.enforce(targets.iter().take(2), now);
        assert!(!targets[0].is_ejected(now) && targets[1].is_ejected(now));
        ejector.enforce(targets.iter().skip(1).take(1), now);
        assert!(!targets[1].is_ejected(now));
    }

    proptest! {
        #[test]
        fn never_more_than_the_share(
            total in 1..12usize,
            failures in 1..4u32,
            most_percent in 0..=100u8,
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, 0..20u64), 0..300),
        ) {
            let mut now = Instant::now();
            let (ejector, targets) = (ejector(failures, most_percent), targets(total, now));
            let share = total * usize::from(most_percent) / 100;
            let most = if total == 1 { 0 } else { share.max(1) };
            for (at, kind, wait_s) in steps {
                now += Duration::from_secs(wait_s);
                let target = &targets[at.index(total)];
                let event = match kind {
                    0 => ejector.success(target, now),
                    _ => ejector.failure(target, targets.iter(), now),
                };
                if let Some(Event::Ejected { rest, .. }) = event {
                    prop_assert!(rest >= Duration::from_secs(10));
                    prop_assert!(rest <= Duration::from_secs(100));
                    prop_assert!(target.is_ejected(now));
                }
                prop_assert!(ejected(&targets, now) <= most);
            }
            let later = now + Duration::from_secs(101);
            prop_assert_eq!(ejected(&targets, later), 0);
        }
    }

    /// While one core counts, another comes with a target of its own; only one may go.
    #[test]
    fn cores_that_eject_at_once_stay_within_the_share() {
        let now = Instant::now();
        let (ejector, targets) = (ejector(1, 50), targets(3, now));
        let (counting, finished) = (AtomicBool::new(false), AtomicBool::new(false));
        let linger = |(index, target)| {
            if index == 2 {
                counting.store(true, Relaxed);
                (0..50).filter(|_| !finished.load(Relaxed)).for_each(|_| pause());
            }
            target
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                while !counting.load(Relaxed) {
                    pause();
                }
                ejector.failure(&targets[1], targets.iter(), now);
                finished.store(true, Relaxed);
            });
            ejector.failure(&targets[0], targets.iter().enumerate().map(linger), now);
        });
        assert_eq!(ejected(&targets, now), 1);
    }

    fn pause() {
        thread::sleep(Duration::from_millis(1));
    }

    #[test]
    fn cores_share_it() {
        let start = Instant::now();
        let (ejector, targets) = (ejector(1, 50), targets(8, start));
        thread::scope(|scope| {
            for core in 0..4u64 {
                let (ejector, targets) = (&ejector, &targets);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(core);
                    for tick in 0..10_000 {
                        let now = start + Duration::from_millis(tick);
                        let target = &targets[rng.usize(0..8)];
                        match rng.u8(0..4) {
                            0 => ejector.success(target, now),
                            _ => ejector.failure(target, targets.iter(), now),
                        };
                    }
                });
            }
        });
        let end = start + Duration::from_secs(10);
        for target in &targets {
            ejector.failure(target, targets.iter(), end);
        }
        assert_eq!(ejected(&targets, end), 4);
    }
}
