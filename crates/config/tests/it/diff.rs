//! What a reload would change.

use expect_test::{Expect, expect};
use selvedge_config::{Config, MemoryEnvironment, diff, parse_str};

fn read(text: &str) -> Config {
    parse_str("selvedge.kdl", text, &MemoryEnvironment::default()).unwrap().config
}

const OLD: &str = r#"listener "a" { address "127.0.0.1:1" }
listener "b" { address "127.0.0.1:2" }
upstream "u" { target "u:1" }
route "r" { upstream "u" }
route "s" { respond 200 }
"#;

#[track_caller]
fn check(new: &str, expected: Expect) {
    expected.assert_eq(&diff(&read(OLD), &read(new)).to_string());
}

#[test]
fn what_only_moved_has_not_changed() {
    let moved = format!("// a comment\n\n{OLD}");
    assert!(diff(&read(OLD), &read(&moved)).is_empty());
    check(
        &moved,
        expect![[r#"
        no change
    "#]],
    );
}

#[test]
fn each_kind_of_change_is_told() {
    check(
        r#"listener "b" { address "127.0.0.1:3" }
listener "c" { address "127.0.0.1:1" }
upstream "u" { target "u:1" weight=2 }
route "s" { respond 200 }
route "r" { upstream "u"; priority 1 }
workers 7
"#,
        expect![[r#"
            + listener "c"
            - listener "a"
            ~ listener "b"
            ~ upstream "u"
            ~ route "r"
            ~ order of routes
            ~ settings of the process
        "#]],
    );
    check(
        r#"listener "a" { address "127.0.0.1:1" }
listener "b" { address "127.0.0.1:2" }
upstream "u" { target "u:1" }
agent "x" { type "x"; address "unix:x" }
route "r" { upstream "u"; agents "x"; upstream-by "plan" { "gold" "u" } }
route "s" { respond 200 }
"#,
        expect![[r#"
            ~ route "r"
            + agent "x"
        "#]],
    );
    check(
        &OLD.replace("200", "204"),
        expect![[r#"
        ~ route "s"
    "#]],
    );
    check(
        &format!("{OLD}drain-timeout \"1s\""),
        expect![[r#"
        ~ settings of the process
    "#]],
    );
}

#[test]
fn agents_change_by_what_they_mean() {
    let agents = |nodes: &str, options: &str| {
        read(&format!(
            r#"
            agent "auth" {{ type "auth"; client-certificate; {nodes} }}
            agent "limits" {{ type "rate-limit"; after "auth"; policy "p" {{ key "path"; limit 1 per="1s" }} }}
            route "r" {{ respond 200; agents "auth" "limits"; {options} }}
            "#
        ))
    };
    let check = |nodes: &str, options: &str, expected: Expect| {
        expected.assert_eq(&diff(&agents("", ""), &agents(nodes, options)).to_string());
    };
    check(
        "timeout-ms 100; realm \"auth\"",
        "",
        expect![[r#"
        no change
    "#]],
    );
    check(
        "timeout-ms 50",
        "",
        expect![[r#"
        ~ agent "auth"
    "#]],
    );
    check(
        "cache 5",
        "",
        expect![[r#"
        ~ agent "auth"
    "#]],
    );
    check(
        "",
        "agent \"auth\" { roles \"a\" }",
        expect![[r#"
        ~ route "r"
    "#]],
    );
    check(
        "failure-mode \"open\"",
        "",
        expect![[r#"
        ~ route "r"
        ~ agent "auth"
    "#]],
    );
}
