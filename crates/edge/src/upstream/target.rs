//! What is known of an upstream and of each of its targets; shared by all cores.
//!
//! A target's state belongs to its address: it survives a reload as long as the address stays in
//! the upstream, so that requests in flight stay counted and a sick server stays out.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use selvedge_config::{self as config, TargetAddress};

use super::{
    balance::hash_key,
    breaker::Breaker,
    budget::Budget,
    ejection::{self, EjectionState, Ejector},
    epoch::{Epoch, micros},
    health::Health,
};

/// One upstream: its settings, its targets, and what guards it as a whole.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    /// What the operator wrote.
    pub(crate) config: Arc<config::Upstream>,
    /// In the order of `config.targets`.
    pub(crate) targets: Vec<Arc<TargetState>>,
    /// `None`: no breaker.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// How many retries are left.
    pub(crate) budget: Arc<Budget>,
    ejector: Option<Ejector>,
}

/// One target.
#[derive(Debug)]
pub(crate) struct TargetState {
    address: TargetAddress,
    label: String,
    token: String,
    seed: u64,
    health: AtomicU8,
    pub(crate) ejection: EjectionState,
    load: Load,
}

/// A request that a target has not finished; dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<TargetState>);

/// What every request writes: on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Load {
    in_flight: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    latency: PeakEwma,
}

/// A moving average of latency that jumps to each peak and forgets it with a time constant of
/// [`DECAY`], also while no request comes.
///
/// It follows Finagle's peak EWMA. Each interval between two requests is taken by exactly one of
/// the cores that race for it, so no decay is counted twice.
#[derive(Debug)]
struct PeakEwma {
    epoch: Epoch,
    /// Time of the last sample.
    stamp: AtomicU64,
    /// Microseconds, as the bits of an `f64`.
    average: AtomicU64,
}

/// After this long a peak has fallen to 1/e.
const DECAY: Duration = Duration::from_secs(10);

/// A failure counts as at least this slow: refusing quickly must not attract requests.
const FAILURE_LATENCY: Duration = Duration::from_secs(1);

impl UpstreamState {
    /// The state for `config`, which is about to be used instead of `previous`.
    ///
    /// Targets whose address stays keep all that is known of them; breaker and budget survive when
    /// their settings are the same. What the new settings no longer know (active checks, ejection)
    /// is forgotten.
    pub(crate) fn new(
        config: Arc<config::Upstream>,
        previous: Option<&Self>,
        now: Instant,
    ) -> Self {
        let upstream = Self {
            targets: targets(&config, previous, now),
            breaker: config.breaker.as_ref().map(|settings| breaker(settings, previous, now)),
            budget: budget(&config.retry, previous, now),
            ejector: config.ejection.as_ref().map(|settings| ejector(settings, previous)),
            config,
        };
        upstream.forget(now);
        upstream
    }

    /// The target at `index`, which came from a [`Pick`](super::balance::Pick) on this upstream.
    pub(crate) fn target(&self, index: usize) -> &Arc<TargetState> {
        &self.targets[index]
    }

    /// The configured weight of the target at `index`.
    pub(crate) fn weight(&self, index: usize) -> u32 {
        self.config.targets[index].weight
    }

    /// The target at `index` answered, its response head `latency` after the request was sent.
    pub(crate) fn success(
        &self,
        index: usize,
        latency: Duration,
        now: Instant,
    ) -> Option<ejection::Event> {
        let target = &self.targets[index];
        self.observe(target, latency, now);
        self.ejector.as_ref()?.success(&target.ejection, now)
    }

    /// The target at `index` failed after `elapsed`: no connection, reset, time-out, 502, 503, 504.
    pub(crate) fn failure(
        &self,
        index: usize,
        elapsed: Duration,
        now: Instant,
    ) -> Option<ejection::Event> {
        let target = &self.targets[index];
        target.load.failures.fetch_add(1, Relaxed);
        self.observe(target, elapsed.max(FAILURE_LATENCY), now);
        self.ejector.as_ref()?.failure(&target.ejection, self.ejections(), now)
    }

    fn observe(&self, target: &TargetState, latency: Duration, now: Instant) {
        if self.config.balance == config::Balance::PeakEwma {
            target.load.latency.observe(latency, now);
        }
    }

    fn ejections(&self) -> impl ExactSizeIterator<Item = &EjectionState> {
        self.targets.iter().map(|target| &target.ejection)
    }

    fn forget(&self, now: Instant) {
        if self.config.health.is_none() {
            self.targets.iter().for_each(|target| target.set_health(Health::Unknown));
        }
        match &self.ejector {
            Some(ejector) => ejector.enforce(self.ejections(), now),
            None => self.ejections().for_each(EjectionState::release),
        }
    }
}

fn targets(
    config: &config::Upstream,
    previous: Option<&UpstreamState>,
    now: Instant,
) -> Vec<Arc<TargetState>> {
    let known = previous.into_iter().flat_map(|previous| &previous.targets);
    let mut known: HashMap<_, _> = known.map(|target| (&target.address, target)).collect();
    let state = |target: &config::Target| match known.remove(&target.address) {
        Some(state) => Arc::clone(state),
        None => Arc::new(TargetState::new(&config.id, target.address.clone(), now)),
    };
    config.targets.iter().map(state).collect()
}

fn breaker(
    settings: &config::Breaker,
    previous: Option<&UpstreamState>,
    now: Instant,
) -> Arc<Breaker> {
    match previous.and_then(|previous| previous.breaker.as_ref()) {
        Some(breaker) if breaker.settings() == settings => Arc::clone(breaker),
        _ => Arc::new(Breaker::new(settings.clone(), now)),
    }
}

fn budget(settings: &config::Retry, previous: Option<&UpstreamState>, now: Instant) -> Arc<Budget> {
    match previous {
        Some(previous) if previous.config.retry == *settings => Arc::clone(&previous.budget),
        _ => Arc::new(Budget::new(settings, now)),
    }
}

fn ejector(settings: &config::Ejection, previous: Option<&UpstreamState>) -> Ejector {
    match previous.and_then(|previous| previous.ejector.as_ref()) {
        Some(ejector) => ejector.with_settings(settings.clone()),
        None => Ejector::new(settings.clone()),
    }
}

impl TargetState {
    /// A target of `upstream` of which nothing is known yet.
    pub(crate) fn new(upstream: &str, address: TargetAddress, now: Instant) -> Self {
        let label = label(&address);
        Self {
            token: token(upstream, &label),
            seed: hash_key(label.as_bytes()),
            address,
            label,
            health: AtomicU8::new(0),
            ejection: EjectionState::new(now),
            load: Load {
                in_flight: AtomicUsize::new(0),
                requests: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                latency: PeakEwma::new(now),
            },
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &TargetAddress {
        &self.address
    }

    /// The address as the operator writes it, for logs and metrics.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The value of a sticky cookie that leads here: 16 hex digits, the same on every core, machine
    /// and start. It is a digest of the upstream's name and the address, so it tells neither.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Where it stands for consistent hashing; depends on the address alone.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// What the active check says.
    pub(crate) fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            0 => Health::Unknown,
            1 => Health::Healthy,
            _ => Health::Unhealthy,
        }
    }

    /// Takes what the active check found.
    pub(crate) fn set_health(&self, health: Health) {
        let bits = match health {
            Health::Unknown => 0,
            Health::Healthy => 1,
            Health::Unhealthy => 2,
        };
        self.health.store(bits, Relaxed);
    }

    /// Healthy by the active check and not ejected.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        self.health().is_usable() && !self.ejection.is_ejected(now)
    }

    /// Counts a request, in all and as in flight until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.load.in_flight.fetch_add(1, Relaxed);
        self.load.requests.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Requests under way, over all cores.
    pub(crate) fn in_flight(&self) -> usize {
        self.load.in_flight.load(Relaxed)
    }

    /// Requests in all, retries included.
    pub(crate) fn requests(&self) -> u64 {
        self.load.requests.load(Relaxed)
    }

    /// Failures in all.
    pub(crate) fn failures(&self) -> u64 {
        self.load.failures.load(Relaxed)
    }

    /// Recent latency in microseconds, decayed until `now`; 0 when nothing is known. Kept only for
    /// upstreams that balance by it.
    pub(crate) fn latency_us(&self, now: Instant) -> f64 {
        self.load.latency.get(now)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.load.in_flight.fetch_sub(1, Relaxed);
    }
}

impl PeakEwma {
    fn new(now: Instant) -> Self {
        Self { epoch: Epoch::new(now), stamp: AtomicU64::new(0), average: AtomicU64::new(0) }
    }

    fn observe(&self, latency: Duration, now: Instant) {
        let now = self.epoch.micros(now);
        let kept = kept(now.saturating_sub(self.stamp.fetch_max(now, Relaxed)));
        let sample = latency.as_secs_f64() * 1e6;
        let mut seen = self.average.load(Relaxed);
        loop {
            let decayed = f64::from_bits(seen) * kept;
            let average = sample.max(decayed + sample * (1.0 - kept));
            match self.average.compare_exchange_weak(seen, average.to_bits(), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
    }

    fn get(&self, now: Instant) -> f64 {
        let age = self.epoch.micros(now).saturating_sub(self.stamp.load(Relaxed));
        f64::from_bits(self.average.load(Relaxed)) * kept(age)
    }
}

/// The share of an average that is left after so many microseconds.
fn kept(age_us: u64) -> f64 {
    (-(age_us as f64) / micros(DECAY) as f64).exp()
}

fn label(address: &TargetAddress) -> String {
    match address {
        TargetAddress::Socket(address) => address.to_string(),
        TargetAddress::Name { host, port } => format!("{host}:{port}"),
        TargetAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn token(upstream: &str, label: &str) -> String {
    let text = format!("selvedge sticky\0{upstream}\0{label}");
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Upstreams for the tests of this folder.

    use super::*;

    /// An upstream with a target for each weight, at `127.0.0.1:9000` and the ports after it.
    pub(crate) fn upstream(balance: config::Balance, weights: &[u32]) -> config::Upstream {
        let target = |(index, &weight): (usize, &u32)| config::Target {
            address: TargetAddress::Socket(([127, 0, 0, 1], 9000 + index as u16).into()),
            weight,
        };
        config::Upstream {
            id: "backend".into(),
            targets: weights.iter().enumerate().map(target).collect(),
            protocol: config::UpstreamProtocol::Http1,
            tls: None,
            balance,
            sticky: None,
            health: None,
            ejection: Some(config::Ejection {
                failures: 1,
                rest: Duration::from_secs(10),
                most_percent: 50,
            }),
            retry: config::Retry {
                attempts: 1,
                budget_percent: 20,
                statuses: Vec::new(),
                per_attempt: None,
            },
            timeouts: config::UpstreamTimeouts {
                connect: Duration::from_secs(5),
                first_byte: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                whole: None,
            },
            breaker: None,
            pool: config::Pool {
                connections: 100,
                idle: 10,
                idle_timeout: Duration::from_secs(60),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, thread};

    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check_label(address: TargetAddress, expected: Expect) {
        let target = TargetState::new("backend", address, Instant::now());
        expected.assert_eq(&format!("{} {}", target.label(), target.token()));
    }

    #[test]
    fn tokens_and_labels_are_stable() {
        check_label(
            TargetAddress::Socket(([10, 0, 0, 1], 80).into()),
            expect!["10.0.0.1:80 38b8abff65584296"],
        );
        check_label(
            TargetAddress::Name { host: "backend.internal".to_owned(), port: 9000 },
            expect!["backend.internal:9000 2f4d682d1e8fb1cc"],
        );
        check_label(
            TargetAddress::Unix(PathBuf::from("/run/app.sock")),
            expect!["unix:/run/app.sock 83d453fbfc96674d"],
        );
    }

    /// Feeds `(seconds, milliseconds of latency)` and prints the average at the end and 10 s later.
    #[track_caller]
    fn check_latency(samples: &[(u64, u64)], expected: Expect) {
        let start = Instant::now();
        let average = PeakEwma::new(start);
        let mut now = start;
        for &(at, latency) in samples {
            now = start + Duration::from_secs(at);
            average.observe(Duration::from_millis(latency), now);
        }
        let later = average.get(now + DECAY);
        expected.assert_eq(&format!("{:.0} {:.0}", average.get(now), later));
    }

    #[test]
    fn latency_peaks_at_once_and_decays() {
        check_latency(&[(0, 10)], expect!["10000 3679"]);
        check_latency(&[(0, 10), (0, 100)], expect!["100000 36788"]);
        check_latency(&[(0, 100), (0, 10)], expect!["100000 36788"]);
        check_latency(&[(0, 100), (10, 10)], expect!["43109 15859"]);
        check_latency(&[(0, 100), (100, 10)], expect!["10004 3680"]);
    }

    fn state(config: config::Upstream, previous: Option<&UpstreamState>) -> UpstreamState {
        UpstreamState::new(Arc::new(config), previous, Instant::now())
    }

    fn two() -> config::Upstream {
        fixture::upstream(config::Balance::PeakEwma, &[1, 1])
    }

    #[test]
    fn state_survives_a_reload_by_address() {
        let now = Instant::now();
        let old = state(two(), None);
        let request = old.target(1).begin();
        old.failure(1, Duration::ZERO, now);

        let mut swapped = two();
        swapped.targets.reverse();
        swapped.targets[0].weight = 7;
        let new = state(swapped, Some(&old));
        assert!(Arc::ptr_eq(new.target(0), old.target(1)));
        assert_eq!((new.target(0).in_flight(), new.weight(0)), (1, 7));
        assert!(new.target(0).ejection.is_ejected(now));
        assert!(Arc::ptr_eq(&new.budget, &old.budget));
        drop(request);
        assert_eq!(new.target(0).in_flight(), 0);
        assert_eq!(new.target(0).requests(), 1);
        assert_eq!(new.target(0).failures(), 1);
        assert_eq!(new.target(0).latency_us(now).round(), 1e6);

        let mut moved = two();
        moved.targets[1].address = TargetAddress::Socket(([127, 0, 0, 1], 1).into());
        assert_eq!(state(moved, Some(&old)).target(1).requests(), 0);
    }

    #[test]
    fn breaker_and_budget_survive_while_their_settings_stay() {
        let settings = config::Breaker {
            failure_threshold: 3,
            success_threshold: 2,
            window: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
        };
        let mut config = two();
        config.breaker = Some(settings);
        let old = state(config.clone(), None);
        let same = state(config.clone(), Some(&old));
        assert!(Arc::ptr_eq(same.breaker.as_ref().unwrap(), old.breaker.as_ref().unwrap()));

        config.breaker.as_mut().unwrap().failure_threshold = 4;
        config.retry.budget_percent = 50;
        let other = state(config, Some(&old));
        assert!(!Arc::ptr_eq(other.breaker.as_ref().unwrap(), old.breaker.as_ref().unwrap()));
        assert!(!Arc::ptr_eq(&other.budget, &old.budget));
        assert!(state(two(), Some(&old)).breaker.is_none());
    }

    #[test]
    fn a_reload_forgets_what_the_new_settings_do_not_know() {
        let now = Instant::now();
        let old = state(two(), None);
        old.target(0).set_health(Health::Unhealthy);
        old.failure(1, Duration::ZERO, now);
        assert!(!old.target(0).is_available(now) && !old.target(1).is_available(now));

        let mut without = two();
        without.ejection = None;
        let new = state(without, Some(&old));
        assert!(new.target(0).is_available(now) && new.target(1).is_available(now));
    }

    #[test]
    fn a_reload_to_a_smaller_set_keeps_the_bound_on_ejection() {
        let now = Instant::now();
        let old = state(two(), None);
        old.failure(1, Duration::ZERO, now);
        let mut one = two();
        one.targets.remove(0);
        assert!(state(one, Some(&old)).target(0).is_available(now));
    }

    #[test]
    fn cores_share_it() {
        let now = Instant::now();
        let upstream = state(two(), None);
        thread::scope(|scope| {
            for core in 0..4u64 {
                let upstream = &upstream;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(core);
                    for tick in 0..10_000u64 {
                        let index = rng.usize(0..2);
                        let _request = upstream.target(index).begin();
                        let latency = Duration::from_micros(rng.u64(1..1000));
                        upstream.success(index, latency, now + Duration::from_micros(tick));
                    }
                });
            }
        });
        let targets = &upstream.targets;
        assert_eq!(targets.iter().map(|target| target.in_flight()).sum::<usize>(), 0);
        assert_eq!(targets.iter().map(|target| target.requests()).sum::<u64>(), 40_000);
        let latency = targets[0].latency_us(now + Duration::from_millis(10));
        assert!((900.0..1000.0).contains(&latency), "{latency}");
    }
}
