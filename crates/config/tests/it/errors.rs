//! Each kind of mistake as it is shown.

mod core;
mod core_audit;
mod language;
mod listeners;
mod routes;
mod upstreams;

use expect_test::{Expect, expect};
use selvedge_config::{MemoryEnvironment, parse_str};

#[track_caller]
fn check(text: &str, expected: Expect) {
    let environment = MemoryEnvironment::default()
        .with_file("a.pem", "")
        .with_file("a.key", "")
        .with_file("public/index.html", "");
    match parse_str("selvedge.kdl", text, &environment) {
        Err(report) => expected.assert_eq(&report.to_string()),
        Ok(loaded) => panic!("read without an error: {loaded:?}"),
    }
}

#[test]
fn all_errors_come_in_one_go() {
    check(
        r#"
listner "http" { address "127.0.0.1:8080" }
listener "https" {
    address "127.0.0.1:8443"
    timeouts { head "10"; idle 75; body "30 s"; write "0s" }
    tls { cert "site.pem" }
}
upstream "backend" {
    target "127.0.0.1:9000" wieght=2
    target "127.0.0.1:9001" weight=0
    balance "roundrobin"
}
route "api" {
    upstream "bakend"
    limits { body "1mib" }
}
"#,
        expect![[r#"
            error[E0102]: unknown node `listner`
             --> selvedge.kdl:2:1
              |
            2 | listner "http" { address "127.0.0.1:8080" }
              | ^^^^^^^
            help: did you mean `listener`?

            error[E0108]: "10" is not a duration: the unit is missing
             --> selvedge.kdl:5:21
              |
            5 |     timeouts { head "10"; idle 75; body "30 s"; write "0s" }
              |                     ^^^^
            help: did you mean "10s"?

            error[E0107]: a whole number stands where a duration belongs
             --> selvedge.kdl:5:32
              |
            5 |     timeouts { head "10"; idle 75; body "30 s"; write "0s" }
              |                                ^^
            help: write it in quotes and with its unit, such as "10s"

            error[E0109]: "0s" is out of range
             --> selvedge.kdl:5:55
              |
            5 |     timeouts { head "10"; idle 75; body "30 s"; write "0s" }
              |                                                       ^^^^
            help: allowed: 1ms to 7d

            error[E0106]: `cert` stands without `key`
             --> selvedge.kdl:6:5
              |
            6 |     tls { cert "site.pem" }
              |     ^^^
            help: add `key "site.key"`

            error[E0125]: "site.pem" is not there
             --> selvedge.kdl:6:16
              |
            6 |     tls { cert "site.pem" }
              |                ^^^^^^^^^^
            help: looked for /site.pem; relative paths start at the folder of this file

            warning[W0201]: upstream `backend` has no health check: its targets are presumed healthy
             --> selvedge.kdl:8:1
              |
            8 | upstream "backend" {
              | ^^^^^^^^
            help: add `health { http "/healthz" }` or `health { tcp }`

            error[E0103]: unknown property `wieght` of `target`
             --> selvedge.kdl:9:29
              |
            9 |     target "127.0.0.1:9000" wieght=2
              |                             ^^^^^^^^
            help: did you mean `weight`?

            error[E0109]: 0 is out of range
              --> selvedge.kdl:10:29
               |
            10 |     target "127.0.0.1:9001" weight=0
               |                             ^^^^^^^^
            help: allowed: 1 to 1000

            error[E0120]: "roundrobin" is none of the choices
              --> selvedge.kdl:11:13
               |
            11 |     balance "roundrobin"
               |             ^^^^^^^^^^^^
            help: did you mean `round-robin`?

            error[E0113]: there is no upstream `bakend`
              --> selvedge.kdl:14:14
               |
            14 |     upstream "bakend"
               |              ^^^^^^^^
            help: did you mean `backend`?

            error[E0108]: "1mib" is not a size: unknown unit "mib"
              --> selvedge.kdl:15:19
               |
            15 |     limits { body "1mib" }
               |                   ^^^^^^
            help: did you mean `MiB`?

            11 errors, 1 warning; `selvedge explain E0102` says more
        "#]],
    );
}

#[test]
fn what_is_written_twice() {
    check(
        "workers 1\nworkers 2",
        expect![[r#"
            error[E0111]: `workers` is written twice
             --> selvedge.kdl:2:1
              |
            2 | workers 2
              | ^^^^^^^
            note: first written here
             --> selvedge.kdl:1:1
              |
            1 | workers 1
              | ^^^^^^^
            help: keep one of them

            1 error; `selvedge explain E0111` says more
        "#]],
    );
    check(
        "upstream \"a\" { target \"b:1\" weight=1 weight=2; target \"b:1\"; health { tcp; http \"/\" } }",
        expect![[r#"
            warning[W0204]: no route uses upstream `a`
             --> selvedge.kdl:1:10
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |          ^^^
            help: add `upstream "a"` to a route, or remove it

            error[E0111]: `weight` is written twice
             --> selvedge.kdl:1:38
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                                      ^^^^^^^^
            note: first written here
             --> selvedge.kdl:1:29
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                             ^^^^^^^^
            help: keep one of them

            error[E0112]: this target is there already
             --> selvedge.kdl:1:55
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                                                       ^^^^^
            note: first written here
             --> selvedge.kdl:1:23
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                       ^^^^^
            help: remove it; `weight` gives one target more traffic

            error[E0111]: a health check asks one thing
             --> selvedge.kdl:1:76
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                                                                            ^^^^
            note: first written here
             --> selvedge.kdl:1:71
              |
            1 | upstream "a" { target "b:1" weight=1 weight=2; target "b:1"; health { tcp; http "/" } }
              |                                                                       ^^^
            help: keep one of them

            3 errors, 1 warning; `selvedge explain E0111` says more
        "#]],
    );
    check(
        "route \"a\" { respond 200 }\nroute \"a\" { respond 204 }",
        expect![[r#"
            error[E0110]: two routes have the id `a`
             --> selvedge.kdl:2:7
              |
            2 | route "a" { respond 204 }
              |       ^^^
            note: first written here
             --> selvedge.kdl:1:7
              |
            1 | route "a" { respond 200 }
              |       ^^^
            help: give one of them another id

            1 error; `selvedge explain E0110` says more
        "#]],
    );
    check(
        "listener \"a\" { address \"127.0.0.1:80\" }\nlistener \"b\" { address \"127.0.0.1:80\" }\nadmin { address \"127.0.0.1:80\" }",
        expect![[r#"
            error[E0112]: this address is taken
             --> selvedge.kdl:2:24
              |
            2 | listener "b" { address "127.0.0.1:80" }
              |                        ^^^^^^^^^^^^^^
            note: first written here
             --> selvedge.kdl:1:24
              |
            1 | listener "a" { address "127.0.0.1:80" }
              |                        ^^^^^^^^^^^^^^
            help: give each listener, and `admin`, an address of its own

            error[E0112]: this address is taken
             --> selvedge.kdl:3:17
              |
            3 | admin { address "127.0.0.1:80" }
              |                 ^^^^^^^^^^^^^^
            note: first written here
             --> selvedge.kdl:1:24
              |
            1 | listener "a" { address "127.0.0.1:80" }
              |                        ^^^^^^^^^^^^^^
            help: give each listener, and `admin`, an address of its own

            2 errors; `selvedge explain E0112` says more
        "#]],
    );
}

#[test]
fn the_process() {
    check(
        r#"limits { connections 100; connections-per-address 200 }
admin #false { address "127.0.0.1:1" }
telemetry { access-log "file" "nowhere/access.log"; otlp "localhost:4318" { header "a b" "c"; service "" } }
core
agent "a" { type "auth"; events "request_header"; grpc; failure-mode "half" }"#,
        expect![[r#"
            error[E0127]: there are 100 connections in all
             --> selvedge.kdl:1:51
              |
            1 | limits { connections 100; connections-per-address 200 }
              |                                                   ^^^
            help: lower this, or raise `connections`

            error[E0127]: `admin #false` has settings
             --> selvedge.kdl:2:1
              |
            2 | admin #false { address "127.0.0.1:1" }
              | ^^^^^
            help: remove the `#false` or the block

            error[E0125]: "nowhere/access.log" has no folder to lie in
             --> selvedge.kdl:3:31
              |
            3 | telemetry { access-log "file" "nowhere/access.log"; otlp "localhost:4318" { header "a b" "c"; service "" } }
              |                               ^^^^^^^^^^^^^^^^^^^^
            help: make the folder /nowhere

            error[E0121]: "localhost:4318" is not the URL of a service
             --> selvedge.kdl:3:58
              |
            3 | telemetry { access-log "file" "nowhere/access.log"; otlp "localhost:4318" { header "a b" "c"; service "" } }
              |                                                          ^^^^^^^^^^^^^^^^
            help: such as "http://127.0.0.1:4318"

            error[E0116]: "a b" is not the name of a header
             --> selvedge.kdl:3:84
              |
            3 | telemetry { access-log "file" "nowhere/access.log"; otlp "localhost:4318" { header "a b" "c"; service "" } }
              |                                                                                    ^^^^^
            help: letters, digits and `-`, such as "X-Request-Id"

            error[E0131]: a service needs a name
             --> selvedge.kdl:3:103
              |
            3 | telemetry { access-log "file" "nowhere/access.log"; otlp "localhost:4318" { header "a b" "c"; service "" } }
              |                                                                                                       ^^
            help: such as "edge"

            error[E0106]: `core` has no `data-dir`
             --> selvedge.kdl:4:1
              |
            4 | core
              | ^^^^
            help: add `data-dir "./data"`, or `remote "10.0.0.5:8444" { … }` where the core runs elsewhere

            warning[W0208]: no route asks agent `a`
             --> selvedge.kdl:5:7
              |
            5 | agent "a" { type "auth"; events "request_header"; grpc; failure-mode "half" }
              |       ^^^
            help: add `agents "a"` to a route, or remove it

            error[E0120]: "request_header" is none of the choices
             --> selvedge.kdl:5:33
              |
            5 | agent "a" { type "auth"; events "request_header"; grpc; failure-mode "half" }
              |                                 ^^^^^^^^^^^^^^^^
            help: did you mean `request_headers`?

            error[E0106]: `grpc` needs an address
             --> selvedge.kdl:5:51
              |
            5 | agent "a" { type "auth"; events "request_header"; grpc; failure-mode "half" }
              |                                                   ^^^^
            help: write `grpc address="http://localhost:50051"`

            error[E0120]: "half" is none of the choices
             --> selvedge.kdl:5:70
              |
            5 | agent "a" { type "auth"; events "request_header"; grpc; failure-mode "half" }
              |                                                                      ^^^^^^
            help: it is one of `open` or `closed`

            10 errors, 1 warning; `selvedge explain E0127` says more
        "#]],
    );
    check(
        "telemetry { access-log \"syslog\" }",
        expect![[r#"
            error[E0120]: "syslog" is none of the choices
             --> selvedge.kdl:1:24
              |
            1 | telemetry { access-log "syslog" }
              |                        ^^^^^^^^
            help: it is one of `stdout`, `stderr` or `file`

            1 error; `selvedge explain E0120` says more
        "#]],
    );
}

#[test]
fn the_whole_config_has_bounds() {
    check(
        &format!("core {{{}", " x {".repeat(20)),
        expect![[r#"
            error[E0130]: blocks nest deeper than 8
             --> selvedge.kdl:1:38
              |
            1 | core { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x { x {
              |                                      ^
            help: no setting lies that deep; look for a `}` that is missing above

            1 error; `selvedge explain E0130` says more
        "#]],
    );
    check(
        &format!("route \"a\" {{\n{}\n}}", "    respond 200\n".repeat(5_000)),
        expect![[r#"
        error[E0130]: this block is longer than 64KiB
         --> selvedge.kdl:1:1
          |
        1 | route "a" {
          | ^^^^^
        help: look for a `}` or a quote that is missing, or split the block

        1 error; `selvedge explain E0130` says more
    "#]],
    );
}

#[test]
fn a_flood_of_warnings_does_not_hide_an_error() {
    let upstreams = (0..600).map(|n| format!("upstream \"u{n}\" {{ target \"u:1\" }}\n"));
    let text = format!("{}workers 0\n", upstreams.collect::<String>());
    let environment = MemoryEnvironment::default();
    let report = parse_str("selvedge.kdl", &text, &environment).unwrap_err().to_string();
    let end: String =
        report.lines().skip_while(|line| !line.contains("E0109")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        error[E0109]: 0 is out of range
           --> selvedge.kdl:601:9
            |
        601 | workers 0
            |         ^
        help: allowed: 1 to 1024

        1 error, 500 warnings, 700 more not shown; `selvedge explain E0109` says more"#]]
    .assert_eq(&end);
}
