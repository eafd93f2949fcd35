//! What is decided before there is a request is what the rules would have decided.

use proptest::prelude::*;

use super::*;

/// Judges exchanges with constants followed beforehand, and without.
#[track_caller]
fn check(set: &RuleSet, policy: &Policy, exchanges: &[Exchange]) -> usize {
    let rules = Arc::new(Rules::compile(set));
    let folded = Arc::new(Profile::new(rules.clone(), policy.clone()));
    let plain = Arc::new(Profile::unfolded(rules, policy.clone()));
    let (mut left, mut right) = (Transaction::new(), Transaction::new());
    let mut matches = 0;
    for exchange in exchanges {
        let expected = judge(&mut right, &plain, exchange);
        assert_eq!(judge(&mut left, &folded, exchange), expected, "{exchange:?}");
        matches += expected.matches.len();
    }
    matches
}

#[test]
fn the_core_rule_set_finds_the_same_unfolded() {
    for paranoia in [1, 3] {
        let Some(set) = core_rule_set(paranoia) else { return };
        assert!(check(&set, &watching(), &exchanges(40, 1)) >= 50);
    }
}

fn queries() -> Vec<Exchange> {
    let case = native::cases()[0].clone();
    let query = |text: &str| {
        Case { part: native::Part::Query, text: text.into(), ..case.clone() }.exchange()
    };
    ["a=1", "b=1", "a=1&b=1", "c=1", "a=1&b=1&c=1"].map(query).into()
}

#[track_caller]
fn check_program(text: &str) {
    let seen = r#"
        SecRule &TX:x "@ge 0" "id:901,phase:2,pass,log,msg:'%{tx.x} %{tx.y} %{tx.z}'"
        SecRule TX:x "@eq 1" "id:902,phase:2,pass,log"
        SecRule TX:y "@eq 1" "id:903,phase:2,pass,log"
        SecRule TX:z "@eq 1" "id:904,phase:3,pass,log"
        SecRule TX:x "@ge 2" "id:905,phase:5,pass,log"
        SecRule TX:y "@ge 2" "id:906,phase:2,deny,log"
        SecRule TX:y "@ge 1" "id:907,phase:5,pass,log"
    "#;
    let set = seclang(&format!("{text}{seen}"));
    check(&set, &watching(), &queries());
    check(&set, &Policy { mode: Some(Mode::On), ..watching() }, &queries());
}

#[test]
fn what_comes_behind_a_refusal_is_not_there_at_the_end() {
    check_program(
        r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,deny,nolog"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.x=2"
        SecRule ARGS:b "@eq 1" "id:3,phase:2,deny,nolog"
        SecAction "id:4,phase:2,pass,nolog,setvar:tx.y=1"
    "#,
    );
}

#[test]
fn what_comes_behind_the_end_is_not_there_at_the_end() {
    // There is no response.
    check_program(r#"SecAction "id:1,phase:3,pass,nolog,setvar:tx.x=2,setvar:tx.y=1""#);
}

#[test]
fn a_jump_over_a_constant_leaves_it_unset() {
    check_program(
        r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,pass,nolog,skipAfter:END"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.x=1"
        SecMarker END
    "#,
    );
}

#[test]
fn a_gate_stays_where_others_jump_behind_it() {
    check_program(
        r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,pass,nolog,skipAfter:INNER"
        SecAction "id:2,phase:1,pass,nolog,skipAfter:OUTER"
        SecMarker INNER
        SecAction "id:3,phase:1,pass,nolog,setvar:tx.y=1"
        SecMarker OUTER
    "#,
    );
}

#[test]
fn what_allow_ends_sets_nothing() {
    for allow in ["allow", "allow:phase", "allow:request"] {
        check_program(&format!(
            r#"
            SecRule ARGS:a "@eq 1" "id:1,phase:1,{allow},nolog"
            SecAction "id:2,phase:1,pass,nolog,setvar:tx.x=1"
            SecAction "id:3,phase:2,pass,nolog,setvar:tx.y=1"
            SecAction "id:4,phase:3,pass,nolog,setvar:tx.z=1,setvar:tx.x=2"
        "#
        ));
    }
}

#[test]
fn a_chain_that_breaks_off_has_done_what_came_before() {
    check_program(
        r#"
        SecRule &TX:x "@eq 0" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=903,chain"
            SecRule TX:none "@eq 1" "t:none"
        SecRule ARGS:a "@eq 1" "id:2,phase:1,pass,nolog,setvar:tx.y=1"
    "#,
    );
}

#[test]
fn engines_that_are_switched_off_set_nothing() {
    check_program(
        r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.x=1"
    "#,
    );
}

/// A rule of a random program, but for its number.
fn statement() -> impl Strategy<Value = String> {
    let slot = prop_oneof![Just("x"), Just("y"), Just("z")];
    let change = prop_oneof![
        Just("=1"),
        Just("=0"),
        Just("=+1"),
        Just("=-1"),
        Just("=%{tx.x}"),
        Just("=%{tx.y}")
    ];
    let head = prop_oneof![
        2 => Just("SecAction".to_owned()),
        2 => (slot.clone(), "@(eq|lt|ge) [012]").prop_map(|(slot, test)| format!("SecRule TX:{slot} \"{test}\"")),
        1 => slot.clone().prop_map(|slot| format!("SecRule &TX:{slot} \"@eq 0\"")),
        2 => "[abc]".prop_map(|name| format!("SecRule ARGS:{name} \"@eq 1\"")),
    ];
    let action = prop_oneof![
        4 => (slot, change).prop_map(|(slot, change)| format!("setvar:tx.{slot}{change}")),
        2 => "END[12]".prop_map(|marker| format!("skipAfter:{marker}")),
        1 => (1..8u32).prop_map(|id| format!("ctl:ruleRemoveById=10{id}")),
        1 => Just("t:none".to_owned()),
        1 => Just("deny".to_owned()),
    ];
    let log = prop_oneof![3 => Just("nolog"), 1 => Just("log")];
    (head, "[1-3]", log, action, 0..6).prop_map(|(head, phase, log, action, marker)| {
        let marker = match marker {
            0 => "SecMarker END1\n",
            1 => "SecMarker END2\n",
            _ => "",
        };
        // A gate whose taking out opens what lies behind it is none here: `fold` says why.
        let number = if action.starts_with("skipAfter") { "20" } else { "10" };
        let pass = if action == "deny" { "" } else { "pass," };
        format!("{head} \"id:{number}#,phase:{phase},{pass}{log},{action}\"\n{marker}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_do_the_same_unfolded(statements in prop::collection::vec(statement(), 1..8)) {
        let text: String = statements.iter().enumerate().map(|(at, text)| text.replace('#', &(at + 1).to_string())).collect();
        check_program(&format!("{text}SecMarker END1\nSecMarker END2\n"));
    }
}
