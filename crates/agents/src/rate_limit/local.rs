//! Buckets in this process, exact for all its threads.

use std::{collections::TryReserveError, sync::Arc, time::Instant};

use super::{
    gcra::{Rate, Span},
    key::Seed,
    policy::Policy,
    ruling::{Asked, Charge, Found, Ruling, Standing},
    table::{Bucket, Table, Usage},
};

/// The buckets of every policy, in the order of the policies.
#[derive(Debug)]
pub struct Local {
    seed: Seed,
    clock: Clock,
    tables: Vec<Arc<Table>>,
}

/// Nanoseconds since this process's first settings.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What it shows.
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Local {
    /// Full buckets for these policies.
    pub fn new(seed: Seed, policies: &[Policy]) -> Result<Self, TryReserveError> {
        let table = |policy: &Policy| Table::new(policy.keys_max).map(Arc::new);
        let tables = policies.iter().map(table).collect::<Result<_, _>>()?;
        Ok(Self { seed, clock: Clock::start(), tables })
    }

    /// Buckets for these policies that keep what `old` knows of those with the same id and key: new
    /// settings are no fresh start.
    pub fn succeeding(
        old: &Self,
        old_policies: &[Policy],
        policies: &[Policy],
    ) -> Result<Self, TryReserveError> {
        let mut tables = Vec::with_capacity(policies.len());
        for policy in policies {
            let known = old_policies.iter().position(|old| {
                (&old.id, &old.rule, old.keys_max) == (&policy.id, &policy.rule, policy.keys_max)
            });
            // An agent that did not count by itself before has no table to inherit.
            let table =
                known.and_then(|index| Some((old.tables.get(index)?, &old_policies[index])));
            tables.push(match table {
                None => Arc::new(Table::new(policy.keys_max)?),
                Some((table, old_policy)) => old.inherited(table, old_policy, policy)?,
            });
        }
        Ok(Self { seed: old.seed, clock: old.clock, tables })
    }

    fn inherited(
        &self,
        table: &Arc<Table>,
        old: &Policy,
        new: &Policy,
    ) -> Result<Arc<Table>, TryReserveError> {
        if (old.local, old.lag_max()) == (new.local, new.lag_max()) {
            return Ok(Arc::clone(table));
        }
        let now = new.local.moment(self.clock.now());
        let latest = new.lag_max().map_or(u128::MAX, |lag| new.local.after(now, lag));
        let converted = table.converted(|tat| old.local.convert(tat, &new.local).min(latest))?;
        Ok(Arc::new(converted))
    }

    /// What the clock shows.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Decides on a request: every policy agrees and takes its tokens, or none does.
    pub fn decide(&self, now: u64, asked: &[Asked<'_>]) -> Ruling {
        debug_assert!(asked.is_sorted_by(|a, b| a.index < b.index), "locks have an order");
        let buckets: Vec<_> = asked.iter().map(|asked| self.bucket(now, asked)).collect();
        let found = buckets.iter().zip(asked).map(|(bucket, asked)| {
            let rate = &asked.policy.local;
            let lag = rate.lag(bucket.tat(), rate.moment(now));
            Found { rate, ask: asked.ask, lag, crowded: bucket.is_shared() }
        });
        let ruling = Ruling::new(&found.collect::<Vec<_>>());
        if ruling.admitted {
            for (bucket, asked) in buckets.into_iter().zip(asked) {
                take(bucket, &asked.policy.local, now, asked.ask.take);
            }
        }
        ruling
    }

    /// Takes what an exchange turned out to cost, be it there or not.
    pub fn charge(&self, now: u64, charge: &Charge<'_>) -> Standing {
        let rate = &charge.policy.local;
        let digest = charge.key.local(self.seed);
        let bucket = self.tables[charge.index].bucket(digest, rate.moment(now));
        Standing::charged(rate, take(bucket, rate, now, charge.tokens))
    }

    fn bucket(&self, now: u64, asked: &Asked<'_>) -> Bucket<'_> {
        let digest = asked.key.local(self.seed);
        self.tables[asked.index].bucket(digest, asked.policy.local.moment(now))
    }

    /// How full the buckets of each policy are, and the bytes that they take.
    pub fn usage(&self, policies: &[Policy]) -> Vec<(Usage, usize)> {
        let of = |(table, policy): (&Arc<Table>, &Policy)| {
            let now = || policy.local.moment(self.clock.now());
            (table.usage(now), table.bytes())
        };
        self.tables.iter().zip(policies).map(of).collect()
    }
}

/// Takes tokens from a bucket and returns how far it lags then.
fn take(bucket: Bucket<'_>, rate: &Rate, now: u64, tokens: u64) -> Span {
    let now = rate.moment(now);
    let tat = rate.later(bucket.tat(), now, tokens);
    bucket.set(tat);
    rate.lag(tat, now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use selvedge_config::rate_limit as settings;

    use super::*;
    use crate::rate_limit::{gcra::Ask, key::Key};

    const SECOND: u64 = 1_000_000_000;

    fn policy(id: &str, limit: u32, burst: u32) -> Policy {
        Policy::new(&settings::Policy {
            id: id.into(),
            key: vec![settings::KeyPart::Address],
            limit,
            per: Duration::from_secs(1),
            burst,
            cost: settings::Cost::Fixed(1),
            delay: None,
            keys_max: 512,
            ipv6_prefix: 64,
        })
        .unwrap()
    }

    fn local(policies: &[Policy]) -> Local {
        Local::new(Seed::random().unwrap(), policies).unwrap()
    }

    fn asked(policies: &[Policy], tokens: u64) -> Vec<Asked<'_>> {
        let ask = |(index, policy)| Asked {
            index,
            policy,
            key: Key::default(),
            ask: Ask::now(tokens),
            place: None,
        };
        policies.iter().enumerate().map(ask).collect()
    }

    fn remaining(ruling: &Ruling) -> Vec<u64> {
        ruling.standings.iter().map(|standing| standing.remaining).collect()
    }

    #[test]
    fn a_refusal_takes_nothing_from_anybody() {
        let policies = [policy("wide", 10, 10), policy("narrow", 10, 3), policy("last", 10, 10)];
        let local = local(&policies);
        assert_eq!(remaining(&local.decide(0, &asked(&policies, 2))), [8, 1, 8]);
        for _ in 0..5 {
            let ruling = local.decide(0, &asked(&policies, 2));
            assert!(!ruling.admitted);
            assert_eq!(remaining(&ruling), [8, 1, 8]);
            let refused: Vec<_> =
                ruling.standings.iter().map(|standing| standing.wait.is_err()).collect();
            assert_eq!(refused, [false, true, false]);
        }
        assert_eq!(remaining(&local.decide(0, &asked(&policies, 1))), [7, 0, 7]);
    }

    #[test]
    fn what_a_response_cost_is_taken_although_it_is_not_there() {
        let policies = [policy("tokens", 10, 10)];
        let local = local(&policies);
        let key = Key::default();
        let charge = Charge { index: 0, policy: &policies[0], key: &key, tokens: 25 };
        assert_eq!(local.charge(0, &charge).remaining, 0);
        let refused = local.decide(0, &asked(&policies, 1));
        assert_eq!(refused.standings[0].wait, Err(Some(Duration::from_millis(1_600))));
        assert!(!local.decide(1_599_999_999, &asked(&policies, 1)).admitted);
        assert!(local.decide(1_600_000_000, &asked(&policies, 1)).admitted);
    }

    #[test]
    fn new_settings_are_no_fresh_start() {
        let old = [policy("kept", 10, 10), policy("changed", 7, 10), policy("gone", 10, 10)];
        let first = local(&old);
        let now = first.now();
        for _ in 0..10 {
            assert!(first.decide(now, &asked(&old, 1)).admitted);
        }
        let new = [policy("changed", 1_000, 2_000), policy("kept", 10, 10), policy("new", 10, 10)];
        let second = Local::succeeding(&first, &old, &new).unwrap();
        let ruling = second.decide(now, &asked(&new, 0));
        // Ten tokens at seven a second are 1 3/7 s, and 1,429 tokens at a thousand a second.
        assert_eq!(remaining(&ruling), [571, 0, 10]);
        // The stricter a new policy, the sooner a bucket is full that was not: never later than
        // it would be from empty.
        let strict = [policy("changed", 1_000, 10)];
        let third = Local::succeeding(&second, &new, &strict).unwrap();
        assert!(third.decide(now + SECOND / 50, &asked(&strict, 1)).admitted);
    }

    #[test]
    fn threads_share_one_limit() {
        let policies = [policy("one", 1, 1_000), policy("two", 1, 777)];
        let local = local(&policies);
        let admitted: usize = std::thread::scope(|scope| {
            let ask =
                || (0..500).filter(|_| local.decide(0, &asked(&policies, 1)).admitted).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 777);
        assert_eq!(remaining(&local.decide(0, &asked(&policies, 0))), [223, 0]);
    }

    proptest! {
        /// Several policies admit what each of them alone would, had it seen the same admissions.
        #[test]
        fn all_agree_or_nothing_happens(
            shapes in prop::collection::vec((1..=20_u32, 1..=20_u32), 1..=4),
            requests in prop::collection::vec((0..=SECOND / 4, 0..=4_u64), 1..100),
        ) {
            let policies: Vec<_> = (0..).zip(&shapes).map(|(n, (limit, burst))| policy(&format!("p{n}"), *limit, *burst)).collect();
            let local = local(&policies);
            let mut tats = vec![0; policies.len()];
            let mut now = 0;
            for (later, tokens) in requests {
                now += later;
                let ruling = local.decide(now, &asked(&policies, tokens));
                let moment = |policy: &Policy| policy.local.moment(now);
                let each = policies.iter().zip(&tats).map(|(policy, tat)| {
                    policy.local.admit(policy.local.lag(*tat, moment(policy)), Ask::now(tokens)).is_ok()
                });
                prop_assert_eq!(ruling.admitted, each.clone().all(|admits| admits));
                let said = ruling.standings.iter().map(|standing| standing.wait.is_ok());
                prop_assert!(each.eq(said));
                if ruling.admitted {
                    for (policy, tat) in policies.iter().zip(&mut tats) {
                        *tat = policy.local.later(*tat, moment(policy), tokens);
                    }
                }
            }
        }
    }
}
