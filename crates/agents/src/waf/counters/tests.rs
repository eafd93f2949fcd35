//! Logins beside a list that forgets nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;
use selvedge_config::waf::{Action, Limit, Limits};

use super::{
    Moment,
    history::STEPS,
    key::{Key, Secret},
    logins::{Attempt, Ending, Excess, Logins, Subject, Tried},
};

const WINDOW: Duration = Duration::from_secs(80);
const STEP_MS: u64 = 10_000;

fn logins() -> Logins {
    Logins::new(1 << 20, &Secret::known()).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment::new(ms, WINDOW)
}

fn limits() -> Limits {
    let limit = |at| Limit { at, action: Action::Block };
    Limits {
        address_users: limit(3),
        address_failures: limit(5),
        user_failures: limit(4),
        user_addresses: limit(3),
        failure_ratio: limit(60),
        ratio_attempts: 10,
    }
}

fn key(of: &str, number: u32) -> Key {
    Secret::known().key(&[of.as_bytes(), &number.to_be_bytes()])
}

fn attempt(address: u32, user: u32) -> Attempt {
    let pair = Secret::known().key(&[b"pair", &address.to_be_bytes(), &user.to_be_bytes()]);
    Attempt {
        endpoint: key("endpoint", 0),
        address: Some(key("address", address)),
        users: vec![Tried { user: key("user", user), pair }],
    }
}

/// What is too much when this client comes for this user.
fn come(logins: &Logins, now: Moment, attempt: &Attempt, limits: &Limits) -> Vec<Excess> {
    let mut excess = logins.begin(now, attempt, limits);
    excess.extend(logins.name(now, attempt, limits));
    excess
}

/// A client comes and gets his answer at once, unless it is refused; whether it was.
fn tries(
    logins: &Logins,
    (now, limits): (Moment, &Limits),
    attempt: &Attempt,
    ending: Ending,
) -> bool {
    let is_refused = !come(logins, now, attempt, limits).is_empty();
    logins.end(now, attempt, if is_refused { Ending::Unknown } else { ending });
    is_refused
}

#[test]
fn what_is_on_its_way_counts_beyond_the_limit() {
    let (logins, limits) = (logins(), limits());
    let all: Vec<_> = (0..100).map(|user| attempt(1, user)).collect();
    let passed: Vec<_> =
        all.iter().filter(|one| come(&logins, at(0), one, &limits).is_empty()).collect();
    assert_eq!(passed.len(), 10, "twice the limit of 5");
    all.iter().for_each(|one| logins.end(at(0), one, Ending::Unknown));
    assert!(come(&logins, at(0), &all[0], &limits).is_empty(), "nothing of it failed");
}

#[test]
fn the_wait_is_until_the_limit_is_not_reached_any_more() {
    let (logins, limits) = (logins(), limits());
    for (ms, user) in [(0, 1), (11_000, 2), (25_000, 3)] {
        assert!(!tries(&logins, (at(ms), &limits), &attempt(1, user), Ending::Failed));
    }
    let excess = come(&logins, at(31_000), &attempt(1, 9), &limits);
    let expected = Excess {
        subject: Subject::AddressUsers,
        count: 3,
        limit: 3,
        pending: 0,
        wait: Duration::from_secs(49),
    };
    assert_eq!(excess, [expected], "the first is forgotten at 80 s");
    assert!(come(&logins, at(80_000), &attempt(1, 9), &limits).is_empty());
}

#[test]
fn an_office_of_many_who_succeed_is_let_pass() {
    let (logins, limits) = (logins(), Limits::default());
    let mut refused = 0;
    for user in 0..300_u32 {
        let now = at(u64::from(user) * 100);
        // Every fourth mistypes his password first, and every tenth gives up.
        if user % 4 == 0 {
            refused += u32::from(tries(&logins, (now, &limits), &attempt(1, user), Ending::Failed));
        }
        if user % 10 != 0 {
            let ending = Ending::Succeeded;
            refused += u32::from(tries(&logins, (now, &limits), &attempt(1, user), ending));
        }
    }
    assert_eq!(refused, 0);
}

#[test]
fn an_account_of_his_own_buys_an_attacker_one_more_name() {
    let (logins, limits) = (logins(), limits());
    let mut failed = 0;
    for user in 0..100 {
        tries(&logins, (at(0), &limits), &attempt(1, 1_000), Ending::Succeeded);
        failed += u32::from(!tries(&logins, (at(0), &limits), &attempt(1, user), Ending::Failed));
    }
    assert_eq!(failed, limits.address_users.at + 1);
}

#[test]
fn who_knows_the_password_is_not_locked_out_by_those_who_do_not() {
    let (logins, limits) = (logins(), limits());
    tries(&logins, (at(0), &limits), &attempt(1, 7), Ending::Succeeded);
    for address in 2..50 {
        tries(&logins, (at(1), &limits), &attempt(address, 7), Ending::Failed);
    }
    let subjects = |address| {
        let excess = come(&logins, at(2), &attempt(address, 7), &limits);
        excess.iter().map(|one| one.subject).collect::<Vec<_>>()
    };
    assert_eq!(subjects(60), [Subject::UserAddresses]);
    assert_eq!(subjects(1), [], "he logged in from here before");
}

#[test]
fn several_names_in_one_body_make_nobody_known() {
    let (logins, limits) = (logins(), limits());
    let mut both = attempt(1, 1);
    both.users.extend(attempt(1, 2).users);
    logins.end(at(0), &both, Ending::Succeeded);
    for address in 2..5 {
        logins.end(at(0), &attempt(address, 2), Ending::Failed);
    }
    assert_eq!(come(&logins, at(0), &attempt(1, 2), &limits)[0].subject, Subject::UserAddresses);
}

#[test]
fn who_changes_addresses_is_not_forgotten_and_memory_stays() {
    let logins = logins();
    let bytes = logins.bytes();
    assert!(bytes <= 1 << 20, "{bytes}");
    let limits = Limits::default();
    for user in 0..10 {
        assert!(!tries(&logins, (at(0), &limits), &attempt(1, user), Ending::Failed));
    }
    for address in 10..100_000 {
        logins.end(at(1), &attempt(address, address), Ending::Failed);
    }
    let excess = come(&logins, at(2), &attempt(1, 50), &limits);
    assert!(excess.iter().any(|one| one.subject == Subject::AddressUsers), "{excess:?}");
    assert_eq!(logins.bytes(), bytes);
}

/// Everything that happened, in order.
#[derive(Default)]
struct List {
    failures: Vec<(u32, u32, u32)>,
    successes: Vec<(u32, u32, u32)>,
    attempts: Vec<(u32, bool)>,
}

impl List {
    fn end(&mut self, step: u32, (address, user): (u32, u32), ending: Ending) {
        match ending {
            Ending::Failed => self.failures.push((step, address, user)),
            Ending::Succeeded => {
                self.failures.retain(|(_, a, u)| (*a, *u) != (address, user));
                self.successes.push((step, address, user));
            }
            Ending::Unknown => return,
        }
        self.attempts.push((step, ending == Ending::Failed));
    }

    fn excess(&self, step: u32, (address, user): (u32, u32)) -> BTreeMap<&'static str, (u32, u32)> {
        let recent = |all: &[(u32, u32, u32)]| -> Vec<(u32, u32)> {
            let recent = all.iter().filter(|(at, ..)| step - at < STEPS);
            recent.map(|(_, address, user)| (*address, *user)).collect()
        };
        let (failures, successes) = (recent(&self.failures), recent(&self.successes));
        let number = |count: usize| count as u32;
        let names = |all: &[(u32, u32)]| -> u32 {
            let own = all.iter().filter(|(a, _)| *a == address);
            number(own.map(|(_, user)| user).collect::<BTreeSet<_>>().len())
        };
        let addresses: BTreeSet<_> =
            failures.iter().filter(|(_, u)| *u == user).map(|(address, _)| address).collect();
        let more = names(&successes);
        let ever = |wanted: &dyn Fn(u32, u32) -> bool| {
            self.successes.iter().any(|(_, address, user)| wanted(*address, *user))
        };
        let is_pair_known = ever(&|a, u| (a, u) == (address, user));
        let is_known = is_pair_known || ever(&|a, _| a == address);
        let attempts: Vec<bool> = self
            .attempts
            .iter()
            .filter(|(at, _)| step - at < STEPS)
            .map(|(_, failed)| *failed)
            .collect();
        let failed = attempts.iter().filter(|failed| **failed).count() * 100;
        let ratio = if attempts.len() >= 10 { number(failed / attempts.len()) } else { 0 };
        let count = |wanted: &dyn Fn(u32, u32) -> bool| {
            number(failures.iter().filter(|(a, u)| wanted(*a, *u)).count())
        };
        let all = [
            ("AddressUsers", names(&failures), 3 + more, true),
            ("AddressFailures", count(&|a, _| a == address), 5 + more, true),
            ("UserFailures", count(&|_, u| u == user), 4, !is_pair_known),
            ("UserAddresses", number(addresses.len()), 3, !is_pair_known),
            ("FailureRatio", ratio, 60, !is_known),
        ];
        let over = all.into_iter().filter(|(_, count, limit, asked)| *asked && count >= limit);
        over.map(|(name, count, limit, _)| (name, (count, limit))).collect()
    }
}

fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::AddressUsers => "AddressUsers",
        Subject::AddressFailures => "AddressFailures",
        Subject::UserFailures => "UserFailures",
        Subject::UserAddresses => "UserAddresses",
        Subject::FailureRatio => "FailureRatio",
    }
}

proptest! {
    /// While there is room, what is found is what a list of everything says.
    #[test]
    fn nothing_is_missed_and_nothing_invented(
        events in prop::collection::vec((0..5_u32, 0..7_u32, 0..10_u32, 0..25_000_u64), 1..150),
    ) {
        let (logins, limits, mut list) = (logins(), limits(), List::default());
        let mut ms = 0;
        for (address, user, luck, later) in events {
            ms += later / 3;
            let (now, step) = (at(ms), (ms / STEP_MS) as u32);
            let one = attempt(address, user);
            let found: BTreeMap<_, _> = come(&logins, now, &one, &limits)
                .into_iter()
                .map(|excess| (name(excess.subject), (excess.count, excess.limit)))
                .collect();
            prop_assert_eq!(found, list.excess(step, (address, user)));
            let ending = match luck {
                0..=6 => Ending::Failed,
                7..=8 => Ending::Succeeded,
                _ => Ending::Unknown,
            };
            logins.end(now, &one, ending);
            list.end(step, (address, user), ending);
        }
    }

    /// After the wait that is told, the client is let pass, and not a step earlier.
    #[test]
    fn the_wait_is_exact(
        events in prop::collection::vec((0..12_u32, 0..20_000_u64), 5..40),
    ) {
        let (logins, mut limits) = (logins(), limits());
        // Of the others' waits nothing is said here.
        limits.user_failures.at = 1_000_000;
        limits.user_addresses.at = 1_000_000;
        limits.failure_ratio.at = 101;
        let mut ms = 0;
        for (user, later) in events {
            ms += later;
            let one = attempt(1, user);
            let excess = come(&logins, at(ms), &one, &limits);
            logins.end(at(ms), &one, if excess.is_empty() { Ending::Failed } else { Ending::Unknown });
            let Some(wait) = excess.iter().map(|one| one.wait).max() else { continue };
            let then = ms + wait.as_millis() as u64;
            let before = come(&logins, at(then - 1), &one, &limits);
            logins.end(at(then - 1), &one, Ending::Unknown);
            prop_assert!(!before.is_empty());
            prop_assert_eq!(come(&logins, at(then), &one, &limits), []);
            logins.end(at(then), &one, Ending::Unknown);
            ms = then;
        }
    }
}
