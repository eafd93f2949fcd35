use std::{io::Write, process::Stdio};

use expect_test::{Expect, expect};

use crate::process::Place;

mod replay;
mod suggest;

const NATIVE: &str = r##"
category "sql"
rule "sql/drop" id=1000001 {
    about "A table is dropped."
    points 25
    on "args" "header:referer"
    text "squeezed"
    matches "drop table"
    attack "1; DROP/**/TABLE users"
    clean "drop by the table"
}
rule "sql/comment" id=1000002 {
    about "A comment ends a statement."
    points 10
    on "args"
    contains "--"
    attack "1 --"
    clean "a - b"
}
rule "sql/strict" id=1000003 {
    about "A quote."
    points 10
    paranoia 2
    on "args"
    contains "'"
}
"##;
const SECLANG: &str = r#"
SecRule ARGS:id "@rx [^0-9]" "id:10,phase:2,deny,status:406,t:lowercase,msg:'not a number: %{MATCHED_VAR}',tag:attack-sqli"
SecRule REMOTE_ADDR "@geoLookup" "id:11,phase:1,deny,chain"
  SecRule GEO:COUNTRY_CODE "@streq XX"
SecAuditEngine On
"#;
const ATTACK: &str =
    "GET /shop?id=1%3Bdrop%20table%09users--&q=x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const CLEAN: &str = "POST /shop HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 4\n\nid=1\n";

/// A folder with rules and requests in it.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir_all(place.path("traffic/deep")).unwrap();
    place.write("own.kdl", NATIVE).write("own.conf", SECLANG);
    place.write("traffic/attack.http", ATTACK).write("traffic/deep/clean.http", CLEAN);
    place.write("traffic/notes.txt", "no request");
    place
}

#[track_caller]
fn check(args: &str, expected: Expect) {
    expected.assert_eq(&place().run(args));
}

#[test]
fn rules_are_counted_by_kind_and_their_cases_run() {
    check(
        "waf check own.kdl",
        expect![[r#"
            exit 0
            --- stdout
            rules        3 (1 file), 2 live
            chains       0
            expressions  1; scanned for in one pass: 3 rules, 1 of them without a literal
            cases        2 attacks, 2 clean
              sql      2/3
            ok
        "#]],
    );
    check(
        "waf check own.kdl --paranoia 2 --format json",
        expect![[r#"
        exit 0
        --- stdout
        {
          "cases": 4,
          "chained": 0,
          "expressions": 1,
          "failed_cases": [],
          "gated": 3,
          "kinds": {
            "sql": 3
          },
          "listed": [],
          "live": 3,
          "live_kinds": {
            "sql": 3
          },
          "loose": 1,
          "notes": [],
          "notes_left_out": 0,
          "ok": true,
          "problems": [],
          "rules": 3
        }
    "#]],
    );
}

#[test]
fn live_rules_are_listed_by_kind_and_level() {
    check(
        "waf check own.kdl --list --paranoia 2",
        expect![[r#"
            exit 0
            --- stdout
            sql
              PL1  1000001  25  sql/drop
              PL1  1000002  10  sql/comment
              PL2  1000003  10  sql/strict

            rules        3 (1 file), 3 live at paranoia 2
            chains       0
            expressions  1; scanned for in one pass: 3 rules, 1 of them without a literal
            cases        2 attacks, 2 clean
              sql      3/3
            ok
        "#]],
    );
    let place = place();
    let all = place.run("waf check --list --paranoia 4");
    let (listed, counted) = all.split_once("\n\nrules ").unwrap();
    let live = listed.lines().filter(|line| line.starts_with("  PL")).count();
    assert!(counted.contains(&format!("), {live} live at paranoia 4\n")), "{counted}");
    assert!(listed.lines().any(|line| line.starts_with("  PL2")), "{listed}");
    let strict = place.run("waf check --list").lines().any(|line| line.starts_with("  PL2"));
    assert!(!strict, "level 1 asks no rule of level 2");
}

#[test]
fn what_has_no_effect_is_a_warning_with_its_place() {
    check(
        "waf check own.conf",
        expect![[r#"
            exit 0
            --- stdout
            warning: own.conf:3: unsupported @geoLookup in rule 11: there is no database of places; it never matches
            warning: own.conf:4: unsupported GEO in rule 11: nothing fills this variable; it is left out
            note: own.conf:5: inert SecAuditEngine: the log is configured in selvedge.kdl
            rules        2 (1 file), 2 live
            chains       1
            expressions  1; scanned for in one pass: 1 rule, 1 of them without a literal
            cases        0 attacks, 0 clean
              attack-sqli      1/1
            ok: 2 warnings
        "#]],
    );
    assert!(place().run("waf check own.conf --deny-warnings").starts_with("exit 3\n"));
    assert!(place().run("waf check own.kdl --deny-warnings").starts_with("exit 0\n"));
}

#[test]
fn cases_that_fail_and_rules_that_do_not_compile_are_told() {
    let place = place();
    place.write("case.kdl", &NATIVE.replace("drop by the table", "drop table tennis"));
    expect![[r#"
        exit 1
        --- stdout
        error: case.kdl:10: sql/drop finds "drop table tennis", which is clean
        rules        3 (1 file), 2 live
        chains       0
        expressions  1; scanned for in one pass: 3 rules, 1 of them without a literal
        cases        2 attacks, 2 clean
          sql      2/3
        wrong: 1 failed case
    "#]]
    .assert_eq(&place.run("waf check case.kdl"));
    place.write("rx.conf", "SecRule ARGS \"@rx (\" \"id:1,phase:2,deny\"\n");
    expect![[r#"
        exit 2
        --- stdout
        error: rx.conf:1: rule 1 never matches: the expression: unclosed group
        rules        1 (1 file), 1 live
        chains       0
        expressions  0; scanned for in one pass: 0 rules, 0 of them without a literal
        cases        0 attacks, 0 clean
        wrong: 1 error
    "#]]
    .assert_eq(&place.run("waf check rx.conf"));
}

#[test]
fn rules_that_cannot_be_read_are_told_all_at_once() {
    let place = place();
    place.write("a.kdl", "ruel \"x\"\nrule \"sql/x\" id=5").write("b.conf", "SecRul ARGS x\n");
    place.write("c.kdl", NATIVE);
    expect![[r#"
        exit 2
        --- stderr
        error: a.kdl:1:1: unknown node `ruel`; did you mean `rule`?
        error: a.kdl:2:1: `rule` has no block; put what belongs to it between `{` and `}`
        error: b.conf:1: no directive `SecRul`; did you mean `SecRule`?
        3 errors
    "#]]
    .assert_eq(&place.run("waf check a.kdl b.conf"));
    expect![[r#"
        exit 2
        --- stderr
        error: c.kdl:3: rule 1000001 is at own.kdl:3 already
        error: c.kdl:12: rule 1000002 is at own.kdl:12 already
        error: c.kdl:20: rule 1000003 is at own.kdl:20 already
        3 errors
    "#]]
    .assert_eq(&place.run("waf check own.kdl c.kdl"));
    expect![[r#"
        exit 2
        --- stderr
        error: none.kdl cannot be read: No such file or directory (os error 2)
        error: traffic: no .kdl or .conf file is there
        error: traffic/notes.txt: rules are in .kdl files (native) or .conf files (SecLang)
        3 errors
    "#]]
    .assert_eq(&place.run("waf check none.kdl traffic traffic/notes.txt"));
}

#[test]
fn a_folder_is_read_in_the_order_of_the_core_rule_set() {
    let place = place();
    for folder in ["crs/rules", "crs/plugins"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    let action = |id: u32, does: &str| format!("SecAction \"id:{id},phase:2,{does}\"\n");
    place.write("crs/crs-setup.conf.example", &action(1, "pass,nolog,setvar:tx.from=setup"));
    place.write(
        "crs/plugins/x-before.conf",
        &action(2, "pass,nolog,setvar:tx.from=%{tx.from}+before"),
    );
    place.write("crs/rules/9.conf", &action(3, "deny,msg:'%{tx.from}+rules'"));
    place.write("crs/rules/9.conf.example", "nothing");
    place.write("crs/plugins/x-after.conf", &action(4, "deny,msg:'never'"));
    let said = place.run("waf test traffic/deep --rules crs --explain");
    assert!(said.contains("setup+before+rules"), "{said}");
}

#[test]
fn verdicts_are_told_with_their_rules() {
    check(
        "waf test traffic --rules own.kdl",
        expect![[r#"
        exit 0
        --- stdout
        traffic/attack.http: refused 403, 35 points; sql/drop (1000001), sql/comment (1000002)
        traffic/deep/clean.http: passes, 0 points
        2 requests: 1 refused, 1 passed
    "#]],
    );
    check(
        "waf test traffic/attack.http --rules own.kdl --block-at 100",
        expect![[r#"
        exit 0
        --- stdout
        traffic/attack.http: passes, logged, 35 points; sql/drop (1000001), sql/comment (1000002)
    "#]],
    );
    check(
        "waf test traffic/attack.http --rules own.kdl --detect",
        expect![[r#"
        exit 0
        --- stdout
        traffic/attack.http: would be refused 403, 35 points; sql/drop (1000001), sql/comment (1000002)
    "#]],
    );
}

#[test]
fn matches_are_explained_down_to_their_bytes() {
    check(
        "waf test traffic/attack.http --rules own.kdl --rules own.conf --explain",
        expect![[r#"
        exit 0
        --- stdout
        traffic/attack.http: refused 406, 35 points; not a number: 1;drop table\tusers--
           25 sql/drop (1000001)  A table is dropped.
                args:id, decoded: 1;>>drop table<< users--
           10 sql/comment (1000002)  A comment ends a statement.
                args:id, decoded: 1;drop table\tusers>>--<<
            0 10  not a number: 1;drop table\tusers--
                ARGS:id, decoded: 1>>;<<drop table\tusers--
    "#]],
    );
    check(
        "waf test traffic/attack.http --rules own.kdl --format json",
        expect![[r#"
        exit 0
        --- stdout
        [
          {
            "body_problem": null,
            "file": "traffic/attack.http",
            "matches": [
              {
                "evidence": [
                  {
                    "excerpt": "1;drop table users--",
                    "matched": "drop table",
                    "offset": 2,
                    "received": false,
                    "target": "args:id"
                  }
                ],
                "log_data": "",
                "message": "A table is dropped.",
                "name": "sql/drop",
                "points": 25,
                "rule": 1000001,
                "severity": "critical",
                "shadow": false,
                "tags": [
                  "sql",
                  "attack-sqli",
                  "capec/66",
                  "paranoia-level/1"
                ]
              },
              {
                "evidence": [
                  {
                    "excerpt": "1;drop table\\tusers--",
                    "matched": "--",
                    "offset": 18,
                    "received": false,
                    "target": "args:id"
                  }
                ],
                "log_data": "",
                "message": "A comment ends a statement.",
                "name": "sql/comment",
                "points": 10,
                "rule": 1000002,
                "severity": "notice",
                "shadow": false,
                "tags": [
                  "sql",
                  "attack-sqli",
                  "capec/66",
                  "paranoia-level/1"
                ]
              }
            ],
            "points": 35,
            "refusal": {
              "reason": "the request has 35 points; 25 are refused",
              "rule": null,
              "status": 403
            },
            "refused": true,
            "work": 81
          }
        ]
    "#]],
    );
}

#[test]
fn a_terminal_obeys_nothing_of_a_request() {
    let place = place();
    let request = "GET /?id=%1b[31mdrop%20table%E2%80%AEx HTTP/1.1\n\n";
    place.write("a.http", request);
    let said = place.run("waf test a.http --rules own.kdl --rules own.conf --explain");
    assert!(said.contains(r"\x1b[31m"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}

#[test]
fn standard_input_is_a_request_too() {
    let place = place();
    let mut command = place.command(["waf", "test", "-", "--rules", "own.kdl"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(ATTACK.as_bytes()).unwrap();
    let said = place.show(&child.wait_with_output().unwrap());
    assert!(said.starts_with("exit 0\n--- stdout\n-: refused 403, 35 points"), "{said}");
}

#[test]
fn what_is_no_request_is_told_and_the_others_are_judged() {
    check(
        "waf test traffic/notes.txt traffic --rules own.kdl",
        expect![[r#"
        exit 1
        --- stdout
        traffic/attack.http: refused 403, 35 points; sql/drop (1000001), sql/comment (1000002)
        traffic/deep/clean.http: passes, 0 points
        2 requests: 1 refused, 1 passed; 1 file could not be read
        --- stderr
        error: traffic/notes.txt is no HTTP request: line 1 is no request line such as `GET /path HTTP/1.1`
    "#]],
    );
    check(
        "waf test none.http --rules own.kdl",
        expect![[r#"
        exit 1
        --- stderr
        error: none.http cannot be read: No such file or directory (os error 2)
    "#]],
    );
    assert!(place().run("waf test").starts_with("exit 64\n"));
    assert!(place().run("waf test a --paranoia 5").starts_with("exit 64\n"));
}

/// Collections would make a verdict depend on what was asked before it, and by whom recordings hardly ever say.
#[test]
fn each_request_is_judged_by_itself() {
    let place = place();
    let counting = r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.seen=+1"
        SecRule IP:seen "@ge 2" "id:2,phase:1,deny,msg:'seen %{ip.seen} times'"
    "#;
    place.write("counting.conf", counting);
    for _ in 0..2 {
        let said = place.run("waf test traffic traffic --rules counting.conf --expect pass");
        assert!(said.ends_with("4 requests: 0 refused, 4 passed\n"), "{said}");
    }
    let said = place.run("waf replay traffic --rules counting.conf --against own.kdl");
    assert!(said.contains("newly refused         1\nnewly passed          0\n"), "{said}");
    let said = place.run("waf suggest traffic --rules counting.conf");
    assert!(said.ends_with("// 2 requests looked at, none is refused\n"), "{said}");
}

#[test]
fn an_unexpected_verdict_is_a_failure() {
    for (args, code) in [
        ("traffic/attack.http --expect refuse", 0),
        ("traffic/attack.http --expect pass", 1),
        ("traffic/deep --expect pass", 0),
        ("traffic --expect refuse", 1),
    ] {
        let said = place().run(&format!("waf test {args} --rules own.kdl"));
        assert!(said.starts_with(&format!("exit {code}\n")), "{args}: {said}");
    }
}

/// The rules that come with Selvedge are sound, and are what is meant where none are named.
#[test]
fn the_rules_that_come_with_selvedge_are_the_usual() {
    let place = place();
    let said = place.run("waf check");
    assert!(said.starts_with("exit 0\n--- stdout\nrules ") && said.ends_with("\nok\n"), "{said}");
    let said = place.run("waf test traffic --expect pass");
    assert!(
        said.starts_with("exit 1\n") && said.contains("2 requests: 1 refused, 1 passed"),
        "{said}"
    );
}
