//! Each rule finds what it says it finds, and leaves alone what it says it leaves alone.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
    time::SystemTime,
};

use crate::{
    engine::{Connection, Match, Profile, RequestHead, ResponseHead, Rules, Transaction},
    native::{self, Case, Exchange, Expectation},
    policy::{Policy, Unreadable},
    rule::{Item, Mode, Rule},
};

/// Rules that come with Selvedge, asked up to this level; nothing is refused.
pub(super) fn profile(paranoia: u8) -> Arc<Profile> {
    let rules = Rules::compile(&native::bundled());
    assert_eq!(rules.problems(), []);
    let policy = Policy {
        mode: Some(Mode::DetectionOnly),
        paranoia: Some(paranoia),
        undecodable: Unreadable::Inspect,
        ..Policy::default()
    };
    Arc::new(Profile::new(Arc::new(rules), policy))
}

fn rules() -> Vec<Rule> {
    let rule = |item| match item {
        Item::Rule(rule) => *rule,
        Item::Marker(_) => panic!("native rules have no markers"),
    };
    native::bundled().items.into_iter().map(rule).collect()
}

/// What rules find in an exchange.
pub(super) fn matches(
    transaction: &mut Transaction,
    profile: &Arc<Profile>,
    exchange: &Exchange,
) -> Vec<Match> {
    let local = Ipv4Addr::LOCALHOST.into();
    let connection = Connection { client: local, client_port: 1, server: local, server_port: 80 };
    transaction.begin(profile, &connection, SystemTime::UNIX_EPOCH);
    if let Some(frame) = &exchange.frame {
        transaction.frame(frame.as_bytes());
        return transaction.matches().to_vec();
    }
    transaction.request_head(&RequestHead {
        method: exchange.method.as_bytes(),
        target: exchange.target.as_bytes(),
        version: "HTTP/1.1",
        fields: &as_bytes(&exchange.fields),
    });
    transaction.request_body(exchange.body.as_bytes());
    transaction.request();
    if let Some(response) = &exchange.response {
        transaction.response_head(&ResponseHead {
            status: response.status,
            version: "HTTP/1.1",
            fields: &as_bytes(&response.fields),
        });
        transaction.response_body(response.body.as_bytes());
        transaction.response();
    }
    transaction.matches().to_vec()
}

fn as_bytes(fields: &[(String, String)]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// What is wrong with a case, if anything is.
fn complaint(found: &[Match], case: &Case) -> Option<String> {
    let hit = found.iter().any(|one| one.id == case.rule);
    let Case { name, place, text, .. } = case;
    let place = format!("{}:{}", place.file, place.line);
    match (hit, case.expectation) {
        (true, Expectation::Match) | (false, Expectation::NoMatch) => None,
        (false, Expectation::Match) => Some(format!("{place}: {name} does not find {text:?}")),
        (true, Expectation::NoMatch) => Some(format!("{place}: {name} finds {text:?}")),
    }
}

#[test]
fn rules_find_attacks_and_leave_the_rest_alone() {
    let (profile, mut transaction) = (profile(4), Transaction::new());
    let complaints: Vec<String> = native::cases()
        .iter()
        .filter_map(|case| complaint(&matches(&mut transaction, &profile, &case.exchange()), case))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_rule_has_two_cases_of_each_kind() {
    let mut seen: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for case in native::cases() {
        let (attacks, clean) = seen.entry(case.rule).or_default();
        match case.expectation {
            Expectation::Match => *attacks += 1,
            Expectation::NoMatch => *clean += 1,
        }
    }
    let has_few = |rule: &Rule| {
        let (attacks, clean) = seen.get(&rule.id).copied().unwrap_or_default();
        attacks < 2 || clean < 2
    };
    let few: Vec<_> = rules().into_iter().filter(has_few).map(|rule| rule.name).collect();
    assert!(few.is_empty(), "{few:?}");
}

#[test]
fn numbers_and_names_are_unique_and_numbers_are_ours() {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for rule in rules() {
        assert!((2_000_000..3_000_000).contains(&rule.id), "{:?}", rule.name);
        assert!(ids.insert(rule.id), "{} of {:?} is taken", rule.id, rule.name);
        assert!(names.insert(rule.name.clone()), "{:?} is taken", rule.name);
    }
    assert!(ids.len() >= 285, "{} rules", ids.len());
}
