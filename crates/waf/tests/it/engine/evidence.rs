//! What is told of a match.

use selvedge_waf::{
    engine::{EXCERPT_BYTES_MAX, Evidence},
    rule::Variable,
};

use super::*;

#[track_caller]
fn evidence(rule: &str, exchange: &Exchange<'_>) -> Vec<Evidence> {
    let mut transaction = Transaction::new();
    judge(&mut transaction, &profile(&seclang(rule), Policy::default()), exchange);
    let [found] = transaction.matches() else { panic!("{:?}", transaction.matches()) };
    found.evidence.clone()
}

#[track_caller]
fn check_one(
    rule: &str,
    exchange: &Exchange<'_>,
    expected: (Variable, &str, &str, &str, usize, bool),
) {
    let found = evidence(rule, exchange);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    let (variable, key, excerpt, matched, offset, received) = expected;
    let told = (
        one.variable,
        one.key.as_slice(),
        one.excerpt.as_slice(),
        &one.excerpt[one.span.clone()],
        one.offset,
        one.received,
    );
    assert_eq!(
        told,
        (variable, key.as_bytes(), excerpt.as_bytes(), matched.as_bytes(), offset, received)
    );
}

#[test]
fn where_a_rule_fired() {
    let plain = r#"SecRule ARGS|REQUEST_HEADERS "@rx e.il" "id:1,phase:2,pass,log""#;
    check_one(
        plain,
        &get("/?a=an+evil+word"),
        (Variable::Args, "a", "an evil word", "evil", 0, false),
    );
    check_one(plain, &get("/?a=evil"), (Variable::Args, "a", "evil", "evil", 0, true));
    check_one(
        plain,
        &get("/").with("X-A", "an EvIl evil"),
        (Variable::RequestHeaders, "X-A", "an EvIl evil", "evil", 0, true),
    );
    let lower = r#"SecRule REQUEST_URI "@contains evil" "id:1,phase:2,pass,log,t:lowercase""#;
    check_one(lower, &get("/EVIL/x"), (Variable::RequestUri, "", "/evil/x", "evil", 0, false));
    check_one(lower, &get("/evil/x"), (Variable::RequestUri, "", "/evil/x", "evil", 0, true));
    let word = r#"SecRule REQUEST_METHOD "@streq GET" "id:1,phase:2,pass,log""#;
    check_one(word, &get("/"), (Variable::RequestMethod, "", "GET", "GET", 0, true));
}

#[test]
fn long_values_are_cut_around_the_match() {
    let rule = r#"SecRule ARGS "@rx e(v)il+" "id:1,phase:2,pass,log""#;
    for (before, inside, after) in
        [(500, 0, 500), (0, 0, 500), (500, 0, 0), (10, 400, 10), (0, 0, 0)]
    {
        let value =
            format!("{}evil{}{}", "x".repeat(before), "l".repeat(inside), "y".repeat(after));
        let target = format!("/?a={value}");
        let found = evidence(rule, &get(&target));
        let one = &found[0];
        assert!(one.excerpt.len() <= EXCERPT_BYTES_MAX);
        assert_eq!(&value.as_bytes()[one.offset..one.offset + one.excerpt.len()], one.excerpt);
        assert_eq!(one.offset + one.span.start, before);
        assert!(one.excerpt[one.span.clone()].starts_with(b"evil"), "{one:?}");
    }
}

#[test]
fn every_link_tells() {
    let rule = r#"
        SecRule ARGS "@contains evil" "id:1,phase:2,pass,log,chain"
            SecRule REQUEST_METHOD "@streq GET" "t:none"
    "#;
    let found = evidence(rule, &get("/?a=evil&b=evil"));
    let told: Vec<_> = found.iter().map(|one| (one.variable, one.key.as_slice())).collect();
    let expected: [(Variable, &[u8]); 3] =
        [(Variable::Args, b"a"), (Variable::Args, b"b"), (Variable::RequestMethod, b"")];
    assert_eq!(told, expected);
}

#[test]
fn evidence_is_bounded() {
    let target = format!("/?{}", "a=evil&".repeat(100));
    let rule = r#"SecRule ARGS "@contains evil" "id:1,phase:2,pass,log""#;
    assert_eq!(evidence(rule, &get(&target)).len(), 8);
}
