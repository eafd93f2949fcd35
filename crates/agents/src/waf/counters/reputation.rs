//! What a client did before: how much it asked for in vain, and what rules found in its requests.
//!
//! A client has an entry from its first such request on; who asks for nothing strange costs no memory.

use std::{collections::TryReserveError, time::Duration};

use selvedge_config::waf::Bots;

use super::{
    Moment,
    history::{STEPS, Window},
    key::{Key, Secret},
    table::{Entry, Table},
};

/// The conduct of clients.
pub(in crate::waf) struct Reputation(Table<Conduct>);

#[derive(Clone, Copy, Default)]
struct Conduct {
    requests: Window,
    /// Of them those that were answered 404 or 410.
    missing: Window,
    /// Of them those that rules found something in.
    suspect: Window,
    /// Points that rules found.
    findings: Window,
}

/// Why a client's requests have points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::waf) struct Standing {
    pub(in crate::waf) points: u32,
    pub(in crate::waf) requests: u32,
    pub(in crate::waf) missing: u32,
    pub(in crate::waf) findings: u32,
    /// So long at most it stays so, if nothing else happens.
    pub(in crate::waf) wait: Duration,
}

impl Reputation {
    /// Counters that take about so many bytes.
    pub(in crate::waf) fn new(bytes: usize, secret: &Secret) -> Result<Self, TryReserveError> {
        Table::new(bytes, secret).map(Self)
    }

    /// A request of this client was answered.
    pub(in crate::waf) fn answered(&self, now: Moment, client: Key, is_missing: bool) {
        let count = |conduct: &mut Conduct| {
            conduct.requests.add(1);
            conduct.missing.add(u32::from(is_missing));
        };
        match is_missing {
            true => self.0.enter(client, now.step(), count),
            false => self.0.find(client, now.step(), count),
        };
    }

    /// Rules found so many points in a request of this client. One that is refused has no other answer.
    pub(in crate::waf) fn found(&self, now: Moment, client: Key, (points, refused): (u32, bool)) {
        self.0.enter(client, now.step(), |conduct| {
            conduct.requests.add(u32::from(refused));
            conduct.suspect.add(1);
            conduct.findings.add(points);
        });
    }

    /// Why the next request of this client has points, if so.
    pub(in crate::waf) fn standing(
        &self,
        now: Moment,
        client: Key,
        bots: &Bots,
    ) -> Option<Standing> {
        self.0.find(client, now.step(), |conduct| conduct.standing(now, bots)).flatten()
    }

    /// Clients that can be kept.
    pub(in crate::waf) fn places(&self) -> usize {
        self.0.places()
    }

    /// Bytes that it takes, now and later.
    pub(in crate::waf) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl Conduct {
    fn standing(&self, now: Moment, bots: &Bots) -> Option<Standing> {
        let points = self.points_after(0, bots);
        if points == 0 {
            return None;
        }
        let steps = (1..=STEPS).find(|steps| self.points_after(*steps, bots) == 0);
        Some(Standing {
            points,
            requests: self.requests.sum(),
            missing: self.missing.sum(),
            findings: self.findings.sum(),
            wait: now.until(steps.unwrap_or(STEPS)),
        })
    }

    /// At a limit those of the limit, and in proportion above it.
    fn points_after(&self, steps: u32, bots: &Bots) -> u32 {
        let sum = |window: &Window| u64::from(window.sum_after(steps));
        let bad = sum(&self.missing) + sum(&self.suspect);
        if bad * 100 < u64::from(bots.share) * sum(&self.requests) {
            return 0;
        }
        let points = |count: u64, limit: u32| match u64::from(limit) {
            limit if count >= limit => u64::from(bots.points) * count / limit,
            _ => 0,
        };
        let points = points(sum(&self.missing), bots.missing)
            .max(points(sum(&self.findings), bots.findings));
        points.min(u64::from(bots.points_max)) as u32
    }
}

impl Entry for Conduct {
    fn pass(&mut self, steps: u32) {
        let Self { requests, missing, suspect, findings } = self;
        [requests, missing, suspect, findings].into_iter().for_each(|window| window.pass(steps));
    }

    fn weight(&self) -> u32 {
        self.missing.sum().saturating_add(self.suspect.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTS: Bots = Bots {
        missing: 40,
        findings: 50,
        share: 50,
        points: 10,
        points_max: 20,
        allow: Vec::new(),
        crawlers: Vec::new(),
    };

    fn at(seconds: u64) -> Moment {
        Moment::new(seconds * 1_000, Duration::from_secs(80))
    }

    fn client(number: u8) -> Key {
        Secret::known().key(&[&[number]])
    }

    fn points(reputation: &Reputation, now: Moment, bots: &Bots) -> u32 {
        reputation.standing(now, client(1), bots).map_or(0, |standing| standing.points)
    }

    #[test]
    fn a_scanner_gets_points_that_grow_and_fade() {
        let reputation = Reputation::new(64 << 10, &Secret::known()).unwrap();
        for asked in 1..=39 {
            reputation.answered(at(1), client(1), true);
            assert_eq!(points(&reputation, at(1), &BOTS), 0, "{asked}");
        }
        reputation.answered(at(1), client(1), true);
        let expected = Standing {
            points: 10,
            requests: 40,
            missing: 40,
            findings: 0,
            wait: Duration::from_secs(79),
        };
        assert_eq!(reputation.standing(at(1), client(1), &BOTS), Some(expected));
        (0..60).for_each(|_| reputation.answered(at(11), client(1), true));
        assert_eq!(points(&reputation, at(11), &BOTS), 20, "no more than `points-max`");
        assert_eq!(points(&reputation, at(11), &Bots { points_max: 100, ..BOTS }), 25);
        assert_eq!(points(&reputation, at(80), &BOTS), 15, "the first forty are forgotten");
        assert_eq!(points(&reputation, at(90), &BOTS), 0);
    }

    #[test]
    fn who_asks_for_much_that_is_there_is_no_scanner() {
        let reputation = Reputation::new(64 << 10, &Secret::known()).unwrap();
        for _ in 0..200 {
            reputation.answered(at(1), client(1), true);
            reputation.answered(at(1), client(1), false);
            reputation.answered(at(1), client(1), false);
        }
        assert_eq!(points(&reputation, at(1), &BOTS), 0);
        assert_eq!(points(&reputation, at(1), &Bots { share: 30, ..BOTS }), 20);
    }

    #[test]
    fn what_rules_found_counts_by_its_points() {
        let reputation = Reputation::new(64 << 10, &Secret::known()).unwrap();
        reputation.found(at(1), client(1), (25, true));
        assert_eq!(points(&reputation, at(1), &BOTS), 0);
        reputation.found(at(1), client(1), (30, true));
        assert_eq!(points(&reputation, at(1), &BOTS), 11);
        assert_eq!(reputation.standing(at(1), client(2), &BOTS), None);
        reputation.answered(at(1), client(2), false);
        assert_eq!(reputation.0.find(client(2), 0, |_| ()), None, "who does nothing has no entry");
    }
}
