//! The circuit breaker: an upstream that keeps failing is left alone for a while.
//!
//! Closed, every request passes, and a success costs one atomic load. `failure_threshold` failures
//! within the sliding window open it; open, everything is refused at once. After `timeout` it is
//! half-open: just as many probes pass as successes are still missing. One failed probe opens it
//! again, enough successful ones close it.
//!
//! **Invariant**: a probe gives its slot back however it ends. A request that is cancelled drops its
//! [`Permit`], and the slot is free for the next one, so half-open always admits or already waits
//! for a permit that somebody holds.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use selvedge_config as config;

use super::epoch::{Epoch, micros};

/// One upstream's breaker, shared by all cores.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: config::Breaker,
    epoch: Epoch,
    /// What [`Breaker::try_admit`] reads without the lock; written only under it.
    glance: Glance,
    state: Mutex<State>,
}

/// Permission for one request; give it a verdict when the response head has arrived, or failed to.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    generation: u64,
    probe: bool,
    change: Option<Change>,
}

/// The breaker refused; asking again makes sense after this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryAfter(pub(crate) Duration);

/// A change of state, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Too many failures within the window.
    Opened {
        /// How long it stays open.
        rest: Duration,
    },
    /// The rest is over; probes pass.
    HalfOpened,
    /// A probe failed.
    Reopened {
        /// How long it stays open.
        rest: Duration,
    },
    /// Enough probes succeeded.
    Closed,
}

/// Where a breaker stands, for metrics and the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// Probes pass.
    HalfOpen,
}

/// Phase and generation in one word, and what a refusal needs to know.
#[derive(Debug)]
struct Glance {
    /// `generation << 2 | phase`.
    word: AtomicU64,
    /// When the rest ends, in microseconds of the epoch.
    until: AtomicU64,
    /// Free probe slots. Out of date it costs one needless lock or one needless refusal.
    slots: AtomicU32,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Rises with each change of phase, so that a late verdict is told from a current one.
    generation: u64,
    /// Times of the failures within the window while closed; never more than the threshold.
    failures: VecDeque<u64>,
    /// Probes of this generation that passed and have no verdict yet.
    probing: u32,
    /// Probes that succeeded.
    succeeded: u32,
}

/// What is told to those who come while every probe slot is taken.
const PROBING_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Breaker {
    /// A closed breaker.
    pub(crate) fn new(settings: config::Breaker, now: Instant) -> Self {
        let state = State {
            phase: Phase::Closed,
            generation: 0,
            failures: VecDeque::new(),
            probing: 0,
            succeeded: 0,
        };
        let glance = Glance {
            word: AtomicU64::new(word(Phase::Closed, 0)),
            until: AtomicU64::new(0),
            slots: AtomicU32::new(0),
        };
        Self { settings, epoch: Epoch::new(now), glance, state: Mutex::new(state) }
    }

    /// The settings it was made with.
    pub(crate) fn settings(&self) -> &config::Breaker {
        &self.settings
    }

    /// Where it stands. An open breaker whose rest is over is half-open only once somebody asks.
    pub(crate) fn phase(&self) -> Phase {
        phase_of(self.glance.word.load(Relaxed))
    }

    /// Lets a request pass, or says when to come back.
    pub(crate) fn try_admit(self: &Arc<Self>, now: Instant) -> Result<Permit, RetryAfter> {
        let word = self.glance.word.load(Relaxed);
        match phase_of(word) {
            Phase::Closed => Ok(self.permit(word >> 2, false, None)),
            Phase::Open => match self.rest_left(now) {
                Some(left) => Err(RetryAfter(left)),
                None => self.try_probe(now),
            },
            Phase::HalfOpen if self.glance.slots.load(Relaxed) == 0 => {
                Err(RetryAfter(PROBING_RETRY_AFTER))
            }
            Phase::HalfOpen => self.try_probe(now),
        }
    }

    /// Ends the rest of an open breaker: there is news that makes a probe worthwhile.
    pub(crate) fn wake(&self) {
        self.glance.until.store(0, Relaxed);
    }

    /// Admits under the lock, where the phase cannot change between question and answer.
    fn try_probe(self: &Arc<Self>, now: Instant) -> Result<Permit, RetryAfter> {
        let mut state = self.lock();
        let mut change = None;
        if state.phase == Phase::Open {
            if let Some(left) = self.rest_left(now) {
                return Err(RetryAfter(left));
            }
            self.enter(&mut state, Phase::HalfOpen);
            change = Some(Change::HalfOpened);
        }
        if state.phase == Phase::Closed {
            return Ok(self.permit(state.generation, false, None));
        }
        if self.free_slots(&state) == 0 {
            return Err(RetryAfter(PROBING_RETRY_AFTER));
        }
        state.probing += 1;
        self.glance.slots.store(self.free_slots(&state), Relaxed);
        Ok(self.permit(state.generation, true, change))
    }

    fn permit(self: &Arc<Self>, generation: u64, probe: bool, change: Option<Change>) -> Permit {
        Permit { breaker: Arc::clone(self), generation, probe, change }
    }

    /// Time until probes may pass; `None` when the rest is over.
    fn rest_left(&self, now: Instant) -> Option<Duration> {
        let left = self.glance.until.load(Relaxed).saturating_sub(self.epoch.micros(now));
        (left > 0).then(|| Duration::from_micros(left))
    }

    /// Slots of half-open: as many as successes are missing, less those under way.
    fn free_slots(&self, state: &State) -> u32 {
        self.successes_needed().saturating_sub(state.succeeded).saturating_sub(state.probing)
    }

    fn successes_needed(&self) -> u32 {
        self.settings.success_threshold.max(1)
    }

    /// A request of the closed phase failed.
    fn record_failure(&self, generation: u64, now: Instant) -> Option<Change> {
        let mut state = self.lock();
        if state.generation != generation {
            return None;
        }
        let now = self.epoch.micros(now);
        let window = micros(self.settings.window);
        while state.failures.front().is_some_and(|&at| now.saturating_sub(at) >= window) {
            state.failures.pop_front();
        }
        state.failures.push_back(now);
        if state.failures.len() < self.settings.failure_threshold as usize {
            return None;
        }
        self.open(&mut state, now);
        Some(Change::Opened { rest: self.settings.timeout })
    }

    /// A probe has its verdict: `Some(ok)`, or `None` when it was cancelled.
    fn record_probe(&self, generation: u64, verdict: Option<(bool, Instant)>) -> Option<Change> {
        let mut state = self.lock();
        if state.generation != generation {
            return None;
        }
        state.probing -= 1;
        let change = match verdict {
            None => None,
            Some((false, now)) => {
                self.open(&mut state, self.epoch.micros(now));
                Some(Change::Reopened { rest: self.settings.timeout })
            }
            Some((true, _)) => {
                state.succeeded += 1;
                let enough = state.succeeded >= self.successes_needed();
                enough.then(|| {
                    self.enter(&mut state, Phase::Closed);
                    Change::Closed
                })
            }
        };
        self.glance.slots.store(self.free_slots(&state), Relaxed);
        change
    }

    fn open(&self, state: &mut State, now_micros: u64) {
        let until = now_micros.saturating_add(micros(self.settings.timeout));
        self.glance.until.store(until, Relaxed);
        self.enter(state, Phase::Open);
    }

    fn enter(&self, state: &mut State, phase: Phase) {
        let generation = state.generation + 1;
        *state = State { phase, generation, failures: VecDeque::new(), probing: 0, succeeded: 0 };
        self.glance.slots.store(self.free_slots(state), Relaxed);
        self.glance.word.store(word(phase, generation), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The change of state that this admission made, to be logged once.
    pub(crate) fn change(&self) -> Option<Change> {
        self.change
    }

    /// Whether this request decides if the breaker closes.
    #[cfg(test)]
    pub(crate) fn is_probe(&self) -> bool {
        self.probe
    }

    /// The upstream answered.
    pub(crate) fn success(mut self, now: Instant) -> Option<Change> {
        if !self.take_probe() {
            return None;
        }
        self.breaker.record_probe(self.generation, Some((true, now)))
    }

    /// The upstream failed.
    pub(crate) fn failure(mut self, now: Instant) -> Option<Change> {
        if !self.take_probe() {
            return self.breaker.record_failure(self.generation, now);
        }
        self.breaker.record_probe(self.generation, Some((false, now)))
    }

    /// Takes the duty to give the slot back away from `drop`.
    fn take_probe(&mut self) -> bool {
        std::mem::take(&mut self.probe)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.take_probe() {
            self.breaker.record_probe(self.generation, None);
        }
    }
}

fn word(phase: Phase, generation: u64) -> u64 {
    let phase = match phase {
        Phase::Closed => 0,
        Phase::Open => 1,
        Phase::HalfOpen => 2,
    };
    generation << 2 | phase
}

fn phase_of(word: u64) -> Phase {
    match word & 3 {
        0 => Phase::Closed,
        1 => Phase::Open,
        _ => Phase::HalfOpen,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn settings(failure_threshold: u32, success_threshold: u32) -> config::Breaker {
        config::Breaker {
            failure_threshold,
            success_threshold,
            window: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        }
    }

    /// Plays a script on a breaker of 3 failures and 2 successes: `a` admit, `s` success, `f` failure,
    /// `d` drop (each of the oldest permit), a digit waits that many seconds.
    #[track_caller]
    fn check(script: &str, expected: Expect) {
        let start = Instant::now();
        let breaker = Arc::new(Breaker::new(settings(3, 2), start));
        let (mut now, mut permits, mut log) = (start, VecDeque::new(), String::new());
        for step in script.chars() {
            let line = match step {
                'a' => match breaker.try_admit(now) {
                    Ok(permit) => {
                        let line = format!("probe={} {:?}", permit.is_probe(), permit.change());
                        permits.push_back(permit);
                        line
                    }
                    Err(refusal) => format!("{refusal:?}"),
                },
                's' => format!("{:?}", permits.pop_front().unwrap().success(now)),
                'f' => format!("{:?}", permits.pop_front().unwrap().failure(now)),
                'd' => format!("{:?}", drop(permits.pop_front().unwrap())),
                digit => {
                    now += Duration::from_secs(digit.to_digit(10).unwrap().into());
                    continue;
                }
            };
            log += &format!("{step} {line} -> {:?}\n", breaker.phase());
        }
        expected.assert_eq(&log);
    }

    #[test]
    fn failures_within_the_window_open_it() {
        check(
            "afafaf",
            expect![[r#"
            a probe=false None -> Closed
            f None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            a probe=false None -> Closed
            f Some(Opened { rest: 5s }) -> Open
        "#]],
        );
    }

    #[test]
    fn failures_leave_the_window_one_by_one() {
        check(
            "af4af6afaf",
            expect![[r#"
            a probe=false None -> Closed
            f None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            a probe=false None -> Closed
            f Some(Opened { rest: 5s }) -> Open
        "#]],
        );
    }

    #[test]
    fn open_refuses_until_the_rest_is_over_then_enough_probes_close_it() {
        check(
            "aaafff3a2aaassa",
            expect![[r#"
            a probe=false None -> Closed
            a probe=false None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            f None -> Closed
            f Some(Opened { rest: 5s }) -> Open
            a RetryAfter(2s) -> Open
            a probe=true Some(HalfOpened) -> HalfOpen
            a probe=true None -> HalfOpen
            a RetryAfter(1s) -> HalfOpen
            s None -> HalfOpen
            s Some(Closed) -> Closed
            a probe=false None -> Closed
        "#]],
        );
    }

    #[test]
    fn one_failed_probe_opens_it_again() {
        check(
            "aaafff5aafas",
            expect![[r#"
            a probe=false None -> Closed
            a probe=false None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            f None -> Closed
            f Some(Opened { rest: 5s }) -> Open
            a probe=true Some(HalfOpened) -> HalfOpen
            a probe=true None -> HalfOpen
            f Some(Reopened { rest: 5s }) -> Open
            a RetryAfter(5s) -> Open
            s None -> Open
        "#]],
        );
    }

    #[test]
    fn a_cancelled_probe_gives_its_slot_back() {
        check(
            "aaafff5aaadadada",
            expect![[r#"
            a probe=false None -> Closed
            a probe=false None -> Closed
            a probe=false None -> Closed
            f None -> Closed
            f None -> Closed
            f Some(Opened { rest: 5s }) -> Open
            a probe=true Some(HalfOpened) -> HalfOpen
            a probe=true None -> HalfOpen
            a RetryAfter(1s) -> HalfOpen
            d () -> HalfOpen
            a probe=true None -> HalfOpen
            d () -> HalfOpen
            a probe=true None -> HalfOpen
            d () -> HalfOpen
            a probe=true None -> HalfOpen
        "#]],
        );
    }

    #[test]
    fn verdicts_of_an_older_phase_count_for_nothing() {
        check(
            "aaaaaafff5aafffss",
            expect![[r#"
                a probe=false None -> Closed
                a probe=false None -> Closed
                a probe=false None -> Closed
                a probe=false None -> Closed
                a probe=false None -> Closed
                a probe=false None -> Closed
                f None -> Closed
                f None -> Closed
                f Some(Opened { rest: 5s }) -> Open
                a probe=true Some(HalfOpened) -> HalfOpen
                a probe=true None -> HalfOpen
                f None -> HalfOpen
                f None -> HalfOpen
                f None -> HalfOpen
                s None -> HalfOpen
                s Some(Closed) -> Closed
            "#]],
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit,
        /// The permit at this place, counted around, gets its verdict or is dropped.
        Success(usize),
        Failure(usize),
        Drop(usize),
        Wait(u64),
        Wake,
    }

    /// A breaker, its clock and everyone who holds a permit.
    struct World {
        breaker: Arc<Breaker>,
        now: Instant,
        permits: Vec<Permit>,
        failures: u32,
        successes: u32,
    }

    impl World {
        fn new(failures: u32, successes: u32) -> Self {
            let now = Instant::now();
            let breaker = Arc::new(Breaker::new(settings(failures, successes), now));
            Self { breaker, now, permits: Vec::new(), failures, successes }
        }

        fn play(mut self, steps: impl IntoIterator<Item = Step>) {
            for step in steps {
                self.step(step);
                self.check();
            }
            self.end();
        }

        fn step(&mut self, step: Step) {
            let (now, held) = (self.now, self.permits.len());
            match step {
                Step::Admit => self.permits.extend(self.breaker.try_admit(now).ok()),
                Step::Wait(millis) => self.now += Duration::from_millis(millis),
                Step::Wake => self.breaker.wake(),
                Step::Success(_) | Step::Failure(_) | Step::Drop(_) if held == 0 => {}
                Step::Success(at) => drop(self.permits.swap_remove(at % held).success(now)),
                Step::Failure(at) => drop(self.permits.swap_remove(at % held).failure(now)),
                Step::Drop(at) => drop(self.permits.swap_remove(at % held)),
            }
        }

        fn check(&self) {
            let state = self.breaker.lock();
            let current = |permit: &&Permit| permit.probe && permit.generation == state.generation;
            let probes = self.permits.iter().filter(current).count();
            assert!(probes <= self.successes as usize);
            assert_eq!(probes, state.probing as usize);
            assert!(state.failures.len() < self.failures as usize);
        }

        /// Whatever happened, it closes once everyone has let go and enough probes succeed.
        fn end(mut self) {
            self.permits.clear();
            let later = self.now + Duration::from_secs(5);
            for _ in 0..self.successes {
                let permit = self.breaker.try_admit(later);
                assert!(permit.is_ok(), "wedged: {:?}", self.breaker);
                permit.unwrap().success(later);
            }
            assert_eq!(self.breaker.phase(), Phase::Closed);
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Admit),
            2 => any::<usize>().prop_map(Step::Success),
            2 => any::<usize>().prop_map(Step::Failure),
            1 => any::<usize>().prop_map(Step::Drop),
            1 => (0..8000u64).prop_map(Step::Wait),
            1 => Just(Step::Wake),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn never_too_many_probes_and_never_wedged(
            steps in steps(),
            failures in 1..5u32,
            successes in 1..4u32,
        ) {
            World::new(failures, successes).play(steps);
        }
    }

    /// Every story of up to six steps, with up to six who hold a permit.
    #[test]
    fn no_short_story_wedges_it() {
        const STEPS: [Step; 8] = [
            Step::Admit,
            Step::Success(0),
            Step::Failure(0),
            Step::Failure(1),
            Step::Drop(0),
            Step::Wait(4999),
            Step::Wait(5000),
            Step::Wake,
        ];
        for story in 0..STEPS.len().pow(6) {
            let places = (0..6).map(|place| story / STEPS.len().pow(place) % STEPS.len());
            World::new(2, 2).play(places.map(|place| STEPS[place]));
        }
    }

    #[test]
    fn cores_share_it() {
        let start = Instant::now();
        let breaker = Arc::new(Breaker::new(settings(3, 2), start));
        let probes_most = AtomicU32::new(0);
        thread::scope(|scope| {
            for core in 0..4 {
                let (breaker, probes_most) = (&breaker, &probes_most);
                scope.spawn(move || hammer(breaker, probes_most, start, core));
            }
        });
        assert!((1..=2).contains(&probes_most.into_inner()));
        let later = start + Duration::from_secs(10_000);
        for _ in 0..2 {
            breaker.try_admit(later).unwrap().success(later);
        }
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    fn hammer(breaker: &Arc<Breaker>, probes_most: &AtomicU32, start: Instant, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        for tick in 0..20_000u64 {
            let now = start + Duration::from_millis(tick * 50);
            let Ok(permit) = breaker.try_admit(now) else { continue };
            if permit.is_probe() {
                probes_most.fetch_max(breaker.lock().probing, Relaxed);
            }
            match rng.u8(0..3) {
                0 => drop(permit.success(now)),
                1 => drop(permit.failure(now)),
                _ => drop(permit),
            }
        }
    }
}
