//! What rules switch, and how exchanges end.

use super::*;

#[test]
fn disruptive_actions() {
    for (actions, target, expected) in [
        ("deny,status:418", "/?a=1", "1 2 | 418 by 2"),
        ("deny", "/?a=1", "1 2 | 403 by 2"),
        ("drop", "/?a=1", "1 2 | 403 by 2"),
        ("block", "/?a=1", "1 2 3 | pass"),
        ("pass", "/?a=1", "1 2 3 | pass"),
        (
            "redirect:https://example.org/?q=%{ARGS.a}",
            "/?a=1",
            "1 2 | 302 by 2 to https://example.org/?q=1",
        ),
        ("redirect:/x,status:307", "/?a=1", "1 2 | 307 by 2 to /x"),
    ] {
        let rules = format!(
            r#"
            SecAction "id:1,phase:1,pass,log"
            SecRule ARGS:a "@eq 1" "id:2,phase:2,log,{actions}"
            SecAction "id:3,phase:2,pass,log"
        "#
        );
        check(&rules, &get(target), expected);
        check(&rules, &get("/"), "1 3 | pass");
    }
}

#[test]
fn allow_ends_what_it_says() {
    for (allow, expected) in [
        ("allow", "1 6 | pass"),
        ("allow:phase", "1 3 4 5 6 | 403 by 5"),
        ("allow:request", "1 4 5 6 | 403 by 5"),
    ] {
        let rules = format!(
            r#"
            SecRule ARGS:a "@eq 1" "id:1,phase:1,log,{allow}"
            SecAction "id:2,phase:1,pass,log"
            SecRule ARGS:a "@eq 1" "id:3,phase:2,pass,log"
            SecAction "id:4,phase:3,pass,log"
            SecRule RESPONSE_BODY "@contains x" "id:5,phase:4,deny,log"
            SecAction "id:6,phase:5,pass,log"
        "#
        );
        check(&rules, &get("/?a=1").answered(200, "x"), expected);
    }
}

#[test]
fn allow_for_the_request_spares_it_a_refusal() {
    let rules = r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,nolog,allow:request"
        SecRule ARGS:a "@eq 1" "id:2,phase:2,deny,log"
    "#;
    check(rules, &get("/?a=1"), "| pass");
}

#[test]
fn modes() {
    let rules = r#"
        SecRuleEngine DetectionOnly
        SecRule ARGS:a "@eq 1" "id:1,phase:2,deny,log"
        SecAction "id:2,phase:2,pass,log"
    "#;
    check(rules, &get("/?a=1"), "1 2 | pass");
    check(&rules.replace("DetectionOnly", "Off"), &get("/?a=1"), "| pass");
    check(&rules.replace("DetectionOnly", "On"), &get("/?a=1"), "1 | 403 by 1");
    let switched = r#"
        SecRule ARGS:off "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecRule ARGS:watch "@eq 1" "id:2,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
        SecRule ARGS:a "@eq 1" "id:3,phase:2,deny,log"
        SecAction "id:4,phase:5,pass,log"
    "#;
    check(switched, &get("/?a=1"), "3 4 | 403 by 3");
    check(switched, &get("/?a=1&watch=1"), "3 4 | pass");
    check(switched, &get("/?a=1&off=1"), "| pass");
}

#[test]
fn rules_and_targets_are_taken_out() {
    for (control, expected) in [
        ("ruleRemoveById=10", "11 12 | pass"),
        ("ruleRemoveById=10-11", "12 | pass"),
        ("ruleRemoveByTag=attack", "10 | pass"),
        ("ruleRemoveByMsg=^Third", "10 11 | pass"),
        ("ruleRemoveTargetById=10;ARGS:a", "11 12(Third) | pass"),
        ("ruleRemoveTargetById=10;ARGS:b", "10 11 12(Third) | pass"),
        ("ruleRemoveTargetByTag=attack;ARGS", "10 | pass"),
        ("ruleRemoveTargetById=11;ARGS:/^A$/", "10 12(Third) | pass"),
    ] {
        let rules = format!(
            r#"
            SecRule REQUEST_METHOD "@streq GET" "id:1,phase:1,pass,nolog,ctl:{control}"
            SecRule ARGS "@contains evil" "id:10,phase:2,pass,log"
            SecRule ARGS "@rx evil" "id:11,phase:2,pass,log,tag:'attack'"
            SecRule ARGS "@pm evil" "id:12,phase:2,pass,log,tag:'attack',msg:'Third'"
        "#
        );
        let expected = expected.replace("12 ", "12(Third) ");
        check(&rules, &get("/?a=evil"), &expected);
        check(&rules, &Exchange { method: "HEAD", ..get("/?a=evil") }, "10 11 12(Third) | pass");
    }
}

#[test]
fn the_processor_of_a_body_is_chosen() {
    let rules = r#"
        SecRule REQUEST_HEADERS:Content-Type "@streq text/odd" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule REQUEST_HEADERS:Content-Type "@streq text/none" "id:2,phase:1,pass,nolog,ctl:requestBodyAccess=Off"
        SecRule ARGS:json.a "@streq evil" "id:3,phase:2,deny,log"
        SecRule REQUEST_BODY "@contains evil" "id:4,phase:2,pass,log"
    "#;
    let body = r#"{"a":"evil"}"#;
    check(rules, &post("text/odd", body), "3 | 403 by 3");
    check(rules, &post("text/none", body), "| pass");
    check(rules, &post("text/plain", body), "4 | pass");
}
