//! What agents of type `waf` are told.

use selvedge_config::{
    AgentEvent, AgentSettings, Code, Config, Severity, parse_str,
    waf::{Mode, Settings, Target, Which},
};

use crate::language::environment;

pub fn read(nodes: &str) -> Config {
    let text = format!(
        "agent \"a\" {{\ntype \"waf\"\n{nodes}\n}}\nroute \"r\" {{ agents \"a\"; respond 200 }}"
    );
    parse_str("/etc/selvedge.kdl", &text, &environment()).unwrap().config
}

pub fn settings(nodes: &str) -> Settings {
    match &read(nodes).agents["a"].settings {
        AgentSettings::Waf(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

/// The code of the only error, what is underlined, and a part of its message or remedy.
#[track_caller]
pub fn check_error(nodes: &str, code: Code, place: &str, part: &str) {
    let text = format!("agent \"a\" {{\ntype \"waf\"\n{nodes}\n}}");
    let report = parse_str("/etc/selvedge.kdl", &text, &environment()).unwrap_err();
    let errors = report.diagnostics().iter().filter(|one| one.severity == Severity::Error);
    let [one] = errors.collect::<Vec<_>>()[..] else { panic!("{report}") };
    let at = one.place.as_ref().unwrap();
    let underlined: String = at.text.chars().skip(at.column - 1).take(at.width).collect();
    assert_eq!((one.code, &*underlined), (code, place), "{report}");
    let said = format!("{}; {}", one.message, one.help.as_deref().unwrap());
    assert!(said.contains(part), "{said}");
}

#[test]
fn a_type_is_enough() {
    let settings = settings("");
    assert!(settings.native && settings.excerpts && settings.seclang.is_empty());
    let policy = &settings.policy;
    assert_eq!((policy.mode, policy.paranoia, policy.block_at), (None, None, None));
    assert_eq!((policy.log_at, policy.status), (10, 403));
    assert_eq!((policy.bounds.body.0, policy.bounds.response_body.0), (128 << 10, 128 << 10));
    let [head, body, ..] = AgentEvent::ALL;
    assert_eq!(read("").agents["a"].events, [head, body]);
}

#[test]
fn a_profile_is_the_policy_with_changes() {
    let settings = settings(
        "mode \"detect\"; paranoia 2; weight \"sql\" 150; exclude rule=7\n\
         profile \"p\" { mode \"block\"; weight \"xss\" 50; exclude tag=\"t\" target=\"args:Q\" }",
    );
    let profile = &settings.profiles[0].policy;
    assert_eq!((profile.mode, profile.paranoia), (Some(Mode::Block), Some(2)));
    assert_eq!(profile.weights, [("sql".to_owned(), 150), ("xss".to_owned(), 50)]);
    assert_eq!(profile.exclusions[0].rules, Some(Which::Numbers(7, 7)));
    assert_eq!(profile.exclusions[1].rules, Some(Which::Tag("t".to_owned())));
    let target = Target { part: "args".to_owned(), name: Some("Q".to_owned()) };
    assert_eq!(profile.exclusions[1].target, Some(target));
    assert_eq!(settings.policy.exclusions.len(), 1);
}

#[test]
fn events_are_what_any_policy_needs() {
    let events = |nodes: &str| read(nodes).agents["a"].events.clone();
    assert_eq!(events("responses #true"), AgentEvent::ALL[..4]);
    assert_eq!(events("profile \"p\" { responses #true; websocket #true }"), AgentEvent::ALL[..5]);
}

#[test]
fn settings_cross_the_socket_unchanged() {
    let settings =
        settings("exclude rule=\"1-2\" path=\"/a\" method=\"GET\"; shadow rule=\"sql/x\"");
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    use Code::{Conflict, DuplicateId, FileMissing, Missing, OutOfRange, UnknownWord};
    check_error("mode \"blok\"", UnknownWord, "\"blok\"", "did you mean");
    check_error("paranoia 5", OutOfRange, "5", "4");
    check_error("weight \"sqli\" 1", UnknownWord, "\"sqli\"", "did you mean `sql`?");
    check_error("exclude path=\"/a\"", Missing, "exclude", "leaves out every rule");
    check_error("exclude rule=1 tag=\"t\"", Conflict, "exclude", "a node for each");
    check_error(
        "exclude target=\"arg:q\"",
        UnknownWord,
        "target=\"arg:q\"",
        "did you mean `args`?",
    );
    check_error("exclude target=\"path:q\"", UnknownWord, "target=\"path:q\"", "write \"path\"");
    check_error("exclude rule=\"9-3\"", UnknownWord, "rule=\"9-3\"", "942100");
    check_error("shadow", Missing, "shadow", "names no rule");
    check_error("mask #true", Conflict, "#true", "responses #true");
    check_error("bounds { body \"1MiB\" }", Conflict, "\"1MiB\"", "body-max");
    check_error("log-at 30; block-at 20", Conflict, "30", "lower `log-at`");
    check_error("rules \"gone.kdl\"", FileMissing, "\"gone.kdl\"", "gone.kdl");
    check_error("seclang \"gone/*.conf\"", FileMissing, "\"gone/*.conf\"", "folder");
    check_error("profile \"p\"; profile \"p\"", DuplicateId, "\"p\"", "another id");
}

#[test]
fn routes_name_profiles_that_are_there() {
    let text = "agent \"a\" { type \"waf\"; profile \"strict\" }\n\
                route \"r\" { agent \"a\" { profile \"strikt\" }; respond 200 }";
    let report = parse_str("/etc/selvedge.kdl", text, &environment()).unwrap_err();
    assert_eq!(report.diagnostics()[0].code, Code::UnknownReference);
    assert!(report.to_string().contains("did you mean `strict`?"), "{report}");
}
