//! What agents of type `waf` are told to count.

use std::time::Duration;

use selvedge_config::{
    AgentEvent, Code,
    waf::{Action, Limit, Limits},
};

use crate::agent_waf::{check_error, read, settings};

#[test]
fn a_login_needs_no_more_than_its_path() {
    let settings = settings("login \"/login\"");
    let [login] = &settings.policy.logins[..] else { panic!("{settings:?}") };
    assert_eq!((&*login.path, &*login.method), ("/login", "POST"));
    assert_eq!(login.users, ["username", "user", "email", "login"]);
    assert_eq!(login.failed, [400, 401, 403, 422]);
    assert_eq!((login.limits, &login.challenge), (Limits::default(), &None));
    let counters = &settings.counters;
    assert_eq!((counters.memory.0, counters.ipv6_prefix), (8 << 20, 64));
    assert_eq!(counters.window, Duration::from_secs(600));
    assert_eq!(settings.policy.bots, None);
}

#[test]
fn everything_of_a_login_can_be_said() {
    let settings = settings(
        "login \"/session\" {\n\
         method \"PUT\"; user \"user.email\"; failed 200 401; failed-location \"/login?error\"\n\
         challenge \"/verify\"; address-users 5 action=\"challenge\"; address-failures 6 action=\"log\"\n\
         user-failures 7 action=\"off\"; user-addresses 8 points=15; failure-ratio 90 attempts=50\n\
         }\n\
         counters { memory \"1MiB\"; window \"1h\"; ipv6-prefix 56 }",
    );
    let login = &settings.policy.logins[0];
    assert_eq!(
        (&login.users[..], &login.failed[..]),
        (&["user.email".to_owned()][..], &[200, 401][..])
    );
    assert_eq!(login.failed_location.as_deref(), Some("/login?error"));
    assert_eq!(login.challenge.as_deref(), Some("/verify"));
    let limit = |at, action| Limit { at, action };
    let expected = Limits {
        address_users: limit(5, Action::Challenge),
        address_failures: limit(6, Action::Log),
        user_failures: limit(7, Action::Off),
        user_addresses: limit(8, Action::Points(15)),
        failure_ratio: limit(90, Action::Points(10)),
        ratio_attempts: 50,
    };
    assert_eq!(login.limits, expected);
    assert_eq!(settings.counters.memory.0, 1 << 20);
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<selvedge_config::waf::Settings>(&json).unwrap(), settings);
}

#[test]
fn a_profile_adds_logins_and_has_bots_of_its_own() {
    let settings = settings(
        "login \"/a\"; bots { missing 7; allow \"10.0.0.0/8\"; crawler \"GoogleBot\" \"66.249.64.0/19\" points=25 }\n\
         profile \"p\" { login \"/b\"; bots #false }\n\
         profile \"q\" { bots { points 30 } }\n\
         profile \"r\"",
    );
    let bots = settings.policy.bots.as_ref().unwrap();
    assert_eq!((bots.missing, bots.points, bots.points_max), (7, 10, 20));
    assert_eq!((bots.allow.len(), &*bots.crawlers[0].name), (1, "googlebot"));
    let [p, q, r] = &settings.profiles[..] else { panic!("{settings:?}") };
    let paths: Vec<_> = p.policy.logins.iter().map(|login| &*login.path).collect();
    assert_eq!((paths, &p.policy.bots), (vec!["/a", "/b"], &None));
    let points = q.policy.bots.as_ref().map(|bots| (bots.missing, bots.points, bots.points_max));
    assert_eq!(points, Some((40, 30, 30)));
    assert_eq!(r.policy.bots, settings.policy.bots);
}

#[test]
fn answers_and_outcomes_are_asked_for_where_they_count() {
    let events = |nodes: &str| read(nodes).agents["a"].events.clone();
    let [head, body, answer, .., log] = AgentEvent::ALL;
    assert_eq!(events("login \"/login\""), [head, body, answer]);
    assert_eq!(events("profile \"p\" { bots }"), [head, body, log]);
    assert_eq!(events("bots #false"), [head, body]);
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    use Code::{Address, Conflict, Missing, OutOfRange, Path, Repeated, UnknownNode, UnknownWord};
    check_error("login", Missing, "login", "a path such as");
    check_error("login \"login\"", Path, "\"login\"", "\"/login\"");
    check_error("login \"/a\"; login \"/a\"", Repeated, "login", "POST /a");
    check_error("login \"/a\"; profile \"p\" { login \"/a\" }", Repeated, "login", "keep one");
    check_error("login \"/a\" { failed 600 }", OutOfRange, "600", "599");
    check_error("login \"/a\" { adress-users 5 }", UnknownNode, "adress-users", "address-users");
    check_error("login \"/a\" { address-users 500 }", OutOfRange, "500", "200");
    check_error(
        "login \"/a\" { user-failures 5 action=\"blok\" }",
        UnknownWord,
        "action=\"blok\"",
        "did you mean `block`?",
    );
    check_error(
        "login \"/a\" { user-failures 5 action=\"log\" points=5 }",
        Conflict,
        "user-failures",
        "remove one of them",
    );
    check_error(
        "login \"/a\" { user-failures 5 action=\"challenge\" }",
        Missing,
        "user-failures",
        "add `challenge \"/verify\"`",
    );
    check_error("login \"/a\" { user \"\" }", Missing, "\"\"", "\"email\"");
    check_error("counters { window \"1h\" }", Conflict, "counters", "add `login");
    check_error("login \"/a\"; counters { window \"1s\" }", OutOfRange, "\"1s\"", "8s");
    check_error("bots { points-max 5 }", Conflict, "5", "raise `points-max`");
    check_error("bots { allow \"10.0.0.1/8\" }", Address, "\"10.0.0.1/8\"", "10.0.0.0/8");
    check_error("bots { crawler \"x\" }", Missing, "crawler", "networks");
}
