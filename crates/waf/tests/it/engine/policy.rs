//! What a route makes of its rules.

use selvedge_waf::{
    policy::{Exclusion, Exhausted, Unreadable},
    rule::{self, Category, Mode, Selector, Target, Variable},
};

use super::*;

const RULES: &str = r##"
    category "sql"
    rule "sql/evil" id=1 {
        about "Evil."
        points 10
        on "args"
        matches #"evil"#
        attack "evil"
    }
    rule "sql/strict" id=2 {
        about "Strict."
        points 20
        paranoia 3
        on "args" "header:x-word"
        matches #"word"#
        attack "word"
    }
    rule "sql/path" id=3 {
        about "Path."
        points 30
        on "path"
        matches #"admin"#
        attack "admin"
    }
"##;

/// Checks what the rules say under a policy: numbers, points and the decision.
#[track_caller]
fn check_policy(policy: Policy, exchange: &Exchange<'_>, expected: &str) {
    let profile = profile(&native(RULES), policy);
    let mut transaction = Transaction::new();
    let decision = judge(&mut transaction, &profile, exchange);
    let found = transaction.matches().iter().map(|found| {
        let shadow = if found.shadow { "~" } else { "" };
        format!("{}{shadow}:{} ", found.id, found.points)
    });
    let (found, inbound) = (found.collect::<String>(), transaction.score().inbound);
    let status = match decision {
        Decision::Pass => "pass".to_owned(),
        Decision::Refuse(refusal) => refusal.status.to_string(),
    };
    assert_eq!(format!("{found}| {inbound} {status}"), expected);
}

fn exclusion(id: u64, target: Option<(Variable, &str)>) -> Exclusion {
    let entry = |(variable, key): (Variable, &str)| Target {
        variable,
        selector: Selector::Key(key.into()),
        count: false,
        exclude: false,
    };
    let rules = rule::Rules::Ids(vec![id..=id]);
    Exclusion { rules, target: target.map(entry), path: None, methods: Vec::new() }
}

#[test]
fn points_decide() {
    let policy = Policy::default;
    check_policy(policy(), &get("/?a=evil"), "1:10 | 10 pass");
    check_policy(policy(), &get("/admin?a=evil"), "3:30 1:10 | 40 403");
    check_policy(
        Policy { block_at: Some(10), status: 406, ..policy() },
        &get("/?a=evil"),
        "1:10 | 10 406",
    );
    check_policy(
        Policy { block_at: Some(41), ..policy() },
        &get("/admin?a=evil"),
        "3:30 1:10 | 40 pass",
    );
    check_policy(
        Policy { paranoia: Some(3), ..policy() },
        &get("/?a=evil-word"),
        "1:10 2:20 | 30 403",
    );
    check_policy(Policy { paranoia: Some(2), ..policy() }, &get("/?a=evil-word"), "1:10 | 10 pass");
    check_policy(
        Policy { weights: vec![(Category::Sql, 50)], ..policy() },
        &get("/admin?a=evil"),
        "3:15 1:5 | 20 pass",
    );
    check_policy(
        Policy { weights: vec![(Category::Sql, 0)], ..policy() },
        &get("/admin"),
        "3:0 | 0 pass",
    );
    check_policy(
        Policy { weights: vec![(Category::Xss, 0)], ..policy() },
        &get("/admin"),
        "3:30 | 30 403",
    );
    check_policy(
        Policy { mode: Some(Mode::DetectionOnly), ..policy() },
        &get("/admin"),
        "3:30 | 30 pass",
    );
    check_policy(Policy { mode: Some(Mode::Off), ..policy() }, &get("/admin"), "| 0 pass");
}

#[test]
fn early_refusals_ask_no_further() {
    let policy = Policy { early: true, block_at: Some(10), ..Policy::default() };
    check_policy(policy, &get("/admin?a=evil"), "3:30 | 30 403");
}

#[test]
fn shadows_count_nothing() {
    let shadow = vec![rule::Rules::Ids(vec![3..=3])];
    check_policy(
        Policy { shadow, ..Policy::default() },
        &get("/admin?a=evil"),
        "3~:30 1:10 | 10 pass",
    );
}

#[test]
fn shadows_of_the_core_rule_set_count_nothing() {
    let rules = r#"
        SecRule ARGS "@contains evil" "id:1,phase:2,pass,log,setvar:tx.inbound_anomaly_score_pl1=+5"
        SecRule TX:inbound_anomaly_score_pl1 "@ge 5" "id:2,phase:2,deny,log"
    "#;
    let shadow = vec![rule::Rules::Ids(vec![1..=1])];
    check_under(
        &profile(&seclang(rules), Policy { shadow, ..Policy::default() }),
        &get("/?a=evil"),
        "1 | pass",
    );
    check(rules, &get("/?a=evil"), "1 2 | 403 by 2");
}

#[test]
fn exclusions() {
    let under = |exclusion: Exclusion| Policy { exclusions: vec![exclusion], ..Policy::default() };
    check_policy(under(exclusion(3, None)), &get("/admin?a=evil"), "1:10 | 10 pass");
    let of_a = || exclusion(1, Some((Variable::Args, "a")));
    check_policy(under(of_a()), &get("/?a=evil"), "| 0 pass");
    check_policy(under(of_a()), &get("/?A=evil&b=evil"), "1:10 | 10 pass");
    let on_path = Exclusion { path: Some("/api".into()), ..exclusion(1, None) };
    check_policy(under(on_path.clone()), &get("/api/x?a=evil"), "| 0 pass");
    check_policy(under(on_path), &get("/x?a=evil"), "1:10 | 10 pass");
    let of_post = Exclusion { methods: vec!["POST".into()], ..of_a() };
    check_policy(under(of_post.clone()), &get("/?a=evil"), "1:10 | 10 pass");
    check_policy(under(of_post), &Exchange { method: "POST", ..get("/?a=evil") }, "| 0 pass");
    let by_tag = Exclusion { rules: rule::Rules::Tag("none-such".into()), ..exclusion(1, None) };
    check_policy(under(by_tag), &get("/?a=evil"), "1:10 | 10 pass");
}

#[test]
fn values_that_were_spared_are_found_elsewhere() {
    let spared = Exclusion { path: Some("/api".into()), ..exclusion(1, None) };
    let entry =
        Exclusion { path: Some("/doc".into()), ..exclusion(1, Some((Variable::Args, "a"))) };
    let policy = Policy { exclusions: vec![spared, entry], ..Policy::default() };
    let strict = profile(&native(RULES), Policy { paranoia: Some(4), ..policy.clone() });
    let loose = Arc::new(Profile::new(strict.rules().clone(), policy));
    let mut transaction = Transaction::new();
    for _ in 0..3 {
        for (target, of_loose, of_strict) in [
            ("/api?a=evil-word", "| pass", "2(Strict.) | pass"),
            ("/doc?a=evil-word", "| pass", "2(Strict.) | pass"),
            ("/doc?b=evil-word", "1(Evil.) | pass", "1(Evil.) 2(Strict.) | 403"),
            ("/x?a=evil-word", "1(Evil.) | pass", "1(Evil.) 2(Strict.) | 403"),
        ] {
            for (profile, expected) in [(&loose, of_loose), (&strict, of_strict)] {
                let decision = judge(&mut transaction, profile, &get(target));
                assert_eq!(told(&transaction, &decision), expected, "{target}");
            }
        }
    }
}

#[test]
fn values_that_rules_skipped_are_found_elsewhere() {
    let rules = r#"
        SecRule REQUEST_FILENAME "@beginsWith /skip" "id:1,phase:1,pass,nolog,skipAfter:END"
        SecRule REQUEST_FILENAME "@beginsWith /gone" "id:2,phase:1,pass,nolog,ctl:ruleRemoveById=9"
        SecRule REQUEST_FILENAME "@beginsWith /part" "id:3,phase:1,pass,nolog,ctl:ruleRemoveTargetById=9;ARGS:a"
        SecRule ARGS "@contains harmful" "id:9,phase:1,deny,log"
        SecMarker END
    "#;
    let profile = profile(&seclang(rules), Policy::default());
    let mut transaction = Transaction::new();
    for _ in 0..3 {
        for path in ["/skip", "/gone", "/part", "/x"] {
            let target = format!("{path}?a=harmful");
            let decision = judge(&mut transaction, &profile, &get(&target));
            let expected = if path == "/x" { "9 | 403 by 9" } else { "| pass" };
            assert_eq!(told(&transaction, &decision), expected, "{target}");
        }
    }
}

#[test]
fn names_tell_equal_values_apart() {
    let rules = r#"
        SecRule ARGS:/^x/ "@contains harmful" "id:1,phase:2,deny,log"
        SecRule ARGS:y "@contains harmful" "id:2,phase:2,deny,log"
    "#;
    let profile = profile(&seclang(rules), Policy::default());
    let mut transaction = Transaction::new();
    for (target, expected) in [
        ("/?z=harmful", "| pass"),
        ("/?xx=harmful", "1 | 403 by 1"),
        ("/?y=harmful", "2 | 403 by 2"),
    ]
    .repeat(3)
    {
        let decision = judge(&mut transaction, &profile, &get(target));
        assert_eq!(told(&transaction, &decision), expected, "{target}");
    }
}

#[test]
fn bodies_of_other_types_are_not_taken() {
    let of = |types: &[&str]| Policy {
        content_types: Some(types.iter().map(|kind| (*kind).to_owned()).collect()),
        ..Policy::default()
    };
    for (types, kind, expected) in [
        (&["application/json"][..], "application/json; charset=utf-8", "| 0 pass"),
        (&["application/json"], "Application/JSON", "| 0 pass"),
        (&["application/json"], "text/plain", "| 0 415"),
        (&["application/json"], "", "| 0 415"),
        (&["text/*"], "text/plain", "| 0 pass"),
        (&["text/*"], "textual/plain", "| 0 415"),
        (&["*/*"], "any/thing", "| 0 pass"),
    ] {
        check_policy(of(types), &post(kind, "{}"), expected);
    }
    check_policy(of(&["application/json"]), &get("/"), "| 0 pass");
}

#[test]
fn bodies_that_cannot_be_inspected() {
    let form = "application/x-www-form-urlencoded";
    for (oversize, expected) in [
        (Unreadable::Reject, "| 0 413"),
        (Unreadable::Inspect, "1:10 | 10 pass"),
        (Unreadable::Pass, "| 0 pass"),
    ] {
        let mut policy = Policy { oversize, ..Policy::default() };
        policy.limits.request_body_bytes = 8;
        check_policy(policy.clone(), &post(form, "a=evil&b=cdefgh"), expected);
        check_policy(policy, &post(form, "a=evil&"), "1:10 | 10 pass");
    }
    for (undecodable, expected) in
        [(Unreadable::Reject, "| 0 400"), (Unreadable::Inspect, "1:10 | 10 pass")]
    {
        let policy = Policy { undecodable, ..Policy::default() };
        check_policy(policy, &post("application/json", r#"{"a":"evil","#), expected);
    }
}

#[test]
fn spent_budgets() {
    for (exhausted, expected) in [(Exhausted::Reject, "| 0 413"), (Exhausted::Decide, "| 0 pass")] {
        let mut policy = Policy { exhausted, ..Policy::default() };
        policy.limits.work = 1;
        check_policy(policy, &get("/?x=something&a=evil"), expected);
    }
}

#[test]
fn frames_are_judged_by_what_is_in_them() {
    let profile = profile(&native::bundled(), Policy { paranoia: Some(4), ..Policy::default() });
    let mut transaction = Transaction::new();
    // No header that rules miss is missing in a frame.
    request(&mut transaction, &profile, &get("/socket"));
    for (frame, refused) in [
        ("hello", false),
        ("1' UNION SELECT password FROM users-- ", true),
        (r#"{"user":"ann","text":"hello"}"#, false),
    ] {
        let decision = transaction.frame(frame.as_bytes());
        assert_eq!(decision != Decision::Pass, refused, "{frame} {:?}", transaction.matches());
        assert_eq!(transaction.matches().is_empty(), !refused, "{frame}");
    }
}

#[test]
fn the_level_of_a_policy_is_that_of_the_rules() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.detection_paranoia_level=1"
        SecRule TX:detection_paranoia_level "@lt 2" "id:2,phase:2,pass,nolog,skipAfter:END"
        SecRule ARGS "@contains evil" "id:3,phase:2,deny,log"
        SecMarker END
    "#;
    for (paranoia, expected) in [(None, "| pass"), (Some(1), "| pass"), (Some(2), "3 | 403 by 3")] {
        let policy = Policy { paranoia, ..Policy::default() };
        check_under(&profile(&seclang(rules), policy), &get("/?a=evil"), expected);
    }
    let logged = rules.replace("pass,nolog,setvar", "pass,log,setvar");
    let policy = Policy { paranoia: Some(2), ..Policy::default() };
    check_under(&profile(&seclang(&logged), policy), &get("/?a=evil"), "1 3 | 403 by 3");
}
