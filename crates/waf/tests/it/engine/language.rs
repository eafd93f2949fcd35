//! Conditions, jumps, chains and variables.

use super::*;

#[test]
fn skipping_leaves_rules_out() {
    let rules = r#"
        SecRule ARGS:s "@eq 1" "id:1,phase:2,pass,log,skip:1"
        SecRule ARGS:s "@eq 2" "id:2,phase:2,pass,log,skipAfter:END"
        SecRule ARGS:s "@eq 4" "id:4,phase:2,pass,log,skip:99"
        SecAction "id:5,phase:2,pass,log"
        SecMarker END
        SecAction "id:6,phase:2,pass,log"
        SecAction "id:7,phase:3,pass,log"
    "#;
    // Over the next rule, which asks nothing of this.
    check(rules, &get("/?s=1"), "1 5 6 7 | pass");
    check(rules, &get("/?s=2"), "2 6 7 | pass");
    check(rules, &get("/?s=4"), "4 7 | pass");
    check(rules, &get("/"), "5 6 7 | pass");
}

#[test]
fn a_marker_is_one_of_every_phase() {
    let rules = r#"
        SecRule ARGS:s "@eq 1" "id:1,phase:1,pass,log,skipAfter:END"
        SecAction "id:2,phase:2,pass,log"
        SecAction "id:3,phase:1,pass,log"
        SecMarker END
        SecAction "id:4,phase:1,pass,log"
    "#;
    check(rules, &get("/?s=1"), "1 4 2 | pass");
    check(rules, &get("/"), "3 4 2 | pass");
}

#[test]
fn chains_hold_when_all_links_do() {
    let rules = r#"
        SecRule ARGS:a "@rx ^(\w+)-(\w+)$" "id:1,phase:2,deny,status:409,capture,msg:'%{TX.1} %{tx.2}',chain"
            SecRule TX:1 "@streq left" "chain"
            SecRule ARGS:b "@streq %{tx.2}" "t:lowercase"
    "#;
    check(rules, &get("/?a=left-right&b=RIGHT"), "1(left right) | 409 by 1");
    check(rules, &get("/?a=left-right&b=wrong"), "| pass");
    check(rules, &get("/?a=lift-right&b=right"), "| pass");
    check(rules, &get("/?a=left&b=right"), "| pass");
}

#[test]
fn effects_happen_for_each_value() {
    let sum = r#"SecRule TX:n "@ge 1" "id:9,phase:2,pass,msg:'%{tx.n}'""#;
    for (rule, target, expected) in [
        (
            r#"SecRule ARGS "@contains x" "id:1,phase:2,pass,nolog,setvar:tx.n=+1""#,
            "/?a=x&b=y&c=xx",
            "9(2) | pass",
        ),
        (
            r#"SecRule ARGS "!@contains x" "id:1,phase:2,pass,nolog,setvar:tx.n=+1""#,
            "/?a=x&b=y&c=z&d=z",
            "9(3) | pass",
        ),
        (r#"SecRule ARGS "!@rx x" "id:1,phase:2,pass,nolog,setvar:tx.n=+1""#, "/?a=x", "| pass"),
        (
            r#"SecRule ARGS "@rx %" "id:1,phase:2,pass,nolog,multiMatch,t:urlDecode,setvar:tx.n=+1""#,
            "/?a=%252525",
            "9(2) | pass",
        ),
        (
            r#"SecRule ARGS "@rx ^x" "id:1,phase:2,pass,nolog,setvar:tx.n=+5,setvar:tx.n=-2""#,
            "/?a=x&b=x",
            "9(6) | pass",
        ),
        (r#"SecAction "id:1,phase:2,pass,nolog,setvar:tx.n=4,setvar:!tx.n""#, "/", "| pass"),
        (
            r#"SecAction "id:1,phase:2,pass,nolog,setvar:tx.a=7,setvar:tx.n=%{tx.a}""#,
            "/",
            "9(7) | pass",
        ),
    ] {
        check(&format!("{rule}\n{sum}"), &get(target), expected);
    }
}

#[test]
fn targets_choose_values() {
    for (target, expected) in [
        ("ARGS:a", "1 | pass"),
        ("ARGS:A", "1 | pass"),
        ("ARGS:b", "| pass"),
        ("ARGS_GET|!ARGS_GET:a", "| pass"),
        ("ARGS|!ARGS:/^a/", "| pass"),
        ("ARGS|!ARGS:/^b/", "1 | pass"),
        ("ARGS:/^[a-c]$/", "1 | pass"),
        ("ARGS:/^B$/", "| pass"),
        ("ARGS_POST", "| pass"),
        ("QUERY_STRING", "1 | pass"),
        ("REQUEST_URI", "1 | pass"),
        ("REQUEST_LINE", "1 | pass"),
        ("REQUEST_FILENAME", "| pass"),
        ("REQUEST_HEADERS:user-agent", "1 | pass"),
        ("REQUEST_HEADERS|!REQUEST_HEADERS:User-Agent|!REQUEST_HEADERS:Cookie", "| pass"),
        ("REQUEST_COOKIES:c", "1 | pass"),
        ("REQUEST_COOKIES|!REQUEST_COOKIES:c", "| pass"),
    ] {
        let rule = format!(r#"SecRule {target} "@contains evil" "id:1,phase:2,pass,log""#);
        let exchange =
            get("/x?a=evil&b=good").with("User-Agent", "evil/1").with("Cookie", "c=evil");
        check(&rule, &exchange, expected);
    }
}

#[test]
fn counts_are_numbers_of_entries() {
    for (condition, expected) in [
        (r#"&ARGS "@eq 3""#, "1 | pass"),
        (r#"&ARGS:a "@eq 2""#, "1 | pass"),
        (r#"&ARGS:none "@eq 0""#, "1 | pass"),
        (r#"&REQUEST_HEADERS:Host "@eq 1""#, "1 | pass"),
        (r#"&REQUEST_HEADERS:Accept "!@eq 0""#, "| pass"),
        (r#"&TX:nothing "@eq 0""#, "1 | pass"),
    ] {
        let rule = format!(r#"SecRule {condition} "id:1,phase:2,pass,log""#);
        check(&rule, &get("/?a=1&a=2&b=3"), expected);
    }
}

#[test]
fn variables_of_matches() {
    let rules = r#"
        SecRule ARGS "@rx e(v)il" "id:1,phase:2,pass,capture,chain,msg:'%{TX.0} %{tx.1} by %{rule.id}'"
            SecRule MATCHED_VARS "@contains 2" "t:none"
        SecRule ARGS "@contains evil" "id:2,phase:2,pass,chain,log"
            SecRule MATCHED_VARS_NAMES "@streq ARGS:b" "t:none"
    "#;
    check(rules, &get("/?a=evil2"), "1(evil v by 1) | pass");
    check(rules, &get("/?b=evil"), "2 | pass");
    check(rules, &get("/?a=evil"), "| pass");
}

#[test]
fn values_outside_of_the_request() {
    for (condition, expected) in [
        (r#"REMOTE_ADDR "@ipMatch 192.0.2.0/24""#, "1 | pass"),
        (r#"REMOTE_ADDR "@ipMatch 198.51.100.0/24,2001:db8::/32""#, "| pass"),
        (r#"REMOTE_PORT "@eq 4711""#, "1 | pass"),
        (r#"SERVER_PORT "@lt 81""#, "1 | pass"),
        (r#"SERVER_NAME "@streq example.com""#, "1 | pass"),
        (r#"REQUEST_METHOD "@within GET HEAD""#, "1 | pass"),
        (r#"REQUEST_METHOD "!@within POST PUT""#, "1 | pass"),
        (r#"REQUEST_PROTOCOL "@streq HTTP/1.1""#, "1 | pass"),
        (r#"REQUEST_BASENAME "@endsWith .php""#, "1 | pass"),
        (r#"REQUEST_FILENAME "@beginsWith /a/""#, "1 | pass"),
        (r#"ARGS_COMBINED_SIZE "@eq 4""#, "1 | pass"),
        (r#"TIME_EPOCH "@eq 1000000""#, "1 | pass"),
    ] {
        let rule = format!(r#"SecRule {condition} "id:1,phase:2,pass,log""#);
        check(&rule, &get("/a/b.php?x=123"), expected);
    }
}

#[test]
fn every_phase_has_its_values() {
    let rules = r#"
        SecRule ARGS:a "@streq x" "id:1,phase:1,pass,log"
        SecRule REQUEST_BODY|ARGS_POST "@contains x" "id:2,phase:2,pass,log"
        SecRule RESPONSE_STATUS "@eq 500" "id:3,phase:3,pass,log"
        SecRule RESPONSE_HEADERS:Content-Type "@contains html" "id:4,phase:3,pass,log"
        SecRule RESPONSE_BODY "@contains stack trace" "id:5,phase:4,deny,log"
        SecRule RESPONSE_STATUS "@ge 500" "id:6,phase:5,pass,log"
    "#;
    let exchange = get("/?a=x").answered(500, "a stack trace");
    check(rules, &exchange, "1 3 4 5 6 | 403 by 5");
    check(rules, &post("application/x-www-form-urlencoded", "b=x"), "2 4 | pass");
}

#[test]
fn bodies_become_arguments() {
    let rules = r#"
        SecRule ARGS "@contains evil" "id:1,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
        SecRule FILES "@endsWith .php" "id:2,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
        SecRule MULTIPART_NAME "@streq up" "id:3,phase:2,pass,log"
        SecRule MULTIPART_PART_HEADERS "@contains text/evil" "id:4,phase:2,pass,log"
        SecRule XML:/* "@contains evil" "id:5,phase:2,pass,log"
        SecRule REQBODY_PROCESSOR "@rx ^(.*)$" "id:6,phase:2,pass,capture,msg:'%{tx.1}'"
        SecRule REQBODY_ERROR "!@eq 0" "id:7,phase:2,pass,log"
        SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:8,phase:2,pass,log"
    "#;
    let form = "application/x-www-form-urlencoded";
    check(rules, &post(form, "a=evil"), "1(ARGS:a) 6(URLENCODED) | pass");
    check(
        rules,
        &post("application/json", r#"{"a":{"b":"evil"}}"#),
        "1(ARGS:json.a.b) 6(JSON) | pass",
    );
    check(rules, &post("application/json", r#"{"a":"#), "6(JSON) 7 | pass");
    check(rules, &post("text/xml", "<a>evil</a>"), "5 6(XML) | pass");
    let part = "--B\r\nContent-Disposition: form-data; name=\"up\"; filename=\"x.php\"\r\n\
                Content-Type: text/evil\r\n\r\nx\r\n--B--\r\n";
    check(
        rules,
        &post("multipart/form-data; boundary=B", part),
        "2(FILES:up) 3 4 6(MULTIPART) | pass",
    );
    check(rules, &post("multipart/form-data; boundary=B", "--B\r\nfoo"), "6(MULTIPART) 7 8 | pass");
}
