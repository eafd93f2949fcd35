//! Who failed to log in, and what becomes of him.

use std::{fs, sync::LazyLock};

use expect_test::expect;
use selvedge_agent::Decision;
use tempfile::TempDir;

use super::*;
use crate::schema::message::head_verdict;

/// A rule, so that there is one.
static RULES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let rule = "category \"api\"\nrule \"api/coupon\" id=9000001 { about \"It is not for the web.\"\n\
                points 25; on \"args:coupon\"; matches #\"^staff\"#; attack \"coupon=staff\" as=\"query\" }\n";
    fs::write(folder.path().join("own.kdl"), rule).unwrap();
    folder
});

fn watcher(nodes: &str) -> Waf {
    start_in(RULES.path(), &format!("rules \"own.kdl\"\n{nodes}")).unwrap()
}

const LOGIN: &str = "login \"/login\" { address-users 3; user-addresses 2 }";

/// A client that wants to be this user.
fn login(address: &str, user: &str) -> Message {
    let form = format!("username={user}&password=secret");
    let mut request = post("/login")
        .field("content-type", "application/x-www-form-urlencoded")
        .body(form.as_bytes());
    request.attributes.push(("client.address".to_owned(), address.to_owned()));
    request.attributes.push(("route".to_owned(), "shop".to_owned()));
    request
}

/// What is said when he tries, and gets an answer of this status.
fn tries(agent: &Waf, (address, user): (&str, &str), status: u16) -> String {
    said(agent, &login(address, user), Some(&Message::response(status)))
}

#[track_caller]
fn check_lines(said: &str, expected: Expect) {
    let lines = said.lines().map(|line| format!("{}\n", line.trim_end()));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn stuffing_ends_after_a_few_names_and_another_client_logs_in() {
    let agent = watcher(LOGIN);
    for user in ["ada", "bob", "eve"] {
        check_lines(
            &tries(&agent, ("192.0.2.1", user), 401),
            expect![[r#"
                request head: allow
                request body: allow
                  value waf-score: 0
                response head: allow, done
            "#]],
        );
    }
    let refused = tries(&agent, ("192.0.2.1", "kim"), 200);
    assert!(refused.contains("\n  retry-after: "), "{refused}");
    let refused: String =
        refused.split_inclusive('\n').filter(|line| !line.contains("retry-after")).collect();
    check_lines(
        &refused,
        expect![[r#"
            request head: block 429
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:waf/logins","title":"Too many failed logins","status":429,"detail":"Too many logins failed. Try again later.","code":"waf/logins"}
              finding waf/credential-stuffing: 3 user names failed from this address within 10m; the limit is 3
        "#]],
    );
    assert!(!tries(&agent, ("192.0.2.2", "kim"), 200).contains("block"));
    assert!(!said(&agent, &get("/"), None).contains("block"), "only logins are refused");
}

#[test]
fn one_name_from_many_addresses_is_refused_and_its_owner_is_not() {
    let agent = watcher(LOGIN);
    tries(&agent, ("192.0.2.9", "ada"), 302);
    tries(&agent, ("192.0.2.1", "ada"), 401);
    tries(&agent, ("2001:db8::1", "Ada"), 401);
    let refused = tries(&agent, ("192.0.2.3", "ada"), 200);
    let finding = "finding waf/distributed-guessing: 2 addresses failed for this user name within 10m; \
                   the limit is 2";
    assert!(refused.contains("request body: block 429") && refused.contains(finding), "{refused}");
    assert!(!refused.contains("ada") && !refused.contains("192.0.2"), "{refused}");
    assert!(!tries(&agent, ("192.0.2.9", "ada"), 200).contains("block"), "known from here");
    assert!(!tries(&agent, ("192.0.2.3", "bob"), 200).contains("block"));
}

#[test]
fn success_takes_back_what_the_same_user_failed() {
    let agent = watcher("login \"/login\" { address-failures 3 }");
    for _ in 0..10 {
        tries(&agent, ("192.0.2.1", "ada"), 401);
        tries(&agent, ("192.0.2.1", "ada"), 401);
        assert!(tries(&agent, ("192.0.2.1", "ada"), 200).contains("response head"));
    }
}

#[test]
fn what_says_nothing_of_the_password_does_not_count() {
    let agent = watcher("login \"/login\" { address-failures 1 }");
    for status in [500, 502, 503, 404] {
        tries(&agent, ("192.0.2.1", "ada"), status);
    }
    // The client leaves before its answer.
    said(&agent, &login("192.0.2.1", "ada"), None);
    assert!(!tries(&agent, ("192.0.2.1", "ada"), 401).contains("block"));
    assert!(tries(&agent, ("192.0.2.1", "ada"), 401).contains("block 429"));
}

#[test]
fn a_page_that_comes_back_is_a_failure_where_it_is_said() {
    let nodes = "login \"/login\" { address-failures 1; failed-location \"/login?error\" }";
    let agent = watcher(nodes);
    let answer = |location| Message::response(302).field("location", location);
    let ask = |client, location| said(&agent, &login(client, "ada"), Some(&answer(location)));
    ask("192.0.2.1", "https://example.com/login?error&lang=de");
    assert!(ask("192.0.2.1", "/home").contains("block 429"));
    ask("192.0.2.2", "/home");
    assert!(!ask("192.0.2.2", "/home").contains("block"));
}

#[test]
fn what_follows_is_the_operators_choice() {
    let agent = |limit: &str| {
        let nodes =
            format!("login \"/login\" {{ challenge \"/verify\"; address-failures {limit} }}");
        let agent = watcher(&nodes);
        tries(&agent, ("192.0.2.1", "ada"), 401);
        agent
    };
    let again = |limit| tries(&agent(limit), ("192.0.2.1", "ada"), 200);
    assert!(again("1 points=15").contains("value waf-score: 15\n  finding waf/password-guessing"));
    let refused = again("1 points=25");
    assert!(
        refused.contains("block 403") && refused.contains("waf/password-guessing"),
        "{refused}"
    );
    let logged = again("1 action=\"log\"");
    assert!(logged.contains("waf-score: 0\n  finding waf/password-guessing"), "{logged}");
    assert!(!again("1 action=\"off\"").contains("finding"));

    let runtime = Builder::new_current_thread().build().unwrap();
    let challenged = agent("1 action=\"challenge\"");
    let verdict = runtime.block_on(head_verdict(&challenged, &login("192.0.2.1", "ada")));
    let Decision::Redirect { location, answer } = verdict.decision() else { panic!("{verdict:?}") };
    assert_eq!((&**location, answer.status), ("/verify", 303));
}

#[test]
fn what_is_only_watched_refuses_nobody() {
    let limits = "login \"/login\" { address-failures 1 }";
    for nodes in ["mode \"detect\"", "shadow rule=\"waf/password-guessing\""] {
        let agent = watcher(&format!("{limits}\n{nodes}"));
        tries(&agent, ("192.0.2.1", "ada"), 401);
        let said = tries(&agent, ("192.0.2.1", "ada"), 401);
        let expected = "finding waf/password-guessing: 1 logins failed from this address";
        assert!(said.contains("request body: allow") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_reload_keeps_the_counters() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let settings = |nodes: &str| settings_in(RULES.path(), &format!("rules \"own.kdl\"\n{nodes}"));
    let reloaded =
        |old: &Waf, nodes: &str| runtime.block_on(Waf::start(settings(nodes), Some(old))).unwrap();
    let old = watcher(LOGIN);
    for user in ["ada", "bob", "eve"] {
        tries(&old, ("192.0.2.1", user), 401);
    }
    let same = reloaded(&old, &format!("{LOGIN}\nparanoia 2\nbots"));
    assert!(tries(&same, ("192.0.2.1", "kim"), 200).contains("block 429"));
    let other = reloaded(&old, &format!("{LOGIN}\ncounters {{ window \"1h\" }}"));
    assert!(!tries(&other, ("192.0.2.1", "kim"), 200).contains("block"), "steps are others");
}

#[test]
fn a_robot_that_is_not_who_it_says_has_points() {
    let agent = watcher("log-at 5\nbots { crawler \"Googlebot\" \"66.249.64.0/19\" points=7 }");
    let from = |address: &str| {
        let mut request = Message::request("GET /")
            .field("host", "example.com")
            .field("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)");
        request.attributes.push(("client.address".to_owned(), address.to_owned()));
        said(&agent, &request, None)
    };
    check_lines(
        &from("192.0.2.1"),
        expect![[r#"
            request head: allow, done
              value waf-score: 7
              finding waf/false-crawler: it says that it is "googlebot", and comes from elsewhere
        "#]],
    );
    assert!(!from("66.249.66.1").contains("finding"));
}

#[test]
fn what_counters_refuse_is_counted() {
    let agent = watcher("login \"/login\" { address-failures 1 }");
    tries(&agent, ("192.0.2.1", "ada"), 401);
    tries(&agent, ("192.0.2.1", "ada"), 401);
    let counted = crate::measured::counted(&agent);
    assert!(counted.contains("decisions_total [(none) request blocked] 1\n"), "{counted}");
}
