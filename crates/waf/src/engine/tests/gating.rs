//! No gate keeps a rule from a value that it matches.

use std::collections::BTreeSet;

use super::*;

/// Two transactions: one looks for candidates first, the other asks every rule about every value.
struct Pair {
    gated: (Transaction, Arc<Profile>),
    plain: (Transaction, Arc<Profile>),
    /// The rules that are looked for beforehand: of a frame only those are asked.
    sought: BTreeSet<u64>,
}

impl Pair {
    fn new(set: &RuleSet, policy: &Policy) -> Self {
        let gated = Rules::compile(set);
        assert_eq!(gated.problems(), []);
        let sought = gated.rules.iter().filter(|rule| rule.probe.is_some());
        let sought = sought.map(|rule| rule.rule.id).collect();
        let mut plain = Rules::compile(set);
        plain.rules.iter_mut().for_each(|rule| rule.probe = None);
        let gated = Arc::new(Profile::new(Arc::new(gated), policy.clone()));
        let mut plain = Profile::new(Arc::new(plain), policy.clone());
        plain.nothing = plain.always.clone();
        Self {
            gated: (Transaction::new(), gated),
            plain: (Transaction::new(), Arc::new(plain)),
            sought,
        }
    }

    /// What differs, and how many matches there were.
    fn compare(&mut self, exchange: &Exchange) -> (usize, Option<String>) {
        let gated = judge(&mut self.gated.0, &self.gated.1, exchange);
        let mut plain = judge(&mut self.plain.0, &self.plain.1, exchange);
        if exchange.frame.is_some() {
            plain.matches.retain(|(id, _)| self.sought.contains(id));
            plain.score = gated.score;
            plain.refusal = gated.refusal;
        }
        let differs = gated != plain;
        (plain.matches.len(), differs.then(|| format!("{exchange:?}\n{gated:?}\n{plain:?}")))
    }
}

/// Checks that all exchanges are judged alike, and that at least `least` matches were among them.
#[track_caller]
fn check(set: &RuleSet, policy: &Policy, exchanges: &[Exchange], least: usize) {
    let mut pair = Pair::new(set, policy);
    let (mut matches, mut differences) = (0, Vec::new());
    for exchange in exchanges {
        let (found, difference) = pair.compare(exchange);
        matches += found;
        differences.extend(difference);
    }
    let first: Vec<_> = differences.iter().take(5).map(String::as_str).collect();
    assert!(first.is_empty(), "{} differences\n{}", differences.len(), first.join("\n\n"));
    assert!(matches >= least, "{matches} matches");
}

#[test]
fn native_rules_find_the_same_without_gates() {
    let policy = Policy { paranoia: Some(4), ..watching() };
    check(&native::bundled(), &policy, &exchanges(5, 2), 400);
}

#[test]
fn native_rules_find_the_same_inside_base64() {
    let policy = Policy { paranoia: Some(4), inside_base64: true, ..watching() };
    check(&native::bundled(), &policy, &exchanges(19, 0), 20);
}

#[test]
fn the_core_rule_set_finds_the_same_without_gates() {
    for paranoia in [1, 4] {
        let Some(set) = core_rule_set(paranoia) else { return };
        check(&set, &watching(), &exchanges(40, 2), 150);
    }
}

/// Checks one small rule set on one request's query.
#[track_caller]
fn check_query(rules: &str, query: &str) {
    let case = &native::cases()[0];
    let exchange =
        Case { part: native::Part::Query, text: query.into(), ..case.clone() }.exchange();
    check(&seclang(rules), &watching(), &[exchange], 1);
}

#[test]
fn small_rules_find_the_same_without_gates() {
    let long = "n".repeat(100);
    for (rules, query) in [
        // A name that is longer than most.
        (format!(r#"SecRule ARGS:{long} "@contains evil" "id:1,phase:2,deny""#), format!("{long}=evil")),
        (r#"SecRule ARGS:/^a/ "@rx evil" "id:1,phase:2,deny""#.into(), "b=evil&a=evil".into()),
        (r#"SecRule ARGS|!ARGS:/^a/ "@pm evil" "id:1,phase:2,deny""#.into(), "a=evil&b=EVIL".into()),
        // Every text that a chain leads to is asked.
        (
            r#"SecRule ARGS "@rx x" "id:1,phase:2,pass,multiMatch,t:urlDecode,t:lowercase,setvar:tx.inbound_anomaly_score_pl1=+1""#
                .into(),
            "a=x%2578&b=X".into(),
        ),
        (r#"SecRule ARGS "@rx ^$" "id:1,phase:2,deny,t:removeWhitespace""#.into(), "a=+".into()),
        (r#"SecRule ARGS "@validateByteRange 32-126" "id:1,phase:2,deny""#.into(), "a=%00".into()),
        (r#"SecRule ARGS_NAMES "@streq a" "id:1,phase:2,deny""#.into(), "a=1".into()),
    ] {
        check_query(&rules, &query);
    }
}

/// Checks one small rule set on a body.
#[track_caller]
fn check_body(rules: &str, media: &str, body: &str, least: usize) {
    let exchange = Exchange {
        method: "POST".into(),
        fields: vec![("Host".into(), "a".into()), ("Content-Type".into(), media.into())],
        body: body.into(),
        ..native::cases()[0].exchange()
    };
    check(&seclang(rules), &watching(), &[exchange], least);
}

#[test]
fn bodies_are_found_the_same_without_gates() {
    const FORM: &str = "multipart/form-data; boundary=b";
    let file = |name: &str, text: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name={name}; filename=f\r\n\r\n{text}\r\n--b--\r\n"
        )
    };
    let named = r#"SecRule FILES_TMP_CONTENT:a "@contains evil" "id:1,phase:2,deny""#;
    check_body(named, FORM, &file("a", "evil"), 1);
    let stands = r#"SecRule REQUEST_BODY "@contains evil" "id:1,phase:2,deny,t:lowercase"
        SecRule UNREAD_BODY "@contains evil" "id:2,phase:2,deny,t:lowercase"
        SecRule ARGS "@contains good" "id:3,phase:2,deny""#;
    // One that no parser reads is two variables of the same bytes; long ones are looked through otherwise.
    let pad = "x ".repeat(3000);
    for media in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        for body in ["EVIL evil".to_owned(), format!("{pad}Evil{pad}evil{pad}")] {
            check_body(stands, media, &body, 1);
        }
    }
}
