//! What the agent counts.

use expect_test::expect;
use tokio::runtime::Builder;

use super::*;
use crate::measured::{check_page, counted};

const RULE: &str = r##"category "sql"
rule "sql/union-of-tests" id=9000001 {
    about "Rows of another query are appended."
    points 25
    on "args"
    text "squeezed"
    matches #"\bunion select\b"#
    attack "1 UNION SELECT 2"
}
"##;

const ATTACK: &str = "/?id=1%20UNION%20SELECT%202";

/// An agent that has this one rule.
fn with_rule(nodes: &str, previous: Option<&Waf>) -> Waf {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.kdl"), RULE).unwrap();
    let settings = settings_in(folder.path(), &format!("rules \"own.kdl\"\n{nodes}"));
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(Waf::start(settings, previous)).unwrap()
}

/// What is counted when an agent with this one rule is asked about these requests.
#[track_caller]
fn check_counts(nodes: &str, requests: &[Message], expected: Expect) {
    let agent = with_rule(nodes, None);
    for request in requests {
        said(&agent, request, None);
    }
    expected.assert_eq(&counted(&agent));
}

#[test]
fn decisions_and_the_rules_behind_them() {
    check_counts(
        "",
        &[get("/?id=1"), get(ATTACK), get(ATTACK), post("/").json("{\"a\": 1}")],
        expect![[r#"
            decisions_total [(none) request blocked] 2
            decisions_total [(none) request passed] 2
            inspected_body_bytes_total [(none) request] 8
            inspection_seconds [request] 4
            points [request] 4
            rule_matches_total [sql/union-of-tests sql blocked] 2
        "#]],
    );
    check_counts(
        "mode \"detect\"",
        &[get(ATTACK)],
        expect![[r#"
            decisions_total [(none) request detected] 1
            inspection_seconds [request] 1
            points [request] 1
            rule_matches_total [sql/union-of-tests sql detected] 1
        "#]],
    );
    check_counts(
        "shadow rule=9000001",
        &[get(ATTACK)],
        expect![[r#"
            decisions_total [(none) request shadow] 1
            inspection_seconds [request] 1
            points [request] 1
            rule_matches_total [sql/union-of-tests sql shadow] 1
        "#]],
    );
    check_counts(
        "profile \"quiet\" { mode \"off\" }\nprofile \"strict\" { log-at 1 }",
        &[get("/").option("profile", "quiet"), get(ATTACK).option("profile", "strict")],
        expect![[r#"
            decisions_total [strict request blocked] 1
            inspection_seconds [request] 1
            points [request] 1
            rule_matches_total [sql/union-of-tests sql blocked] 1
        "#]],
    );
}

#[test]
fn bodies_that_are_not_read() {
    check_counts(
        "",
        &[
            post("/").json("{\"a\": 1}").truncated(),
            post("/").json("{\"a\": "),
            post("/").field("content-encoding", "gzip").json("{}"),
            post("/").field("content-encoding", "snappy").json("{}"),
        ],
        expect![[r#"
            decisions_total [(none) request blocked] 2
            decisions_total [(none) request passed] 2
            inspected_body_bytes_total [(none) request] 14
            inspection_seconds [request] 4
            points [request] 4
            unread_bodies_total [(none) broken-coding] 1
            unread_bodies_total [(none) malformed] 1
            unread_bodies_total [(none) too-large] 1
            unread_bodies_total [(none) unknown-coding] 1
        "#]],
    );
}

#[test]
fn counts_go_on_over_a_reload() {
    let first = with_rule("", None);
    said(&first, &get("/?id=1"), None);
    let second = with_rule("mode \"detect\"", Some(&first));
    said(&second, &get("/?id=1"), None);
    let counted = counted(&second);
    assert!(counted.contains("decisions_total [(none) request passed] 2\n"), "{counted}");
}

#[test]
fn the_page_lists_what_is_counted() {
    check_page(&with_rule("", None), "waf");
}
