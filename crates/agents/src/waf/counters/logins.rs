//! Failed logins: by whom, for whom, and how many of all.
//!
//! What is on its way counts too, lest a thousand attempts at once pass before the first of them has failed; but
//! only beyond the limit itself, for people of one office come at the same moment. So of `n` that are let pass at
//! most `2 n` ever fail.

use std::{collections::TryReserveError, time::Duration};

use selvedge_config::waf::Limits;

use super::{
    Moment,
    history::{Distinct, STEPS, Window},
    key::{Key, Secret},
    table::{Entry, Table},
};

/// Who succeeded is known for so long, in milliseconds: seven to eight days.
const DAY_MS: u64 = 86_400_000;
/// How soon a client may come again that is refused for what is on its way.
const SOON: Duration = Duration::from_secs(1);

/// Everything that is counted about logins.
pub(in crate::waf) struct Logins {
    addresses: Table<Address>,
    users: Table<User>,
    pairs: Table<Pair>,
    known: Table<Known>,
    waves: Table<Wave>,
}

/// An attempt to log in, as it is counted.
#[derive(Clone, Debug)]
pub(in crate::waf) struct Attempt {
    /// The route and the login.
    pub(in crate::waf) endpoint: Key,
    /// The client; `None`: nobody knows.
    pub(in crate::waf) address: Option<Key>,
    /// Names that were tried. More than one if a body says several.
    pub(in crate::waf) users: Vec<Tried>,
}

/// A name that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::waf) struct Tried {
    pub(in crate::waf) user: Key,
    /// The name and the client.
    pub(in crate::waf) pair: Key,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::waf) enum Ending {
    Failed,
    Succeeded,
    /// Nobody said: the client left, or the upstream has troubles of its own.
    Unknown,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::waf) enum Subject {
    AddressUsers,
    AddressFailures,
    UserFailures,
    UserAddresses,
    FailureRatio,
}

/// More than is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::waf) struct Excess {
    pub(in crate::waf) subject: Subject,
    pub(in crate::waf) count: u32,
    pub(in crate::waf) limit: u32,
    /// Attempts whose answer is not there yet, where they are what is too much.
    pub(in crate::waf) pending: u32,
    /// So long it stays so, if nothing else happens.
    pub(in crate::waf) wait: Duration,
}

#[derive(Clone, Copy, Default)]
struct Address {
    failures: Window,
    failed: Distinct,
    /// Names that succeeded: so many more may fail, for it is a place where many are.
    succeeded: Distinct,
    pending: u32,
}

#[derive(Clone, Copy, Default)]
struct User {
    failures: Window,
    /// Addresses that failed.
    from: Distinct,
    pending: u32,
}

#[derive(Clone, Copy, Default)]
struct Pair(Window);

/// On which of the last days there was a success.
#[derive(Clone, Copy, Default)]
struct Known(u8);

#[derive(Clone, Copy, Default)]
struct Wave {
    attempts: Window,
    failures: Window,
}

impl Logins {
    /// Counters that take about so many bytes.
    pub(in crate::waf) fn new(bytes: usize, secret: &Secret) -> Result<Self, TryReserveError> {
        let part = |of_56: usize| bytes / 56 * of_56;
        Ok(Self {
            addresses: Table::new(part(24), secret)?,
            users: Table::new(part(16), secret)?,
            pairs: Table::new(part(8), secret)?,
            known: Table::new(part(7), secret)?,
            waves: Table::new(part(1), secret)?,
        })
    }

    /// A client comes to a login; what is too much about it.
    pub(in crate::waf) fn begin(
        &self,
        now: Moment,
        attempt: &Attempt,
        limits: &Limits,
    ) -> Vec<Excess> {
        let Some(address) = attempt.address else { return Vec::new() };
        let judged = self.addresses.enter(address, now.step(), |entry| {
            let excess = entry.excess(now, limits);
            entry.pending = entry.pending.saturating_add(1);
            excess
        });
        judged.unwrap_or_default()
    }

    /// The attempt turns out to be for these users; what is too much about them.
    pub(in crate::waf) fn name(
        &self,
        now: Moment,
        attempt: &Attempt,
        limits: &Limits,
    ) -> Vec<Excess> {
        let mut excess: Vec<Excess> = Vec::new();
        let mut is_known = attempt.address.is_some_and(|address| self.is_known(now, address));
        for tried in &attempt.users {
            let judged = self.users.enter(tried.user, now.step(), |entry| {
                let excess = entry.excess(now, limits);
                entry.pending = entry.pending.saturating_add(1);
                excess
            });
            let succeeded = attempt.address.is_some() && self.is_known(now, tried.pair);
            is_known |= succeeded;
            if !succeeded {
                excess.extend(judged.unwrap_or_default());
            }
        }
        if !is_known {
            excess.extend(self.wave(now, attempt.endpoint, limits));
        }
        excess
    }

    /// An attempt that was begun and named is over.
    pub(in crate::waf) fn end(&self, now: Moment, attempt: &Attempt, ending: Ending) {
        if ending != Ending::Unknown {
            self.waves.enter(attempt.endpoint, now.step(), |wave| {
                wave.attempts.add(1);
                wave.failures.add(u32::from(ending == Ending::Failed));
            });
        }
        // Of several names nobody knows which it was that succeeded.
        let only = (attempt.users.len() == 1).then(|| attempt.users[0]);
        let forgiven = match (ending, only) {
            (Ending::Succeeded, Some(tried)) => self.forgive(now, tried.pair),
            _ => Window::default(),
        };
        if let Some(address) = attempt.address {
            self.end_address(now, (address, attempt), (ending, forgiven));
            if ending == Ending::Succeeded {
                self.remember(now, address);
            }
        }
        for tried in &attempt.users {
            self.end_user(now, (*tried, attempt.address), (ending, forgiven));
        }
        if let (Ending::Succeeded, Some(tried)) = (ending, only) {
            self.remember(now, tried.pair);
        }
    }

    fn end_address(
        &self,
        now: Moment,
        (address, attempt): (Key, &Attempt),
        (ending, forgiven): (Ending, Window),
    ) {
        let end = |entry: &mut Address| {
            entry.pending = entry.pending.saturating_sub(1);
            match (ending, &attempt.users[..]) {
                (Ending::Failed, users) => {
                    entry.failures.add(1);
                    users.iter().for_each(|tried| entry.failed.mark(tried.user));
                }
                (Ending::Succeeded, [tried]) => {
                    entry.failures.take(&forgiven);
                    entry.failed.unmark(tried.user);
                    entry.succeeded.mark(tried.user);
                }
                _ => {}
            }
        };
        match ending {
            Ending::Failed => self.addresses.enter(address, now.step(), end),
            Ending::Succeeded | Ending::Unknown => self.addresses.find(address, now.step(), end),
        };
    }

    fn end_user(
        &self,
        now: Moment,
        (tried, address): (Tried, Option<Key>),
        (ending, forgiven): (Ending, Window),
    ) {
        if ending == Ending::Failed {
            self.pairs.enter(tried.pair, now.step(), |pair| pair.0.add(1));
        }
        let end = |entry: &mut User| {
            entry.pending = entry.pending.saturating_sub(1);
            match (ending, address) {
                (Ending::Failed, address) => {
                    entry.failures.add(1);
                    address.into_iter().for_each(|address| entry.from.mark(address));
                }
                (Ending::Succeeded, address) => {
                    entry.failures.take(&forgiven);
                    let had_failed = forgiven.sum() > 0;
                    let address = address.filter(|_| had_failed);
                    address.into_iter().for_each(|address| entry.from.unmark(address));
                }
                (Ending::Unknown, _) => {}
            }
        };
        match ending {
            Ending::Failed => self.users.enter(tried.user, now.step(), end),
            Ending::Succeeded | Ending::Unknown => self.users.find(tried.user, now.step(), end),
        };
    }

    /// Forgets the failures of this client for this user, and returns them.
    fn forgive(&self, now: Moment, pair: Key) -> Window {
        let taken = self.pairs.find(pair, now.step(), |pair| std::mem::take(&mut pair.0));
        taken.unwrap_or_default()
    }

    fn remember(&self, now: Moment, key: Key) {
        self.known.enter(key, day(now), |known| known.0 |= 1);
    }

    fn is_known(&self, now: Moment, key: Key) -> bool {
        self.known.find(key, day(now), |known| known.0 != 0).unwrap_or_default()
    }

    fn wave(&self, now: Moment, endpoint: Key, limits: &Limits) -> Option<Excess> {
        let percent = |wave: &Wave, steps| {
            let attempts = wave.attempts.sum_after(steps);
            let failures = u64::from(wave.failures.sum_after(steps)) * 100;
            match attempts >= limits.ratio_attempts {
                true => (failures / u64::from(attempts.max(1))) as u32,
                false => 0,
            }
        };
        let judge = |wave: &mut Wave| {
            let limit = limits.failure_ratio.at;
            too_much(now, limit, |steps| percent(wave, steps), Subject::FailureRatio)
        };
        self.waves.find(endpoint, now.step(), judge).flatten()
    }

    /// Clients, users and pairs that can be kept.
    pub(in crate::waf) fn places(&self) -> [usize; 3] {
        [self.addresses.places(), self.users.places(), self.pairs.places()]
    }

    /// Bytes that it takes, now and later.
    pub(in crate::waf) fn bytes(&self) -> usize {
        let Self { addresses, users, pairs, known, waves } = self;
        addresses.bytes() + users.bytes() + pairs.bytes() + known.bytes() + waves.bytes()
    }
}

fn day(now: Moment) -> u32 {
    u32::try_from(now.ms() / DAY_MS).unwrap_or(u32::MAX)
}

/// `count` says how much there is, or will be after so many steps.
fn too_much(
    now: Moment,
    limit: u32,
    count: impl Fn(u32) -> u32,
    subject: Subject,
) -> Option<Excess> {
    let is_too_much = count(0) >= limit;
    is_too_much.then(|| {
        let steps = (1..=STEPS).find(|steps| count(*steps) < limit).unwrap_or(STEPS);
        Excess { subject, count: count(0), limit, pending: 0, wait: now.until(steps) }
    })
}

/// What has failed and what is on its way are more than twice what is let pass.
fn too_many_pending(
    (failures, pending): (u32, u32),
    limit: u32,
    subject: Subject,
) -> Option<Excess> {
    let is_too_much = failures.saturating_add(pending) >= limit.saturating_mul(2);
    is_too_much.then_some(Excess { subject, count: failures, limit, pending, wait: SOON })
}

impl Address {
    fn excess(&self, now: Moment, limits: &Limits) -> Vec<Excess> {
        let more = self.succeeded.count();
        let users = too_much(
            now,
            limits.address_users.at.saturating_add(more),
            |steps| self.failed.count_after(steps),
            Subject::AddressUsers,
        );
        let limit = limits.address_failures.at.saturating_add(more);
        let all = |steps| self.failures.sum_after(steps);
        let failures = too_much(now, limit, all, Subject::AddressFailures)
            .or_else(|| too_many_pending((all(0), self.pending), limit, Subject::AddressFailures));
        users.into_iter().chain(failures).collect()
    }
}

impl User {
    fn excess(&self, now: Moment, limits: &Limits) -> Vec<Excess> {
        let addresses = too_much(
            now,
            limits.user_addresses.at,
            |steps| self.from.count_after(steps),
            Subject::UserAddresses,
        );
        let limit = limits.user_failures.at;
        let all = |steps| self.failures.sum_after(steps);
        let failures = too_much(now, limit, all, Subject::UserFailures)
            .or_else(|| too_many_pending((all(0), self.pending), limit, Subject::UserFailures));
        addresses.into_iter().chain(failures).collect()
    }
}

impl Entry for Address {
    fn pass(&mut self, steps: u32) {
        self.failures.pass(steps);
        self.failed.pass(steps);
        self.succeeded.pass(steps);
        // What is on its way so long will not come.
        if steps >= STEPS {
            self.pending = 0;
        }
    }

    fn weight(&self) -> u32 {
        self.failures.sum() + self.succeeded.count() + u32::from(self.pending > 0)
    }
}

impl Entry for User {
    fn pass(&mut self, steps: u32) {
        self.failures.pass(steps);
        self.from.pass(steps);
        if steps >= STEPS {
            self.pending = 0;
        }
    }

    fn weight(&self) -> u32 {
        self.failures.sum() + u32::from(self.pending > 0)
    }
}

impl Entry for Pair {
    fn pass(&mut self, steps: u32) {
        self.0.pass(steps);
    }

    fn weight(&self) -> u32 {
        self.0.sum()
    }
}

impl Entry for Known {
    fn pass(&mut self, steps: u32) {
        self.0 = self.0.checked_shl(steps).unwrap_or(0);
    }

    /// Who came on several days stays rather than who came once.
    fn weight(&self) -> u32 {
        self.0.count_ones() * 2
    }
}

impl Entry for Wave {
    fn pass(&mut self, steps: u32) {
        self.attempts.pass(steps);
        self.failures.pass(steps);
    }

    fn weight(&self) -> u32 {
        self.attempts.sum()
    }
}
