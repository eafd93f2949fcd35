//! What rules do when an exchange ends, and what they remember of it.

use std::{fs, path::PathBuf};

use selvedge_agent::Event;
use tempfile::TempDir;

use super::*;
use crate::{measured::counted, schema::message::head_verdict_in};

/// Who failed twice to log in is refused; an answer says what failed.
const FAILED: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
    SecRule IP:FAILED "@ge 2" "id:2,phase:1,deny,log,msg:'%{ip.failed} failed'"
    SecRule RESPONSE_STATUS "@streq 401" "id:3,phase:5,pass,log,setvar:ip.failed=+1"
"#;

/// Three requests of each address are enough.
const COUNTED: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.requests=+1"
    SecRule IP:REQUESTS "@gt 3" "id:2,phase:1,deny,log,msg:'%{ip.requests} requests'"
"#;

fn folder_with(rules: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.conf"), rules).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

const NODES: &str = "seclang \"own.conf\"\n";

fn agent(rules: &str, nodes: &str) -> Waf {
    let (_folder, path) = folder_with(rules);
    start_in(&path, &format!("{NODES}{nodes}")).unwrap()
}

fn from(address: &str, mut request: Message) -> Message {
    request.attributes.push(("client.address".to_owned(), address.to_owned()));
    request
}

#[track_caller]
fn check_answers(agent: &Waf, answers: &[(&str, u16, bool)]) {
    for (address, status, passes) in answers {
        let said = said(agent, &from(address, get("/")), Some(&Message::response(*status)));
        assert_eq!(!said.contains("block"), *passes, "{address} {status}: {said}");
    }
}

#[test]
fn the_last_phase_counts_answers() {
    let answers = [
        ("192.0.2.1", 401, true),
        ("192.0.2.1", 200, true),
        ("192.0.2.1", 401, true),
        ("192.0.2.2", 401, true),
        ("192.0.2.1", 200, false),
        ("192.0.2.2", 200, true),
    ];
    check_answers(&agent(FAILED, ""), &answers);
    check_answers(&agent(FAILED, "responses #true"), &answers);
}

#[test]
fn only_what_is_looked_at_is_asked_for() {
    let wants = |rules, nodes| {
        let wants = agent(rules, nodes).wants();
        (wants.get(Event::ResponseHeaders).is_some(), wants.get(Event::Log).is_some())
    };
    assert_eq!(wants(FAILED, ""), (true, false));
    assert_eq!(wants(COUNTED, ""), (false, false));
    assert_eq!(wants("SecAction \"id:1,phase:5,pass,log\"", ""), (false, false));
    let tells = "SecAction \"id:1,phase:5,pass,log,msg:'%{RESPONSE_STATUS}'\"";
    assert_eq!(wants(tells, ""), (true, false));
    assert_eq!(wants(tells, "exclude rule=1"), (false, false));
}

#[test]
fn what_ends_without_an_answer_ends_all_the_same() {
    let agent = agent("SecAction \"id:1,phase:5,pass,log\"", "responses #true");
    said(&agent, &get("/"), None);
    said(&agent, &post("/").json("{}"), None);
    let counted = counted(&agent);
    assert!(counted.contains("rule_matches_total [1  passed] 2\n"), "{counted}");
}

#[test]
fn a_refusal_counts_and_the_last_phase_tells_of_it() {
    let agent = agent(COUNTED, "");
    check_answers(&agent, &[("192.0.2.1", 200, true); 3]);
    check_answers(&agent, &[("192.0.2.1", 200, false), ("192.0.2.2", 200, true)]);
    let fifth = said(&agent, &from("192.0.2.1", get("/")), None);
    assert!(fifth.contains("finding 2: 5 requests"), "{fifth}");

    let rules = "SecRule ARGS:a \"x\" \"id:1,phase:1,deny,log\"\n\
                 SecRule RESPONSE_STATUS \"@eq 403\" \"id:2,phase:5,pass,log,msg:'it was refused'\"";
    let refused = said(&self::agent(rules, ""), &get("/?a=x"), None);
    assert!(refused.contains("finding 2: it was refused"), "{refused}");
}

#[test]
fn requests_at_once_count_before_any_is_answered() {
    let agent = agent(COUNTED, "responses #true");
    let runtime = Builder::new_current_thread().build().unwrap();
    // None of them has an answer yet, for each of their exchanges is still there.
    let mut exchanges = Vec::new();
    let mut passed = 0;
    for _ in 0..4 {
        let mut exchange = Default::default();
        let request = from("192.0.2.1", get("/"));
        let verdict = runtime.block_on(head_verdict_in(&agent, &request, &mut exchange));
        passed += usize::from(verdict.is_allow());
        exchanges.push(exchange);
    }
    assert_eq!(passed, 3);
}

#[test]
fn profiles_and_reloads_remember_together() {
    let (_folder, path) = folder_with(COUNTED);
    let nodes = format!("{NODES}profile \"other\" {{ log-at 7 }}");
    let old = start_in(&path, &nodes).unwrap();
    let ask = |agent: &Waf, request: Message| said(agent, &from("192.0.2.1", request), None);
    ask(&old, get("/"));
    ask(&old, get("/").option("profile", "other"));
    let runtime = Builder::new_current_thread().build().unwrap();
    let new = runtime.block_on(Waf::start(settings_in(&path, &nodes), Some(&old))).unwrap();
    assert!(!ask(&new, get("/")).contains("block"));
    assert!(ask(&new, get("/").option("profile", "other")).contains("block"));
}

#[test]
fn the_most_telling_comes_first() {
    let mut rules: String =
        (1..=40).map(|id| format!("SecRule ARGS:a \"x\" \"id:{id},phase:2,pass,log\"\n")).collect();
    rules.push_str("SecRule ARGS:a \"x\" \"id:99,phase:2,deny,log\"\n");
    let said = said(&agent(&rules, ""), &get("/?a=x"), None);
    let first = said.lines().find(|line| line.starts_with("  finding")).unwrap();
    assert!(first.starts_with("  finding 99:"), "{said}");
}
