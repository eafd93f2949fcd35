//! Values from variables and files: used, never shown.

use expect_test::{Expect, expect};
use selvedge_config::{Config, HeaderOp, MemoryEnvironment, parse_str};

fn environment() -> MemoryEnvironment {
    MemoryEnvironment::default()
        .with_var("TOKEN", "hunter2")
        .with_var("SPLIT", "hunter2\r\nX-Evil: 1")
        .with_var("ADDRESS", "hunter2:99999999")
        .with_file("/etc/secrets/token", "hunter3\n")
}

fn read(text: &str) -> Config {
    parse_str("/etc/selvedge.kdl", text, &environment()).unwrap().config
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let report = parse_str("/etc/selvedge.kdl", text, &environment()).unwrap_err();
    assert!(!report.to_string().contains("hunter"));
    expected.assert_eq(&report.to_string());
}

#[test]
fn a_header_takes_its_value_from_a_variable_or_a_file() {
    let config = read(
        r#"upstream "u" { target "u:1" }
route "r" {
    upstream "u"
    request-headers { set "Authorization" (env)"TOKEN"; add "X-Key" (file)"secrets/token" }
}"#,
    );
    let ops = &config.routes[0].request_headers;
    let exposed: Vec<_> = ops
        .iter()
        .map(|op| match op {
            HeaderOp::Set(name, value) | HeaderOp::Add(name, value) => {
                (name.as_str(), value.expose())
            }
            HeaderOp::Remove(name) => (name.as_str(), ""),
        })
        .collect();
    assert_eq!(exposed, [("authorization", "hunter2"), ("x-key", "hunter3")]);
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn durations_and_sizes_are_texts_too() {
    let environment = environment().with_var("DRAIN", "5s");
    let text = "drain-timeout (env)\"DRAIN\"";
    let config = parse_str("selvedge.kdl", text, &environment).unwrap().config;
    assert_eq!(config.drain_timeout.as_secs(), 5);
}

#[test]
fn what_is_missing_is_named() {
    check(
        "core { data-dir (env)\"NOWHERE\" }",
        expect![[r#"
            error[E0124]: the environment has no variable `NOWHERE`
             --> /etc/selvedge.kdl:1:17
              |
            1 | core { data-dir (env)"NOWHERE" }
              |                 ^^^^^^^^^^^^^^
            help: set `NOWHERE` before the start, or use (file)"path"

            1 error; `selvedge explain E0124` says more
        "#]],
    );
    check(
        "core { data-dir (file)\"nowhere\" }",
        expect![[r#"
            error[E0124]: /etc/nowhere cannot be read: entity not found
             --> /etc/selvedge.kdl:1:17
              |
            1 | core { data-dir (file)"nowhere" }
              |                 ^^^^^^^^^^^^^^^
            help: paths start at the folder of this config file; check the name and its rights

            1 error; `selvedge explain E0124` says more
        "#]],
    );
}

#[test]
fn what_is_wrong_is_not_shown() {
    check(
        "route \"r\" { respond 200; response-headers { set \"X\" (env)\"SPLIT\" } }",
        expect![[r#"
            error[E0116]: the value that (env)"SPLIT" holds: invalid header name or value
             --> /etc/selvedge.kdl:1:53
              |
            1 | route "r" { respond 200; response-headers { set "X" (env)"SPLIT" } }
              |                                                     ^^^^^^^^^^^^
            help: the value itself is not shown, it may be a secret

            1 error; `selvedge explain E0116` says more
        "#]],
    );
    check(
        "listener \"a\" { address (env)\"ADDRESS\" }",
        expect![[r#"
        error[E0121]: the value that (env)"ADDRESS" holds: invalid address
         --> /etc/selvedge.kdl:1:24
          |
        1 | listener "a" { address (env)"ADDRESS" }
          |                        ^^^^^^^^^^^^^^
        help: the value itself is not shown, it may be a secret

        1 error; `selvedge explain E0121` says more
    "#]],
    );
    check(
        "drain-timeout (env)\"TOKEN\"",
        expect![[r#"
            error[E0108]: the value that (env)"TOKEN" holds: size or duration not understood
             --> /etc/selvedge.kdl:1:15
              |
            1 | drain-timeout (env)"TOKEN"
              |               ^^^^^^^^^^^^
            help: the value itself is not shown, it may be a secret

            1 error; `selvedge explain E0108` says more
        "#]],
    );
    check(
        "route \"r\" { static (file)\"secrets/token\" }",
        expect![[r#"
            error[E0125]: the value that (file)"secrets/token" holds: file or folder that is not there
             --> /etc/selvedge.kdl:1:20
              |
            1 | route "r" { static (file)"secrets/token" }
              |                    ^^^^^^^^^^^^^^^^^^^^^
            help: the value itself is not shown, it may be a secret

            1 error; `selvedge explain E0125` says more
        "#]],
    );
    check(
        "route \"r\" { matches { path-regex (env)\"SPLIT\" }; redirect (file)\"secrets/token\" }",
        expect![[r#"
            error[E0128]: the value that (file)"secrets/token" holds: invalid redirect target
             --> /etc/selvedge.kdl:1:59
              |
            1 | route "r" { matches { path-regex (env)"SPLIT" }; redirect (file)"secrets/token" }
              |                                                           ^^^^^^^^^^^^^^^^^^^^^
            help: the value itself is not shown, it may be a secret

            1 error; `selvedge explain E0128` says more
        "#]],
    );
}
