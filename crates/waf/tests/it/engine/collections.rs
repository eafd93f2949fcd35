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

/// Judges exchanges all of which begin before the first one ends.
fn judge_at_once(profile: &Arc<Profile>, exchanges: &[Exchange<'_>]) {
    let mut transactions: Vec<_> = exchanges.iter().map(|_| Transaction::new()).collect();
    for (transaction, exchange) in transactions.iter_mut().zip(exchanges) {
        assert_eq!(request(transaction, profile, exchange), Decision::Pass);
    }
    transactions.iter_mut().for_each(Transaction::log);
}

const TELLING: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,initcol:global=all"
    SecRule ARGS:add "@ge 0" "id:2,phase:2,pass,nolog,setvar:global.n=+%{MATCHED_VAR},setvar:global.n=+0"
    SecRule ARGS:set "@ge 0" "id:3,phase:2,pass,nolog,setvar:global.n=%{MATCHED_VAR}"
    SecRule ARGS:unset "@ge 0" "id:4,phase:2,pass,nolog,setvar:!global.n"
    SecRule ARGS:other "@ge 0" "id:5,phase:2,pass,nolog,setvar:global.m=+1"
    SecRule ARGS:shrink "@ge 0" "id:6,phase:2,pass,nolog,deprecatevar:global.n=2/10"
    SecRule ARGS:expire "@ge 0" "id:7,phase:2,pass,nolog,expirevar:global.n=%{MATCHED_VAR}"
    SecAction "id:9,phase:2,pass,log,msg:'%{global.n} %{global.m}'"
"#;

/// Checks what is remembered after rounds of exchanges at once.
#[track_caller]
fn check_rounds(rounds: &[&[&str]], expected: &str) {
    let profile = profile(&seclang(TELLING), Policy::default());
    for (at, round) in rounds.iter().enumerate() {
        let exchanges: Vec<_> = round.iter().map(|target| get(target).at(at as u64 * 10)).collect();
        judge_at_once(&profile, &exchanges);
    }
    let mut transaction = Transaction::new();
    let last = get("/").at(rounds.len() as u64 * 10);
    let decision = judge(&mut transaction, &profile, &last);
    assert_eq!(told(&transaction, &decision), format!("9({expected}) | pass"), "{rounds:?}");
}

#[test]
fn exchanges_at_once_all_count() {
    check_rounds(&[&["/?add=1", "/?add=1"]], "2 ");
    check_rounds(&[&["/?add=3"], &["/?add=1", "/?add=2", "/?add=1"]], "7 ");
    check_rounds(&[&["/?add=3"], &["/?add=1", "/", "/?other=1"]], "4 1");
    check_rounds(&[&["/?add=3"], &["/?set=7", "/?add=1"]], "8 ");
    check_rounds(&[&["/?add=3"], &["/?add=1", "/?set=7"]], "7 ");
    check_rounds(&[&["/?add=3"], &["/?unset=1", "/?add=1"]], "1 ");
    check_rounds(&[&["/?set=word"], &["/", "/"]], "word ");
}

#[test]
fn variables_expire_for_all_and_shrink_once() {
    check_rounds(&[&["/?add=3&expire=15"], &["/?add=1", "/?add=1"]], " ");
    check_rounds(&[&["/?add=3"], &["/?expire=15", "/?add=1"]], "4 ");
    check_rounds(&[&["/?add=3"], &["/?expire=15", "/?add=1"], &[]], " ");
    check_rounds(&[&["/?add=9"], &["/?shrink=1", "/?shrink=1"]], "7 ");
    check_rounds(&[&["/?add=9"], &["/?shrink=1", "/?add=1"], &["/?shrink=1"]], "6 ");
    check_rounds(&[&["/?add=9"], &[], &["/?shrink=1&add=1"]], "6 ");
    check_rounds(&[&["/?add=9"], &[], &[], &[], &[], &[], &["/?shrink=1"]], "0 ");
    check_rounds(&[&["/?shrink=1"]], " ");
}
