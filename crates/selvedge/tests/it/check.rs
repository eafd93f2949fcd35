use expect_test::{Expect, expect};

use crate::process::Place;

#[track_caller]
fn check(args: &str, config: &str, expected: Expect) {
    let place = Place::new();
    expected.assert_eq(&place.write("a.kdl", config).run(args));
}

const FINE: &str =
    "listener \"web\" { address \"127.0.0.1:0\" }\nroute \"all\" { respond 200 \"hi\" }\n";
const DOUBTFUL: &str = r#"
listener "web" { address "127.0.0.1:0" }
upstream "app" { target "127.0.0.1:9" }
route "all" { upstream "app" }
"#;
const UNREACHABLE: &str = r#"
listener "web" { address "127.0.0.1:0" }
route "all" {
    priority 1
    respond 200 "hi"
}
route "api" {
    matches { path-prefix "/api" }
    respond 200 "api"
}
"#;

#[test]
fn a_sound_config_is_ok() {
    check(
        "check a.kdl",
        FINE,
        expect![[r#"
        exit 0
        --- stdout
        ok: a.kdl: 1 listener, 1 route, 0 upstreams
    "#]],
    );
}

#[test]
fn all_errors_come_at_once_with_carets() {
    let config = r#"
listner "web" { address "127.0.0.1:80" }
route "api" {
    matches { path-prefix "/api" }
    upstream "ap"
    limits { body "1MB!" }
}
"#;
    check(
        "check a.kdl",
        config,
        expect![[r#"
            exit 2
            --- stdout
            error[E0102]: unknown node `listner`
             --> a.kdl:2:1
              |
            2 | listner "web" { address "127.0.0.1:80" }
              | ^^^^^^^
            help: did you mean `listener`?

            error[E0113]: there is no upstream `ap`
             --> a.kdl:5:14
              |
            5 |     upstream "ap"
              |              ^^^^
            help: add `upstream "ap" { … }`

            error[E0108]: "1MB!" is not a size: unknown unit "MB!"
             --> a.kdl:6:19
              |
            6 |     limits { body "1MB!" }
              |                   ^^^^^^
            help: whole numbers with B, KiB, MiB, GiB (or KB, MB, GB), such as "64KiB"

            3 errors; `selvedge explain E0102` says more
        "#]],
    );
}

#[test]
fn warnings_pass_unless_denied() {
    check(
        "check a.kdl",
        DOUBTFUL,
        expect![[r#"
        exit 0
        --- stdout
        warning[W0201]: upstream `app` has no health check: its targets are presumed healthy
         --> a.kdl:3:1
          |
        3 | upstream "app" { target "127.0.0.1:9" }
          | ^^^^^^^^
        help: add `health { http "/healthz" }` or `health { tcp }`

        1 warning; `selvedge explain W0201` says more
        ok: a.kdl: 1 listener, 1 route, 1 upstream
    "#]],
    );
    check(
        "check --deny-warnings a.kdl",
        DOUBTFUL,
        expect![[r#"
        exit 3
        --- stdout
        warning[W0201]: upstream `app` has no health check: its targets are presumed healthy
         --> a.kdl:3:1
          |
        3 | upstream "app" { target "127.0.0.1:9" }
          | ^^^^^^^^
        help: add `health { http "/healthz" }` or `health { tcp }`

        1 warning; `selvedge explain W0201` says more
        ok: a.kdl: 1 listener, 1 route, 1 upstream
    "#]],
    );
}

#[test]
fn routes_that_cannot_be_meant_are_errors() {
    check(
        "check a.kdl",
        UNREACHABLE,
        expect![[r#"
        exit 2
        --- stdout
        error[unreachable-route]: route "api" is never chosen, because all it holds for goes to route "all" (a.kdl:3) first; give this one a higher priority, narrow the other, or remove one
         --> a.kdl:7
          |
        7 | route "api" {
          | ^^^^^^^^^^^

        1 error; `selvedge explain unreachable-route` says more
    "#]],
    );
}

#[test]
fn programs_get_json() {
    check(
        "check --format json a.kdl",
        UNREACHABLE,
        expect![[r#"
        exit 2
        --- stdout
        {
          "errors": 1,
          "findings": [
            {
              "code": "unreachable-route",
              "column": null,
              "file": "a.kdl",
              "help": null,
              "line": 7,
              "message": "route \"api\" is never chosen, because all it holds for goes to route \"all\" (a.kdl:3) first; give this one a higher priority, narrow the other, or remove one",
              "severity": "error"
            }
          ],
          "ok": false,
          "warnings": 0
        }
    "#]],
    );
    check(
        "check --format json a.kdl",
        "route",
        expect![[r#"
            exit 2
            --- stdout
            {
              "errors": 2,
              "findings": [
                {
                  "code": "E0106",
                  "column": 1,
                  "file": "a.kdl",
                  "help": "write an id behind `route`",
                  "line": 1,
                  "message": "`route` needs an id",
                  "severity": "error"
                },
                {
                  "code": "E0114",
                  "column": 1,
                  "file": "a.kdl",
                  "help": "add one of `upstream \"…\"`, `core`, `static \"…\"`, `redirect \"…\"`, `respond 200`",
                  "line": 1,
                  "message": "this route does nothing with its requests",
                  "severity": "error"
                }
              ],
              "ok": false,
              "warnings": 0
            }
        "#]],
    );
}

#[test]
fn a_file_that_is_not_there_is_a_config_error() {
    check(
        "check b.kdl",
        "",
        expect![[r#"
        exit 2
        --- stdout
        error[E0122]: b.kdl cannot be read: No such file or directory (os error 2)
        help: check the name, or `selvedge init` writes one

        1 error; `selvedge explain E0122` says more
    "#]],
    );
}

#[test]
fn nothing_runs_with_a_config_that_check_refuses() {
    let place = Place::new();
    place.write("a.kdl", UNREACHABLE);
    for command in ["edge --config a.kdl", "up --config a.kdl", "bounds --config a.kdl"] {
        let said = place.run(command);
        assert!(
            said.starts_with("exit 2\n--- stderr\nerror[unreachable-route]"),
            "{command}: {said}"
        );
    }
}

#[test]
fn changes_are_told_by_meaning() {
    let place = Place::new();
    place
        .write("a.kdl", FINE)
        .write("b.kdl", &format!("// a comment\n{FINE}"))
        .write("c.kdl", DOUBTFUL);
    expect![[r#"
        exit 0
        --- stdout
        no change
    "#]]
    .assert_eq(&place.run("diff a.kdl b.kdl"));
    expect![[r#"
        exit 0
        --- stdout
        + upstream "app"
        ~ route "all"
    "#]]
    .assert_eq(&place.run("diff a.kdl c.kdl"));
}

/// What an edge could not start with is found before anybody tries; a config that is only asked about
/// need not be readable to its last key.
#[test]
fn what_cannot_be_run_is_an_error_where_it_is_named() {
    let config = r#"
listener "web" {
    address "127.0.0.1:0"
    tls {
        cert "site.pem"
        key "site.key"
        client-auth "required" ca="roots.pem"
    }
}
upstream "app" {
    target "127.0.0.1:9"
    health { tcp }
    tls { ca "roots.pem" }
}
route "site" { static "public" { fallback "nothere.html" } }
"#;
    let place = Place::new();
    for name in ["site.pem", "site.key", "roots.pem"] {
        place.write(name, "no PEM\n");
    }
    std::fs::create_dir(place.path("public")).unwrap();
    place.write("a.kdl", config);
    expect![[r#"
        exit 2
        --- stdout
        warning[W0204]: no route uses upstream `app`
          --> a.kdl:10:10
           |
        10 | upstream "app" {
           |          ^^^^^
        help: add `upstream "app"` to a route, or remove it

        error[E0133]: TLS of listener "web" cannot be set up: DIR/site.pem holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)
         --> a.kdl:5:14
          |
        5 |         cert "site.pem"
          |              ^^^^^^^^^^

        error[E0133]: TLS of listener "web" cannot be set up: DIR/roots.pem holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)
         --> a.kdl:7:32
          |
        7 |         client-auth "required" ca="roots.pem"
          |                                ^^^^^^^^^^^^^^

        error[E0133]: TLS of upstream "app" cannot be set up: DIR/roots.pem holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)
         --> a.kdl:7:32
          |
        7 |         client-auth "required" ca="roots.pem"
          |                                ^^^^^^^^^^^^^^

        error[E0133]: the site of route "site" cannot be served: the fallback "nothere.html" is not a file in DIR/public: create it, or correct `fallback`
          --> a.kdl:15:23
           |
        15 | route "site" { static "public" { fallback "nothere.html" } }
           |                       ^^^^^^^^

        4 errors, 1 warning; `selvedge explain E0133` says more
    "#]].assert_eq(&place.run("check a.kdl"));
    assert!(place.run("edge --config a.kdl").starts_with("exit 2\n"));
    assert!(place.run("bounds --config a.kdl").starts_with("exit 0\n"));
}
