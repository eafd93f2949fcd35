//! Which target is asked.
//!
//! A [`Balancer`] belongs to one core and one upstream; what the cores share is the state of the
//! targets. It chooses among targets that the active check finds healthy and that are not ejected,
//! and leaves out those already tried for this request while others are left.
//!
//! When none is left: targets that are only *ejected* are used all the same (panic mode), because
//! ejection guesses from a few requests and sending nothing would be worse than sending there.
//! Targets that the *active check* finds unhealthy are never used; when that is all of them there
//! is nobody to pick, and the client gets 503.

use std::{hash::Hasher, time::Instant};

use fnv::FnvHasher;
use selvedge_config::Balance;

use super::target::{TargetState, UpstreamState};

/// Chooses targets of one upstream for one core.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// How far each target's turn has come, for the smooth weighted round robin.
    turns: Vec<i64>,
    /// Indices to choose from; kept to spare the allocation.
    candidates: Vec<usize>,
}

/// What a choice depends on besides the targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// [`hash_key`] of what the upstream hashes by; `None` when the request does not have it.
    pub(crate) key: Option<u64>,
    /// Indices tried for this request before.
    pub(crate) tried: &'a [usize],
    /// The time.
    pub(crate) now: Instant,
}

/// One turn of the smooth weighted round robin, in steps fine enough for random starts.
const TURN: i64 = 1 << 16;

/// The cost of a target that works on its first requests and has not answered any.
const UNPROVEN_COST: f64 = 1e15;

impl Balancer {
    /// A balancer whose turns begin at random, so that cores do not march in step.
    pub(crate) fn new(upstream: &UpstreamState, rng: &mut fastrand::Rng) -> Self {
        let start = |index| rng.i64(0..turn(upstream, index));
        let turns: Vec<_> = (0..upstream.targets.len()).map(start).collect();
        Self { candidates: Vec::with_capacity(turns.len()), turns }
    }

    /// Index of the target for one attempt; `None` when the active check leaves none.
    pub(crate) fn pick(
        &mut self,
        upstream: &UpstreamState,
        ask: &Ask<'_>,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        if self.turns.len() != upstream.targets.len() {
            *self = Self::new(upstream, rng);
        }
        if !self.gather(upstream, ask) {
            return None;
        }
        Some(match (&upstream.config.balance, ask.key) {
            _ if self.candidates.len() == 1 => self.candidates[0],
            (Balance::RoundRobin, _) => self.next_in_turn(upstream),
            (Balance::LeastConnections, _) => self.least_loaded(upstream),
            (Balance::PeakEwma, _) => self.cheaper_of_two(upstream, ask.now, rng),
            (Balance::ConsistentHash(_), Some(key)) => self.highest_score(upstream, key),
            (Balance::PowerOfTwo | Balance::ConsistentHash(_), _) => {
                self.less_loaded_of_two(upstream, rng)
            }
        })
    }

    /// Collects the candidates of the best kind there is; `false` when there are none.
    fn gather(&mut self, upstream: &UpstreamState, ask: &Ask<'_>) -> bool {
        let available = |target: &TargetState| target.is_available(ask.now);
        let usable = |target: &TargetState| target.health().is_usable();
        self.collect(upstream, ask.tried, available)
            || self.collect(upstream, &[], available)
            || self.collect(upstream, ask.tried, usable)
            || self.collect(upstream, &[], usable)
    }

    fn collect(
        &mut self,
        upstream: &UpstreamState,
        tried: &[usize],
        fits: impl Fn(&TargetState) -> bool,
    ) -> bool {
        let targets = upstream.targets.iter().enumerate();
        let fitting = targets.filter(|(index, target)| !tried.contains(index) && fits(target));
        self.candidates.clear();
        self.candidates.extend(fitting.map(|(index, _)| index));
        !self.candidates.is_empty()
    }

    /// nginx's smooth weighted round robin: every turn all gain their weight, and who has most pays
    /// for all.
    fn next_in_turn(&mut self, upstream: &UpstreamState) -> usize {
        let mut total = 0;
        let mut next = self.candidates[0];
        for &index in &self.candidates {
            let weight = turn(upstream, index);
            total += weight;
            self.turns[index] += weight;
            if self.turns[index] > self.turns[next] {
                next = index;
            }
        }
        self.turns[next] -= total;
        next
    }

    /// Fewest requests in flight per weight; in turn where several have as few.
    fn least_loaded(&mut self, upstream: &UpstreamState) -> usize {
        let loads = self.candidates.iter().map(|&index| load(upstream, index));
        let least = loads.fold(f64::INFINITY, f64::min);
        // A load that grew since then leaves nobody: then all are as good as each other.
        if self.candidates.iter().any(|&index| load(upstream, index) <= least) {
            self.candidates.retain(|&index| load(upstream, index) <= least);
        }
        self.next_in_turn(upstream)
    }

    /// The less loaded of two drawn by weight; the first drawn where they are equal, so that an
    /// idle upstream is shared by weight.
    fn less_loaded_of_two(&self, upstream: &UpstreamState, rng: &mut fastrand::Rng) -> usize {
        let first = self.draw(upstream, None, rng);
        let second = self.draw(upstream, Some(first), rng);
        if load(upstream, second) < load(upstream, first) { second } else { first }
    }

    /// The cheaper of two drawn with equal chances; weight is part of the cost.
    fn cheaper_of_two(
        &self,
        upstream: &UpstreamState,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> usize {
        let first = rng.usize(0..self.candidates.len());
        let step = rng.usize(1..self.candidates.len());
        let second = (first + step) % self.candidates.len();
        let (first, second) = (self.candidates[first], self.candidates[second]);
        if cost(upstream, second, now) < cost(upstream, first, now) { second } else { first }
    }

    /// A candidate other than `except`, by weight.
    fn draw(
        &self,
        upstream: &UpstreamState,
        except: Option<usize>,
        rng: &mut fastrand::Rng,
    ) -> usize {
        let others = || self.candidates.iter().copied().filter(|&index| Some(index) != except);
        let weight = |index| u64::from(upstream.weight(index));
        let mut ticket = rng.u64(0..others().map(weight).sum());
        for index in others() {
            match ticket.checked_sub(weight(index)) {
                Some(rest) => ticket = rest,
                None => return index,
            }
        }
        unreachable!("a ticket is smaller than the sum of the weights")
    }

    /// Weighted rendezvous hashing: every target scores each key, the highest score gets it. Who
    /// leaves gives up only its own keys, who joins takes only what it wins.
    fn highest_score(&self, upstream: &UpstreamState, key: u64) -> usize {
        let scored = self.candidates.iter().map(|&index| (score(upstream, index, key), index));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.expect("there are candidates").1
    }
}

/// The target that a sticky cookie's `token` names, as long as it is available and untried;
/// otherwise the request needs a [`Balancer::pick`] and the client a new cookie.
pub(crate) fn pick_sticky(upstream: &UpstreamState, token: &str, ask: &Ask<'_>) -> Option<usize> {
    let index = upstream.targets.iter().position(|target| target.token() == token)?;
    let fits = upstream.target(index).is_available(ask.now) && !ask.tried.contains(&index);
    fits.then_some(index)
}

/// A hash that is the same on every core, machine and start: FNV-1a, mixed.
pub(crate) fn hash_key(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    mix(hasher.finish())
}

fn turn(upstream: &UpstreamState, index: usize) -> i64 {
    i64::from(upstream.weight(index)) * TURN
}

fn load(upstream: &UpstreamState, index: usize) -> f64 {
    upstream.target(index).in_flight() as f64 / f64::from(upstream.weight(index))
}

/// Expected wait: latency times the queue one would join, per weight.
fn cost(upstream: &UpstreamState, index: usize, now: Instant) -> f64 {
    let target = upstream.target(index);
    let in_flight = target.in_flight() as f64;
    let latency = target.latency_us(now);
    let cost = match latency == 0.0 && in_flight > 0.0 {
        true => UNPROVEN_COST + in_flight,
        false => latency * (in_flight + 1.0),
    };
    cost / f64::from(upstream.weight(index))
}

/// -weight / ln(u) with u between 0 and 1 by target and key.
fn score(upstream: &UpstreamState, index: usize, key: u64) -> f64 {
    let hash = mix(key ^ upstream.target(index).seed());
    let u = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(upstream.weight(index)) / u.ln()
}

/// The finaliser of SplitMix64: a bijection whose output bits depend on all input bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use selvedge_config::HashKey;

    use super::*;
    use crate::upstream::{
        health::Health,
        target::{InFlight, fixture},
    };

    const BY_HASH: Balance = Balance::ConsistentHash(HashKey::ClientIp);

    /// One upstream, one core, one seed.
    struct Bench {
        upstream: UpstreamState,
        balancer: Balancer,
        rng: fastrand::Rng,
        now: Instant,
    }

    impl Bench {
        fn new(balance: Balance, weights: &[u32], seed: u64) -> Self {
            let now = Instant::now();
            let config = Arc::new(fixture::upstream(balance, weights));
            let upstream = UpstreamState::new(config, None, now);
            let mut rng = fastrand::Rng::with_seed(seed);
            let balancer = Balancer::new(&upstream, &mut rng);
            Self { upstream, balancer, rng, now }
        }

        fn pick(&mut self, tried: &[usize]) -> Option<usize> {
            self.pick_key(None, tried)
        }

        fn pick_key(&mut self, key: Option<u64>, tried: &[usize]) -> Option<usize> {
            let ask = Ask { key, tried, now: self.now };
            self.balancer.pick(&self.upstream, &ask, &mut self.rng)
        }

        /// How often each target is picked in `picks` picks with different keys.
        fn shares(&mut self, picks: u64) -> Vec<u64> {
            let mut shares = vec![0; self.upstream.targets.len()];
            for number in 0..picks {
                let key = hash_key(&number.to_le_bytes());
                shares[self.pick_key(Some(key), &[]).unwrap()] += 1;
            }
            shares
        }

        fn eject(&mut self, index: usize) {
            self.upstream.failure(index, Duration::ZERO, self.now);
            assert!(self.upstream.target(index).ejection.is_ejected(self.now));
        }

        fn sicken(&mut self, index: usize) {
            self.upstream.target(index).set_health(Health::Unhealthy);
        }
    }

    fn kinds() -> [Balance; 5] {
        let [a, b, c] = [Balance::RoundRobin, Balance::LeastConnections, Balance::PowerOfTwo];
        [a, b, c, Balance::PeakEwma, BY_HASH]
    }

    #[track_caller]
    fn check_turns(weights: &[u32], picks: usize, expected: Expect) {
        let mut bench = Bench::new(Balance::RoundRobin, weights, 1);
        let order: String = (0..picks).map(|_| format!("{}", bench.pick(&[]).unwrap())).collect();
        expected.assert_eq(&order);
    }

    #[test]
    fn turns_are_smooth() {
        check_turns(&[1, 1, 1], 9, expect!["012012012"]);
        check_turns(&[5, 1, 1], 14, expect!["00010200001020"]);
    }

    #[test]
    fn cores_begin_at_different_places() {
        let first = |seed| Bench::new(Balance::RoundRobin, &[1; 8], seed).pick(&[]).unwrap();
        let firsts: std::collections::HashSet<_> = (0..64).map(first).collect();
        assert!(firsts.len() >= 6, "{firsts:?}");
    }

    proptest! {
        #[test]
        fn turns_respect_weights_in_every_run(
            weights in prop::collection::vec(1..=20u32, 1..8),
            picks in 1..500u64,
            seed: u64,
        ) {
            let shares = Bench::new(Balance::RoundRobin, &weights, seed).shares(picks);
            let total: u32 = weights.iter().sum();
            for (&weight, share) in weights.iter().zip(shares) {
                let fair = picks as f64 * f64::from(weight) / f64::from(total);
                let most_off = weights.len() as f64;
                prop_assert!((share as f64 - fair).abs() <= most_off, "{share} is not {fair}");
            }
        }

        #[test]
        fn idle_targets_are_shared_by_weight(
            weights in prop::collection::vec(1..=20u32, 1..6),
            seed: u64,
            kind in prop::sample::select(vec![
                Balance::RoundRobin, Balance::LeastConnections, Balance::PowerOfTwo, BY_HASH,
            ]),
        ) {
            let picks = 20_000;
            let shares = Bench::new(kind, &weights, seed).shares(picks);
            let total: u32 = weights.iter().sum();
            for (&weight, share) in weights.iter().zip(shares) {
                let fair = f64::from(weight) / f64::from(total);
                let share = share as f64 / picks as f64;
                prop_assert!((share - fair).abs() < 0.02, "{share} is not {fair}");
            }
        }

        #[test]
        fn keys_move_only_as_far_as_they_must(
            weights in prop::collection::vec(1..=10u32, 2..12),
            gone: prop::sample::Index,
            seed: u64,
        ) {
            let gone = gone.index(weights.len());
            let mut all = Bench::new(BY_HASH, &weights, seed);
            let mut fewer = Bench::new(BY_HASH, &weights, seed ^ 1);
            fewer.sicken(gone);
            let mut moved = 0;
            for key in (0..2_000u64).map(|number| hash_key(&number.to_be_bytes())) {
                let before = all.pick_key(Some(key), &[]).unwrap();
                let after = fewer.pick_key(Some(key), &[]).unwrap();
                prop_assert!(before == after || before == gone, "a key moved without need");
                moved += u64::from(before != after);
            }
            let total: u32 = weights.iter().sum();
            let fair = f64::from(weights[gone]) / f64::from(total);
            prop_assert!(moved as f64 / 2_000.0 <= 2.0 * fair, "{moved} of 2000 keys moved");
        }

        #[test]
        fn only_what_may_be_asked_is_picked(
            health in prop::collection::vec(0..3u8, 1..8),
            tried in prop::collection::vec(0..8usize, 0..4),
            kind in prop::sample::select(kinds().to_vec()),
            seed: u64,
        ) {
            let mut bench = Bench::new(kind, &vec![1; health.len()], seed);
            let mut out = Vec::new();
            for (index, state) in health.iter().enumerate() {
                match state {
                    0 => {}
                    1 => bench.sicken(index),
                    _ => {
                        bench.upstream.failure(index, Duration::ZERO, bench.now);
                    }
                }
            }
            let targets = &bench.upstream.targets;
            out.extend(targets.iter().map(|target| target.ejection.is_ejected(bench.now)));
            let usable = |index: &usize| health[*index] != 1;
            let available = |index: &usize| usable(index) && !out[*index];
            let all = 0..health.len();
            let Some(pick) = bench.pick_key(Some(seed), &tried) else {
                prop_assert!(!all.clone().any(|index| usable(&index)));
                return Ok(());
            };
            prop_assert!(usable(&pick));
            let panicked = !all.clone().any(|index| available(&index));
            prop_assert!(panicked || available(&pick));
            if tried.contains(&pick) {
                let kind_of_pick = |index: &usize| match panicked {
                    true => usable(index),
                    false => available(index),
                };
                let mut untried = all.filter(|index| !tried.contains(index));
                prop_assert!(!untried.any(|index| kind_of_pick(&index)));
            }
        }
    }

    #[test]
    fn every_core_and_start_hashes_alike() {
        let mut bench = Bench::new(BY_HASH, &[1, 2, 3], 7);
        let picks: Vec<_> = ["a", "b", "10.0.0.1", "10.0.0.2", "session"]
            .map(|key| bench.pick_key(Some(hash_key(key.as_bytes())), &[]).unwrap())
            .into();
        expect!["[1, 1, 2, 1, 1] 02c0bdbf481420f8"]
            .assert_eq(&format!("{picks:?} {:016x}", hash_key(b"a")));
    }

    #[test]
    fn the_order_of_targets_does_not_matter_to_a_hash() {
        let mut bench = Bench::new(BY_HASH, &[1, 1, 1], 1);
        let mut config = (*bench.upstream.config).clone();
        config.targets.reverse();
        let reversed = UpstreamState::new(Arc::new(config), None, bench.now);
        for key in (0..100u64).map(|number| hash_key(&number.to_le_bytes())) {
            let index = bench.pick_key(Some(key), &[]).unwrap();
            let ask = Ask { key: Some(key), tried: &[], now: bench.now };
            let other = bench.balancer.pick(&reversed, &ask, &mut bench.rng).unwrap();
            assert_eq!(bench.upstream.target(index).label(), reversed.target(other).label());
        }
    }

    #[test]
    fn a_request_without_key_is_picked_by_load() {
        let mut bench = Bench::new(BY_HASH, &[1, 1], 1);
        let _busy = bench.upstream.target(0).begin();
        assert!((0..100).all(|_| bench.pick(&[]).unwrap() == 1));
    }

    /// In-flight requests after `requests` that never end.
    fn backlog(kind: Balance, weights: &[u32], requests: usize) -> Vec<usize> {
        let mut bench = Bench::new(kind, weights, 3);
        let begin = |_| {
            let index = bench.pick(&[]).unwrap();
            bench.upstream.target(index).begin()
        };
        let _running: Vec<InFlight> = (0..requests).map(begin).collect();
        bench.upstream.targets.iter().map(|target| target.in_flight()).collect()
    }

    #[test]
    fn load_is_spread_by_weight() {
        assert_eq!(backlog(Balance::LeastConnections, &[1, 2, 3], 60), [10, 20, 30]);
        let spread = backlog(Balance::PowerOfTwo, &[1, 2, 3], 600);
        assert!(
            spread.iter().zip([100, 200, 300]).all(|(&a, b)| a.abs_diff(b) <= 20),
            "{spread:?}"
        );
    }

    #[test]
    fn lower_latency_is_preferred_until_it_queues() {
        let mut bench = Bench::new(Balance::PeakEwma, &[1, 1], 1);
        bench.upstream.success(0, Duration::from_millis(10), bench.now);
        bench.upstream.success(1, Duration::from_millis(1), bench.now);
        assert!((0..100).all(|_| bench.pick(&[]).unwrap() == 1));
        let _queue: Vec<_> = (0..10).map(|_| bench.upstream.target(1).begin()).collect();
        assert!((0..100).all(|_| bench.pick(&[]).unwrap() == 0));
    }

    #[test]
    fn a_failing_target_is_slow_however_fast_it_fails() {
        let mut bench = Bench::new(Balance::PeakEwma, &[1, 1], 1);
        bench.upstream.success(0, Duration::from_millis(100), bench.now);
        bench.upstream.failure(1, Duration::from_micros(20), bench.now);
        bench.upstream.target(1).ejection.release();
        assert!((0..100).all(|_| bench.pick(&[]).unwrap() == 0));
    }

    #[test]
    fn an_unproven_target_gets_one_request_and_then_has_to_answer() {
        let mut bench = Bench::new(Balance::PeakEwma, &[1, 1], 1);
        bench.upstream.success(0, Duration::from_millis(10), bench.now);
        assert_eq!(bench.pick(&[]).unwrap(), 1);
        let _first = bench.upstream.target(1).begin();
        assert!((0..100).all(|_| bench.pick(&[]).unwrap() == 0));
    }

    #[test]
    fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
        for kind in kinds() {
            let mut bench = Bench::new(kind, &[1, 1], 1);
            assert_eq!(bench.pick_key(Some(1), &[0]).unwrap(), 1);
            bench.sicken(1);
            assert_eq!(bench.pick_key(Some(1), &[0]), Some(0));
        }
    }

    #[test]
    fn ejected_targets_are_used_when_nothing_else_is_left() {
        for kind in kinds() {
            let mut bench = Bench::new(kind, &[1, 1], 1);
            bench.eject(0);
            bench.sicken(1);
            assert_eq!(bench.pick_key(Some(1), &[]), Some(0));
            bench.sicken(0);
            assert_eq!(bench.pick_key(Some(1), &[]), None);
        }
    }

    #[test]
    fn a_sticky_client_stays_while_its_target_is_available() {
        let mut bench = Bench::new(Balance::RoundRobin, &[1, 1], 1);
        let token = bench.upstream.target(1).token().to_owned();
        let now = bench.now;
        let sticky = |bench: &Bench, token: &str, tried: &[usize]| {
            pick_sticky(&bench.upstream, token, &Ask { key: None, tried, now })
        };
        assert_eq!(sticky(&bench, &token, &[]), Some(1));
        assert_eq!(sticky(&bench, &token, &[1]), None);
        assert_eq!(sticky(&bench, "127.0.0.1:9001", &[]), None);
        bench.eject(1);
        assert_eq!(sticky(&bench, &token, &[]), None);
        assert_ne!(bench.upstream.target(0).token(), token);
    }
}
