//! What rules look at.

use selvedge_waf::rule::{Operator, Variable};

use super::{errors, notes, rule, written};

#[track_caller]
fn check(list: &str, expected: &str) {
    let rule = rule(&format!("SecRule {list} \"@eq 1\" \"id:1\""));
    assert_eq!(written(&rule.links[0].targets), expected, "{list}");
}

#[test]
fn every_variable_has_its_name_in_any_case() {
    for variable in Variable::ALL {
        check(variable.name(), variable.name());
        check(&variable.name().to_lowercase(), variable.name());
    }
    check("MULTIPART_SEMICOLON_MISSING", "MULTIPART_MISSING_SEMICOLON");
}

#[test]
fn lists() {
    check("ARGS|ARGS_NAMES", "ARGS|ARGS_NAMES");
    check("\"ARGS | ARGS_NAMES\"", "ARGS|ARGS_NAMES");
    check("ARGS|!ARGS:a|&ARGS", "ARGS|!ARGS:a|&ARGS");
    check("&!TX:a", "!&TX:a");
    check("'ARGS'", "ARGS");
}

#[test]
fn selectors() {
    check("ARGS:a", "ARGS:a");
    check("ARGS:a,b", "ARGS:a,b");
    check("ARGS:a.b[0]:c", "ARGS:a.b[0]:c");
    check("REQUEST_HEADERS:User-Agent", "REQUEST_HEADERS:User-Agent");
    check("TX:0", "TX:0");
    check("ARGS:'a'|TX:b", "ARGS:a|TX:b");
    check("\"ARGS:'a b'\"", "ARGS:a b");
    check(r#""ARGS:a\"b""#, "ARGS:a\"b");
    check("XML:/*|XML://@*", "XML:/*|XML://@*");
    check("XML:/a/b/|ARGS", "XML:/a/b/|ARGS");
}

#[test]
fn patterns() {
    check("ARGS:/^a/", "ARGS:/^a/");
    check("ARGS:/a|b/|TX:c", "ARGS:/a|b/|TX:c");
    check("ARGS:'/a|b/'|TX:/c/", "ARGS:/a|b/|TX:/c/");
    check("ARGS:/a/b/", "ARGS:/a/b/");
    check(r"ARGS:/a\/|b/", r"ARGS:/a\/|b/");
    check("ARGS:/a", "ARGS:/a");
    check("ARGS:/a|TX:/b", "ARGS:/a|TX:/b");
    check("ARGS://", "ARGS://");
    check("ARGS:'/a'|TX:/b/", "ARGS:/a|TX:/b/");
}

#[test]
fn what_nothing_fills_is_left_out() {
    let text = "SecRule ARGS|URLENCODED_ERROR \"@eq 1\" \"id:7\"";
    assert_eq!(
        notes(text),
        "1: unsupported URLENCODED_ERROR in rule 7: nothing fills this variable; it is left out\n"
    );
    assert_eq!(written(&rule(text).links[0].targets), "ARGS");
}

#[test]
fn a_rule_with_no_variable_left_is_no_action() {
    let rule = rule("SecRule URLENCODED_ERROR \"!@eq 0\" \"id:1,deny\"");
    assert!(!rule.links[0].targets.is_empty());
    assert!(matches!(rule.links[0].operator, Operator::Inert(_)));
}

#[test]
fn wrong_lists() {
    let cases = [
        ("ARG", "no variable `ARG`; did you mean `ARGS`?"),
        ("ARGS|", "no variable where one is expected; write `ARGS`, for instance"),
        ("ARGS:", "a colon without a key; name the entry, or leave out the colon"),
        ("ARGS:'a", "a quote ' that is not closed; close it behind the key"),
        ("ARGS,TX:a", "`,TX:a` behind a variable; separate variables by `|`"),
        ("ARGS:'a'b", "`b` behind a variable; separate variables by `|`"),
        (
            "REMOTE_ADDR:a",
            "`REMOTE_ADDR` has one value, and an entry of it is asked for; leave out what follows the colon",
        ),
        ("ZZZZZZZZ", "no variable `ZZZZZZZZ`; docs/reference/seclang.md lists what there is"),
    ];
    for (list, expected) in cases {
        let found = errors(&format!("SecRule {list} \"@eq 1\" \"id:1\""));
        assert_eq!(found, format!("1: {expected}\n"), "{list}");
    }
    let many = vec!["ARGS"; 1_025].join("|");
    assert!(errors(&format!("SecRule {many} x id:1")).contains("more than 1024 targets"));
}
