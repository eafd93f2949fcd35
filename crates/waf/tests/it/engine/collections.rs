//! What is remembered from exchange to exchange.

use super::*;

/// Checks exchanges one after the other.
#[track_caller]
fn check_all(rules: &str, exchanges: &[(Exchange<'_>, &str)]) {
    let profile = profile(&seclang(rules), Policy::default());
    let mut transaction = Transaction::new();
    for (exchange, expected) in exchanges {
        let decision = judge(&mut transaction, &profile, exchange);
        assert_eq!(told(&transaction, &decision), *expected, "{exchange:?}");
    }
}

const COUNTING: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REQUEST_HEADERS.X-Who}"
    SecRule ARGS:login "@eq 0" "id:2,phase:2,pass,nolog,setvar:ip.failed=+1,expirevar:ip.failed=60"
    SecRule IP:failed "@ge 2" "id:3,phase:2,deny,log,msg:'%{ip.failed}'"
"#;

#[test]
fn counters_are_kept_for_each_owner() {
    let (bad, who) = (get("/?login=0"), "X-Who");
    check_all(
        COUNTING,
        &[
            (bad.clone().with(who, "a"), "| pass"),
            (bad.clone().with(who, "b"), "| pass"),
            (bad.clone().with(who, "a"), "3(2) | 403 by 3"),
            (get("/").with(who, "a"), "3(2) | 403 by 3"),
            (get("/").with(who, "b"), "| pass"),
        ],
    );
}

#[test]
fn variables_expire_though_others_come_by() {
    let (bad, who) = (get("/?login=0"), "X-Who");
    check_all(
        COUNTING,
        &[
            (bad.clone().with(who, "a"), "| pass"),
            (bad.with(who, "a").at(10), "3(2) | 403 by 3"),
            (get("/").with(who, "a").at(40), "3(2) | 403 by 3"),
            (get("/").with(who, "a").at(65), "3(2) | 403 by 3"),
            (get("/").with(who, "a").at(71), "| pass"),
        ],
    );
}

#[test]
fn variables_can_be_taken_back() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:global=all"
        SecRule ARGS:set "@rx ." "id:2,phase:2,pass,nolog,setvar:global.word=%{MATCHED_VAR}"
        SecRule ARGS:unset "@rx ." "id:3,phase:2,pass,nolog,setvar:!global.word"
        SecRule GLOBAL:word "@rx ." "id:4,phase:2,pass,msg:'%{global.word}'"
    "#;
    check_all(
        rules,
        &[
            (get("/?set=one"), "4(one) | pass"),
            (get("/"), "4(one) | pass"),
            (get("/?set=two"), "4(two) | pass"),
            (get("/?unset=1"), "| pass"),
            (get("/"), "| pass"),
        ],
    );
}

#[test]
fn what_was_not_opened_is_forgotten() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:ip.n=+1"
        SecRule IP:n "@ge 2" "id:2,phase:2,deny,log"
    "#;
    check_all(rules, &[(get("/"), "| pass"), (get("/"), "| pass"), (get("/"), "| pass")]);
}
