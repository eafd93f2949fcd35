//! Each kind of mistake as it is shown.

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
fn syntax() {
    check(
        "drain-timeout 30s\nadmin false\nlistener \"a { }\ncore { data-dir /x }\n",
        expect![[r#"
            error[E0101]: `30s` needs quotes
             --> selvedge.kdl:1:15
              |
            1 | drain-timeout 30s
              |               ^^^
            help: write "30s"

            error[E0101]: `false` is neither a value nor a name in KDL 2
             --> selvedge.kdl:2:7
              |
            2 | admin false
              |       ^^^^^
            help: write `#false`, or "false" for the text

            error[E0101]: this text has no end
             --> selvedge.kdl:3:10
              |
            3 | listener "a { }
              |          ^^^^^^
            help: add the closing quote; text of several lines stands between `"""`

            error[E0101]: `/x` needs quotes
             --> selvedge.kdl:4:17
              |
            4 | core { data-dir /x }
              |                 ^^
            help: write "/x"

            4 errors; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "core { data-dir \"x\" }\n}\n",
        expect![[r#"
        error[E0101]: this `}` closes nothing
         --> selvedge.kdl:2:1
          |
        2 | }
          | ^
        help: remove it

        1 error; `selvedge explain E0101` says more
    "#]],
    );
    check(
        "route \"a\" {\n    respond 200\n",
        expect![[r#"
            error[E0101]: this block has no end
             --> selvedge.kdl:1:11
              |
            1 | route "a" {
              |           ^
            help: add the `}` that closes it

            1 error; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "{ address \"x\" }",
        expect![[r#"
            error[E0101]: this block belongs to no node
             --> selvedge.kdl:1:1
              |
            1 | { address "x" }
              | ^
            help: write the name in front of its `{`, on the same line

            1 error; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "workers = 2",
        expect![[r#"
            error[E0101]: this `=` belongs to no property
             --> selvedge.kdl:1:9
              |
            1 | workers = 2
              |         ^
            help: values follow a node without sign: `workers 2`; properties are `name=value`

            1 error; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "core { data-dir 'x' }",
        expect![[r#"
            error[E0101]: text stands in double quotes
             --> selvedge.kdl:1:17
              |
            1 | core { data-dir 'x' }
              |                 ^^^
            help: write "x"

            1 error; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "é \"ü\" )",
        expect![[r#"
            error[E0101]: `)` cannot stand here
             --> selvedge.kdl:1:7
              |
            1 | é "ü" )
              |       ^
            help: remove it, or put it in quotes

            1 error; `selvedge explain E0101` says more
        "#]],
    );
    check(
        "/* workers 2",
        expect![[r#"
            error[E0101]: this comment has no end
             --> selvedge.kdl:1:1
              |
            1 | /* workers 2
              | ^^^^^^^^^^^^
            help: add `*/`

            1 error; `selvedge explain E0101` says more
        "#]],
    );
}

#[test]
fn a_broken_block_does_not_hide_the_others() {
    check(
        "upstream \"b\" { target 127.0.0.1:9000 }\nroute \"r\" { upstream \"b\"; limts { } }\n",
        expect![[r#"
            error[E0101]: `127.0.0.1:9000` needs quotes
             --> selvedge.kdl:1:23
              |
            1 | upstream "b" { target 127.0.0.1:9000 }
              |                       ^^^^^^^^^^^^^^
            help: write "127.0.0.1:9000"

            error[E0102]: unknown node `limts` in `route`
             --> selvedge.kdl:2:27
              |
            2 | route "r" { upstream "b"; limts { } }
              |                           ^^^^^
            help: did you mean `limits`?

            2 errors; `selvedge explain E0101` says more
        "#]],
    );
}

#[test]
fn nodes_and_entries() {
    check(
        "listener \"a\" { address \"127.0.0.1:1\"; adress \"x\" }",
        expect![[r#"
        error[E0102]: unknown node `adress` in `listener`
         --> selvedge.kdl:1:39
          |
        1 | listener "a" { address "127.0.0.1:1"; adress "x" }
          |                                       ^^^^^^
        help: did you mean `address`?

        1 error; `selvedge explain E0102` says more
    "#]],
    );
    check(
        "banana 1",
        expect![[r#"
            error[E0102]: unknown node `banana`
             --> selvedge.kdl:1:1
              |
            1 | banana 1
              | ^^^^^^
            help: known here: `include`, `listener`, `upstream`, `route`, `agent`, `limits`, `admin`, `telemetry`, `core`, `workers` or `drain-timeout`

            1 error; `selvedge explain E0102` says more
        "#]],
    );
    check(
        "workers 1 { x }",
        expect![[r#"
            error[E0102]: unknown node `x` in `workers`
             --> selvedge.kdl:1:13
              |
            1 | workers 1 { x }
              |             ^
            help: `workers` has no block

            1 error; `selvedge explain E0102` says more
        "#]],
    );
    check(
        "workers 1 2 count=3",
        expect![[r#"
            error[E0104]: `workers` does not take this argument
             --> selvedge.kdl:1:11
              |
            1 | workers 1 2 count=3
              |           ^
            help: remove it

            error[E0103]: unknown property `count` of `workers`
             --> selvedge.kdl:1:13
              |
            1 | workers 1 2 count=3
              |             ^^^^^^^
            help: `workers` has no properties

            2 errors; `selvedge explain E0104` says more
        "#]],
    );
    check(
        "upstream \"a\" { target \"b:1\" { weight 2 } }",
        expect![[r#"
            warning[W0201]: upstream `a` has no health check: its targets are presumed healthy
             --> selvedge.kdl:1:1
              |
            1 | upstream "a" { target "b:1" { weight 2 } }
              | ^^^^^^^^
            help: add `health { http "/healthz" }` or `health { tcp }`

            warning[W0204]: no route uses upstream `a`
             --> selvedge.kdl:1:10
              |
            1 | upstream "a" { target "b:1" { weight 2 } }
              |          ^^^
            help: add `upstream "a"` to a route, or remove it

            error[E0102]: unknown node `weight` in `target`
             --> selvedge.kdl:1:31
              |
            1 | upstream "a" { target "b:1" { weight 2 } }
              |                               ^^^^^^
            help: `target` has no block

            1 error, 2 warnings; `selvedge explain E0102` says more
        "#]],
    );
    check(
        "listener \"a\" address=\"127.0.0.1:1\"",
        expect![[r#"
        error[E0106]: `listener` has no `address`
         --> selvedge.kdl:1:1
          |
        1 | listener "a" address="127.0.0.1:1"
          | ^^^^^^^^
        help: add `address "127.0.0.1:8080"`

        error[E0103]: unknown property `address` of `listener`
         --> selvedge.kdl:1:14
          |
        1 | listener "a" address="127.0.0.1:1"
          |              ^^^^^^^^^^^^^^^^^^^^^
        help: `address` is a node of its own: `{ address … }`

        2 errors; `selvedge explain E0106` says more
    "#]],
    );
    check(
        "listener { address \"127.0.0.1:1\" }",
        expect![[r#"
            error[E0106]: `listener` needs an id
             --> selvedge.kdl:1:1
              |
            1 | listener { address "127.0.0.1:1" }
              | ^^^^^^^^
            help: write an id behind `listener`

            1 error; `selvedge explain E0106` says more
        "#]],
    );
    check(
        "listener \"a\"",
        expect![[r#"
        error[E0106]: `listener` has no `address`
         --> selvedge.kdl:1:1
          |
        1 | listener "a"
          | ^^^^^^^^
        help: add `address "127.0.0.1:8080"`

        1 error; `selvedge explain E0106` says more
    "#]],
    );
    check(
        "(u8)workers 1",
        expect![[r#"
            error[E0105]: a node takes no type annotation, here `(u8)`
             --> selvedge.kdl:1:2
              |
            1 | (u8)workers 1
              |  ^^
            help: remove it

            1 error; `selvedge explain E0105` says more
        "#]],
    );
    check(
        "workers (u8)1",
        expect![[r#"
            error[E0105]: unknown type annotation `(u8)`
             --> selvedge.kdl:1:9
              |
            1 | workers (u8)1
              |         ^^^^^
            help: write the value itself

            1 error; `selvedge explain E0105` says more
        "#]],
    );
    check(
        "core { data-dir (envv)\"X\" }",
        expect![[r#"
            error[E0105]: unknown type annotation `(envv)`
             --> selvedge.kdl:1:17
              |
            1 | core { data-dir (envv)"X" }
              |                 ^^^^^^^^^
            help: did you mean `env`?

            1 error; `selvedge explain E0105` says more
        "#]],
    );
    check(
        "listener (env)\"ID\" { address \"127.0.0.1:1\" }",
        expect![[r#"
        error[E0105]: `(env)` is for values in quotes, not for this one
         --> selvedge.kdl:1:10
          |
        1 | listener (env)"ID" { address "127.0.0.1:1" }
          |          ^^^^^^^^^
        help: write the value itself

        1 error; `selvedge explain E0105` says more
    "#]],
    );
    check(
        "drain-timeout (env)30",
        expect![[r#"
            error[E0107]: a whole number stands where a duration belongs
             --> selvedge.kdl:1:15
              |
            1 | drain-timeout (env)30
              |               ^^^^^^^
            help: write it in quotes and with its unit, such as "10s"

            1 error; `selvedge explain E0107` says more
        "#]],
    );
}

#[test]
fn types_units_and_ranges() {
    check(
        "workers \"2\"",
        expect![[r#"
            error[E0107]: text stands where a whole number belongs
             --> selvedge.kdl:1:9
              |
            1 | workers "2"
              |         ^^^
            help: write digits alone, without quotes

            1 error; `selvedge explain E0107` says more
        "#]],
    );
    check(
        "workers 2.5",
        expect![[r#"
            error[E0107]: a number with a fraction stands where a whole number belongs
             --> selvedge.kdl:1:9
              |
            1 | workers 2.5
              |         ^^^
            help: write digits alone, without quotes

            1 error; `selvedge explain E0107` says more
        "#]],
    );
    check(
        "workers 0",
        expect![[r#"
            error[E0109]: 0 is out of range
             --> selvedge.kdl:1:9
              |
            1 | workers 0
              |         ^
            help: allowed: 1 to 1024

            1 error; `selvedge explain E0109` says more
        "#]],
    );
    check(
        "workers 99999999999999999999999",
        expect![[r#"
            error[E0109]: 99999999999999999999999 is out of range
             --> selvedge.kdl:1:9
              |
            1 | workers 99999999999999999999999
              |         ^^^^^^^^^^^^^^^^^^^^^^^
            help: allowed: 1 to 1024

            1 error; `selvedge explain E0109` says more
        "#]],
    );
    check(
        "drain-timeout 30",
        expect![[r#"
            error[E0107]: a whole number stands where a duration belongs
             --> selvedge.kdl:1:15
              |
            1 | drain-timeout 30
              |               ^^
            help: write it in quotes and with its unit, such as "10s"

            1 error; `selvedge explain E0107` says more
        "#]],
    );
    check(
        "drain-timeout \"1.5s\"",
        expect![[r#"
            error[E0108]: "1.5s" is not a duration: unknown unit ".5s"
             --> selvedge.kdl:1:15
              |
            1 | drain-timeout "1.5s"
              |               ^^^^^^
            help: whole numbers with us, ms, s, m, h or d, such as "250ms" or "10s"

            1 error; `selvedge explain E0108` says more
        "#]],
    );
    check(
        "drain-timeout \"9999999d\"",
        expect![[r#"
            error[E0109]: "9999999d" is out of range
             --> selvedge.kdl:1:15
              |
            1 | drain-timeout "9999999d"
              |               ^^^^^^^^^^
            help: allowed: 0s to 1d

            1 error; `selvedge explain E0109` says more
        "#]],
    );
    check(
        "limits { head \"1KiB\"; response-head \"2MiB\"; head-fields -1 }",
        expect![[r#"
            error[E0109]: "2MiB" is out of range
             --> selvedge.kdl:1:37
              |
            1 | limits { head "1KiB"; response-head "2MiB"; head-fields -1 }
              |                                     ^^^^^^
            help: allowed: 1KiB to 1MiB

            error[E0109]: -1 is out of range
             --> selvedge.kdl:1:57
              |
            1 | limits { head "1KiB"; response-head "2MiB"; head-fields -1 }
              |                                                         ^^
            help: allowed: 1 to 10000

            2 errors; `selvedge explain E0109` says more
        "#]],
    );
    check(
        "telemetry { otlp \"http://127.0.0.1:4318\" { sample 1.5 } }",
        expect![[r#"
            error[E0109]: 1.5 is out of range
             --> selvedge.kdl:1:51
              |
            1 | telemetry { otlp "http://127.0.0.1:4318" { sample 1.5 } }
              |                                                   ^^^
            help: allowed: 0 to 1

            1 error; `selvedge explain E0109` says more
        "#]],
    );
    check(
        "core { data-dir #null }",
        expect![[r#"
            error[E0107]: #null stands where text belongs
             --> selvedge.kdl:1:17
              |
            1 | core { data-dir #null }
              |                 ^^^^^
            help: put it in double quotes

            1 error; `selvedge explain E0107` says more
        "#]],
    );
    check(
        "route \"a\" { respond 200; compress \"yes\" }",
        expect![[r#"
            error[E0107]: text stands where a switch belongs
             --> selvedge.kdl:1:35
              |
            1 | route "a" { respond 200; compress "yes" }
              |                                   ^^^^^
            help: write #true or #false

            1 error; `selvedge explain E0107` says more
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
fn listeners() {
    for_address(
        "localhost:80",
        expect![[r#"
        error[E0121]: "localhost:80" is not an address to listen on
         --> selvedge.kdl:1:24
          |
        1 | listener "a" { address "localhost:80" }
          |                        ^^^^^^^^^^^^^^
        help: write "127.0.0.1:80"

        1 error; `selvedge explain E0121` says more
    "#]],
    );
    for_address(
        ":80",
        expect![[r#"
        error[E0121]: ":80" is not an address to listen on
         --> selvedge.kdl:1:24
          |
        1 | listener "a" { address ":80" }
          |                        ^^^^^
        help: write "0.0.0.0:80" for IPv4 or "[::]:80" for IPv6

        1 error; `selvedge explain E0121` says more
    "#]],
    );
    for_address(
        "127.0.0.1",
        expect![[r#"
        error[E0121]: "127.0.0.1" is not an address to listen on
         --> selvedge.kdl:1:24
          |
        1 | listener "a" { address "127.0.0.1" }
          |                        ^^^^^^^^^^^
        help: add a port: "127.0.0.1:8080"

        1 error; `selvedge explain E0121` says more
    "#]],
    );
    check(
        "listener \"a\" { address \"127.0.0.1:1\"; trusted-proxies \"10.0.0.1/8\"; proxy-protocol { }; http2 { streams 5 } }",
        expect![[r#"
            error[E0121]: "10.0.0.1/8" is not a network
             --> selvedge.kdl:1:55
              |
            1 | listener "a" { address "127.0.0.1:1"; trusted-proxies "10.0.0.1/8"; proxy-protocol { }; http2 { streams 5 } }
              |                                                       ^^^^^^^^^^^^
            help: bits behind the prefix are set; write "10.0.0.0/8"

            error[E0106]: `proxy-protocol` does not say whom it trusts
             --> selvedge.kdl:1:69
              |
            1 | listener "a" { address "127.0.0.1:1"; trusted-proxies "10.0.0.1/8"; proxy-protocol { }; http2 { streams 5 } }
              |                                                                     ^^^^^^^^^^^^^^
            help: add `from "10.0.0.0/8"` with the balancers' network

            error[E0127]: `http2` has no effect: this listener does not speak HTTP/2
             --> selvedge.kdl:1:89
              |
            1 | listener "a" { address "127.0.0.1:1"; trusted-proxies "10.0.0.1/8"; proxy-protocol { }; http2 { streams 5 } }
              |                                                                                         ^^^^^
            help: add `protocols "http/1.1" "h2"` (without TLS it is off unless written) or remove the block

            3 errors; `selvedge explain E0121` says more
        "#]],
    );
    check(
        r#"listener "a" { address "127.0.0.1:1"; protocols "h2" "http/1.1" "h2" }"#,
        expect![[r#"
            error[E0111]: this protocol is there already
             --> selvedge.kdl:1:65
              |
            1 | listener "a" { address "127.0.0.1:1"; protocols "h2" "http/1.1" "h2" }
              |                                                                 ^^^^
            help: remove it

            1 error; `selvedge explain E0111` says more
        "#]],
    );
    check(
        r#"listener "a" { address "127.0.0.1:1"; tls { key "a.key"; min-version "1.3"; max-version "1.2" } }
listener "b" { address "127.0.0.1:2"; tls { } }
listener "c" { address "127.0.0.1:3"; tls { certificate cert="a.pem"; client-auth "requird" ca="a.pem" } }
listener "d" { address "127.0.0.1:4"; tls { cert "a.pem"; key "b.key"; client-auth "required" } }
listener "e" { address "127.0.0.1:5"; tls { self-signed "local host"; client-auth "off" ca="a.pem" } }"#,
        expect![[r#"
            error[E0106]: `key` stands without `cert`
             --> selvedge.kdl:1:39
              |
            1 | listener "a" { address "127.0.0.1:1"; tls { key "a.key"; min-version "1.3"; max-version "1.2" } }
              |                                       ^^^
            help: add `cert "site.pem"`

            error[E0127]: `max-version` is older than `min-version`
             --> selvedge.kdl:1:89
              |
            1 | listener "a" { address "127.0.0.1:1"; tls { key "a.key"; min-version "1.3"; max-version "1.2" } }
              |                                                                                         ^^^^^
            note: the oldest allowed is written here
             --> selvedge.kdl:1:70
              |
            1 | listener "a" { address "127.0.0.1:1"; tls { key "a.key"; min-version "1.3"; max-version "1.2" } }
              |                                                                      ^^^^^
            help: exchange them or remove one

            error[E0106]: `tls` has no certificate
             --> selvedge.kdl:2:39
              |
            2 | listener "b" { address "127.0.0.1:2"; tls { } }
              |                                       ^^^
            help: add `cert "site.pem"; key "site.key"`, or `self-signed "localhost"` for development

            error[E0106]: `certificate` needs both `cert` and `key`
             --> selvedge.kdl:3:45
              |
            3 | listener "c" { address "127.0.0.1:3"; tls { certificate cert="a.pem"; client-auth "requird" ca="a.pem" } }
              |                                             ^^^^^^^^^^^
            help: write `certificate cert="site.pem" key="site.key"`

            error[E0120]: "requird" is none of the choices
             --> selvedge.kdl:3:83
              |
            3 | listener "c" { address "127.0.0.1:3"; tls { certificate cert="a.pem"; client-auth "requird" ca="a.pem" } }
              |                                                                                   ^^^^^^^^^
            help: did you mean `required`?

            error[E0125]: "b.key" is not there
             --> selvedge.kdl:4:63
              |
            4 | listener "d" { address "127.0.0.1:4"; tls { cert "a.pem"; key "b.key"; client-auth "required" } }
              |                                                               ^^^^^^^
            help: looked for /b.key; relative paths start at the folder of this file

            error[E0106]: `client-auth` does not say whom it trusts
             --> selvedge.kdl:4:72
              |
            4 | listener "d" { address "127.0.0.1:4"; tls { cert "a.pem"; key "b.key"; client-auth "required" } }
              |                                                                        ^^^^^^^^^^^
            help: add `ca="clients.pem"`

            error[E0118]: "local host" is not the name of a server
             --> selvedge.kdl:5:57
              |
            5 | listener "e" { address "127.0.0.1:5"; tls { self-signed "local host"; client-auth "off" ca="a.pem" } }
              |                                                         ^^^^^^^^^^^^
            help: write a DNS name or an IP address without port, such as "api.example.com"

            error[E0127]: `ca` has no effect when clients are asked for nothing
             --> selvedge.kdl:5:71
              |
            5 | listener "e" { address "127.0.0.1:5"; tls { self-signed "local host"; client-auth "off" ca="a.pem" } }
              |                                                                       ^^^^^^^^^^^
            help: remove it, or write "required"

            9 errors; `selvedge explain E0106` says more
        "#]],
    );
}

#[track_caller]
fn for_address(address: &str, expected: Expect) {
    check(&format!("listener \"a\" {{ address {address:?} }}"), expected);
}

#[test]
fn upstreams() {
    check(
        r#"upstream "empty" { health { tcp } }
upstream "a" {
    target "http://b:80"
    target "b"
    target "b:99999"
    target "unix:"
    balance "consistent-hash"
    sticky ttl="1h"
    retry { attempts 11; statuses 200 }
    pool { connections 20000 }
    health { every "1s"; timeout "2s" }
    ejection #false { failures 3 }
    tls { verify #false; ca "a.pem"; cert "a.pem" }
}
upstream "b" {
    target "unix:/run/b.sock"
    tls
    health { http "healthz" expect="99-600" host="a b" }
    balance "round-robin" key="path"
}
upstream "c" { target "c:1"; health; balance "consistent-hash" key="hedaer:x" }"#,
        expect![[r#"
            error[E0106]: upstream `empty` has no target
             --> selvedge.kdl:1:1
              |
            1 | upstream "empty" { health { tcp } }
              | ^^^^^^^^
            help: add `target "127.0.0.1:9000"`

            warning[W0204]: no route uses upstream `empty`
             --> selvedge.kdl:1:10
              |
            1 | upstream "empty" { health { tcp } }
              |          ^^^^^^^
            help: add `upstream "empty"` to a route, or remove it

            warning[W0204]: no route uses upstream `a`
             --> selvedge.kdl:2:10
              |
            2 | upstream "a" {
              |          ^^^
            help: add `upstream "a"` to a route, or remove it

            error[E0121]: "http://b:80" is not a target
             --> selvedge.kdl:3:12
              |
            3 |     target "http://b:80"
              |            ^^^^^^^^^^^^^
            help: leave the scheme out: "127.0.0.1:9000"; `tls { }` switches TLS on

            error[E0121]: "b" is not a target
             --> selvedge.kdl:4:12
              |
            4 |     target "b"
              |            ^^^
            help: add a port: "b:80"

            error[E0121]: "b:99999" is not a target
             --> selvedge.kdl:5:12
              |
            5 |     target "b:99999"
              |            ^^^^^^^^^
            help: the port is a number from 1 to 65535

            error[E0121]: "unix:" is not a target
             --> selvedge.kdl:6:12
              |
            6 |     target "unix:"
              |            ^^^^^^^
            help: write a path behind `unix:`, such as "unix:/run/app.sock"

            error[E0106]: "consistent-hash" needs a key
             --> selvedge.kdl:7:5
              |
            7 |     balance "consistent-hash"
              |     ^^^^^^^
            help: such as `key="client-ip"`, `key="header:X-User"` or `key="cookie:id"`

            error[E0106]: `sticky` needs the name of its cookie
             --> selvedge.kdl:8:5
              |
            8 |     sticky ttl="1h"
              |     ^^^^^^
            help: write `sticky cookie="server"`

            error[E0109]: 11 is out of range
             --> selvedge.kdl:9:22
              |
            9 |     retry { attempts 11; statuses 200 }
              |                      ^^
            help: allowed: 0 to 10

            error[E0109]: 200 is out of range
             --> selvedge.kdl:9:35
              |
            9 |     retry { attempts 11; statuses 200 }
              |                                   ^^^
            help: allowed: 400 to 599

            error[E0127]: the process allows 10000 upstream connections in all
              --> selvedge.kdl:10:24
               |
            10 |     pool { connections 20000 }
               |                        ^^^^^
            help: lower this, or raise `limits { upstream-connections … }`

            error[E0106]: `health` does not say what it asks
              --> selvedge.kdl:11:5
               |
            11 |     health { every "1s"; timeout "2s" }
               |     ^^^^^^
            help: add `http "/healthz"` or `tcp`

            error[E0127]: a probe may take longer than the time between two probes
              --> selvedge.kdl:11:34
               |
            11 |     health { every "1s"; timeout "2s" }
               |                                  ^^^^
            help: lower `timeout` or raise `every`

            error[E0127]: `ejection #false` has settings
              --> selvedge.kdl:12:5
               |
            12 |     ejection #false { failures 3 }
               |     ^^^^^^^^
            help: remove the `#false` or the block

            error[E0106]: a client certificate needs both `cert` and `key`
              --> selvedge.kdl:13:5
               |
            13 |     tls { verify #false; ca "a.pem"; cert "a.pem" }
               |     ^^^
            help: add the one that is missing

            error[E0127]: `ca` has no effect when nothing is verified
              --> selvedge.kdl:13:29
               |
            13 |     tls { verify #false; ca "a.pem"; cert "a.pem" }
               |                             ^^^^^^^
            note: verification is switched off here
              --> selvedge.kdl:13:18
               |
            13 |     tls { verify #false; ca "a.pem"; cert "a.pem" }
               |                  ^^^^^^
            help: remove `verify #false`

            warning[W0204]: no route uses upstream `b`
              --> selvedge.kdl:15:10
               |
            15 | upstream "b" {
               |          ^^^
            help: add `upstream "b"` to a route, or remove it

            error[E0127]: a unix socket has no name to verify and send
              --> selvedge.kdl:17:5
               |
            17 |     tls
               |     ^^^
            help: add `server-name "…"` or remove `tls`

            error[E0119]: "healthz" is not a path
              --> selvedge.kdl:18:19
               |
            18 |     health { http "healthz" expect="99-600" host="a b" }
               |                   ^^^^^^^^^
            help: it begins with `/`: "/healthz"

            error[E0109]: "99-600" is not a range of statuses
              --> selvedge.kdl:18:29
               |
            18 |     health { http "healthz" expect="99-600" host="a b" }
               |                             ^^^^^^^^^^^^^^^
            help: write "200" or "200-399", from 200 to 599

            error[E0118]: "a b" is not a host
              --> selvedge.kdl:18:45
               |
            18 |     health { http "healthz" expect="99-600" host="a b" }
               |                                             ^^^^^^^^^^
            help: write a name such as "example.com"

            error[E0127]: only "consistent-hash" takes a key
              --> selvedge.kdl:19:27
               |
            19 |     balance "round-robin" key="path"
               |                           ^^^^^^^^^^
            help: remove it, or write `balance "consistent-hash" key=…`

            warning[W0204]: no route uses upstream `c`
              --> selvedge.kdl:21:10
               |
            21 | upstream "c" { target "c:1"; health; balance "consistent-hash" key="hedaer:x" }
               |          ^^^
            help: add `upstream "c"` to a route, or remove it

            error[E0106]: `health` does not say what it asks
              --> selvedge.kdl:21:30
               |
            21 | upstream "c" { target "c:1"; health; balance "consistent-hash" key="hedaer:x" }
               |                              ^^^^^^
            help: add `http "/healthz"` or `tcp`

            error[E0120]: "hedaer:x" is none of the choices
              --> selvedge.kdl:21:64
               |
            21 | upstream "c" { target "c:1"; health; balance "consistent-hash" key="hedaer:x" }
               |                                                                ^^^^^^^^^^^^^^
            help: it is `client-ip`, `path`, `uri`, `header:NAME` or `cookie:NAME`

            22 errors, 4 warnings; `selvedge explain E0106` says more
        "#]],
    );
}

#[test]
fn routes() {
    check(
        r#"route "none" { }
route "two" { respond 200; redirect "/x" }
route "dangling" { upstream "nobody" }
route "matches" {
    matches {
        host "example.com:80" "*" "https://x"
        path "api"
        path-prefix "/a/../b"
        path-regex "/(a"
        method "get"
        header "x y"
        header "x" "1" prefix="2"
        query "q" regex="["
    }
    respond 200
}
route "headers" {
    respond 200
    request-headers { set "X" "1" }
    response-headers {
        set "Content-Length" "5"
        add "X" "a\r\nb: c"
        remove "Connection" "X-Fine"
        set "Host" "x"
        set "X"
    }
}
route "rewrite" {
    static "public"
    rewrite { strip-prefix "/a"; path "/b" }
}"#,
        expect![[r##"
            error[E0114]: this route does nothing with its requests
             --> selvedge.kdl:1:1
              |
            1 | route "none" { }
              | ^^^^^
            help: add one of `upstream "…"`, `static "…"`, `redirect "…"`, `respond 200`

            error[E0114]: this route has a second action
             --> selvedge.kdl:2:28
              |
            2 | route "two" { respond 200; redirect "/x" }
              |                            ^^^^^^^^
            note: the first is here
             --> selvedge.kdl:2:15
              |
            2 | route "two" { respond 200; redirect "/x" }
              |               ^^^^^^^
            help: keep one, or write a second route with its own `matches`

            error[E0113]: there is no upstream `nobody`
             --> selvedge.kdl:3:29
              |
            3 | route "dangling" { upstream "nobody" }
              |                             ^^^^^^^^
            help: add `upstream "nobody" { … }`

            error[E0118]: "example.com:80" is not a host
             --> selvedge.kdl:6:14
              |
            6 |         host "example.com:80" "*" "https://x"
              |              ^^^^^^^^^^^^^^^^
            help: leave the port out: "example.com"

            error[E0118]: "*" is not a host
             --> selvedge.kdl:6:31
              |
            6 |         host "example.com:80" "*" "https://x"
              |                               ^^^
            help: leave `host` out to match every host

            error[E0118]: "https://x" is not a host
             --> selvedge.kdl:6:35
              |
            6 |         host "example.com:80" "*" "https://x"
              |                                   ^^^^^^^^^^^
            help: write the name alone, without scheme and path

            error[E0119]: "api" is not a path
             --> selvedge.kdl:7:14
              |
            7 |         path "api"
              |              ^^^^^
            help: it begins with `/`: "/api"

            error[E0119]: "/a/../b" is not a path
             --> selvedge.kdl:8:21
              |
            8 |         path-prefix "/a/../b"
              |                     ^^^^^^^^^
            help: requests have `.` and `..` resolved before; write what is left

            error[E0115]: regex parse error:
                /(a
                 ^
            error: unclosed group
             --> selvedge.kdl:9:20
              |
            9 |         path-regex "/(a"
              |                    ^^^^^
            help: mend it where the caret points; raw text saves backslashes: #"\d+"#

            error[E0120]: "get" is not a method
              --> selvedge.kdl:10:16
               |
            10 |         method "get"
               |                ^^^^^
            help: methods are in capitals: "GET"

            error[E0116]: "x y" is not the name of a header
              --> selvedge.kdl:11:16
               |
            11 |         header "x y"
               |                ^^^^^
            help: letters, digits and `-`, such as "X-Request-Id"

            error[E0127]: a value is compared in one way
              --> selvedge.kdl:12:9
               |
            12 |         header "x" "1" prefix="2"
               |         ^^^^^^
            help: keep the exact value, `prefix=` or `regex=`; a second condition is a second node

            error[E0115]: regex parse error:
                [
                ^
            error: unclosed character class
              --> selvedge.kdl:13:19
               |
            13 |         query "q" regex="["
               |                   ^^^^^^^^^
            help: mend it where the caret points; raw text saves backslashes: #"\d+"#

            error[E0127]: `request-headers` has no effect: this route's requests go to no upstream
              --> selvedge.kdl:19:5
               |
            19 |     request-headers { set "X" "1" }
               |     ^^^^^^^^^^^^^^^
            help: remove it

            error[E0117]: `Content-Length` belongs to the edge
              --> selvedge.kdl:21:13
               |
            21 |         set "Content-Length" "5"
               |             ^^^^^^^^^^^^^^^^
            help: it frames messages or steers the connection; remove this operation

            error[E0116]: this cannot be the value of a header
              --> selvedge.kdl:22:17
               |
            22 |         add "X" "a\r\nb: c"
               |                 ^^^^^^^^^^^
            help: line ends, NUL and other control characters are not allowed

            error[E0117]: `Connection` belongs to the edge
              --> selvedge.kdl:23:16
               |
            23 |         remove "Connection" "X-Fine"
               |                ^^^^^^^^^^^^
            help: it frames messages or steers the connection; remove this operation

            error[E0117]: `Host` cannot be set here
              --> selvedge.kdl:24:13
               |
            24 |         set "Host" "x"
               |             ^^^^^^
            help: a response has no `Host`; remove this operation

            error[E0106]: `set` needs a name and a value
              --> selvedge.kdl:25:9
               |
            25 |         set "X"
               |         ^^^
            help: write a name and a value behind `set`

            error[E0127]: `rewrite` has no effect: this route's requests go to no upstream
              --> selvedge.kdl:30:5
               |
            30 |     rewrite { strip-prefix "/a"; path "/b" }
               |     ^^^^^^^
            help: remove it

            error[E0127]: a path is rewritten in one way
              --> selvedge.kdl:30:34
               |
            30 |     rewrite { strip-prefix "/a"; path "/b" }
               |                                  ^^^^
            note: the first is here
              --> selvedge.kdl:30:15
               |
            30 |     rewrite { strip-prefix "/a"; path "/b" }
               |               ^^^^^^^^^^^^
            help: keep one of them; `path-regex` can do both

            21 errors; `selvedge explain E0114` says more
        "##]],
    );
}

#[test]
fn a_misspelt_name_is_one_mistake() {
    check(
        r#"listner "http" { address "127.0.0.1:80" }
upstream "a" { target "b:1"; health { tcp } }
route "x" { upstrem "a" }"#,
        expect![[r#"
            error[E0102]: unknown node `listner`
             --> selvedge.kdl:1:1
              |
            1 | listner "http" { address "127.0.0.1:80" }
              | ^^^^^^^
            help: did you mean `listener`?

            error[E0102]: unknown node `upstrem` in `route`
             --> selvedge.kdl:3:13
              |
            3 | route "x" { upstrem "a" }
              |             ^^^^^^^
            help: did you mean `upstream`?

            2 errors; `selvedge explain E0102` says more
        "#]],
    );
}

#[test]
fn actions() {
    check(
        r#"route "a" { static "nowhere" }
route "b" { static "public/index.html" }
route "c" { static "public" { index "../x"; fallback "/etc/passwd"; cache-control "a\nb" } }
route "d" { redirect "https://{hots}/" status=304 }
route "e" { redirect "example.com" }
route "f" { respond 204 "body" }
route "g" { respond 100 "" content-type="text" }
route "h" { upstream "u"; rewrite { path-regex "^/(a)" to="/$2" } }
route "i" { upstream "u"; rewrite }
route "j" { respond 200; compress { encodings "zstd" "deflate" "zstd" } }
upstream "u" { target "b:1"; health { tcp } }"#,
        expect![[r#"
            error[E0125]: "nowhere" is not there
             --> selvedge.kdl:1:20
              |
            1 | route "a" { static "nowhere" }
              |                    ^^^^^^^^^
            help: looked for /nowhere; relative paths start at the folder of this file

            error[E0125]: "public/index.html" is a file
             --> selvedge.kdl:2:20
              |
            2 | route "b" { static "public/index.html" }
              |                    ^^^^^^^^^^^^^^^^^^^
            help: name the folder it lies in

            error[E0119]: "../x" is not a file within the folder
             --> selvedge.kdl:3:37
              |
            3 | route "c" { static "public" { index "../x"; fallback "/etc/passwd"; cache-control "a\nb" } }
              |                                     ^^^^^^
            help: write it relative to the folder, without `..`, such as "index.html"

            error[E0119]: "/etc/passwd" is not a file within the folder
             --> selvedge.kdl:3:54
              |
            3 | route "c" { static "public" { index "../x"; fallback "/etc/passwd"; cache-control "a\nb" } }
              |                                                      ^^^^^^^^^^^^^
            help: write it relative to the folder, without `..`, such as "index.html"

            error[E0116]: this cannot be the value of a header
             --> selvedge.kdl:3:83
              |
            3 | route "c" { static "public" { index "../x"; fallback "/etc/passwd"; cache-control "a\nb" } }
              |                                                                                   ^^^^^^
            help: line ends, NUL and other control characters are not allowed

            error[E0128]: unknown placeholder `{hots}`
             --> selvedge.kdl:4:22
              |
            4 | route "d" { redirect "https://{hots}/" status=304 }
              |                      ^^^^^^^^^^^^^^^^^
            help: did you mean `host`?

            error[E0109]: 304 is not the status of a redirect
             --> selvedge.kdl:4:40
              |
            4 | route "d" { redirect "https://{hots}/" status=304 }
              |                                        ^^^^^^^^^^
            help: 301, 302, 303, 307 or 308 (308 and 307 keep the method)

            error[E0128]: a redirect cannot lead there
             --> selvedge.kdl:5:22
              |
            5 | route "e" { redirect "example.com" }
              |                      ^^^^^^^^^^^^^
            help: it begins with `/`, `https://`, `http://` or `{scheme}://`

            error[E0127]: a response with status 204 has no body
             --> selvedge.kdl:6:21
              |
            6 | route "f" { respond 204 "body" }
              |                     ^^^
            help: remove the body or write 200

            error[E0109]: 100 is out of range
             --> selvedge.kdl:7:21
              |
            7 | route "g" { respond 100 "" content-type="text" }
              |                     ^^^
            help: allowed: 200 to 599

            error[E0116]: "text" is not a content type
             --> selvedge.kdl:7:28
              |
            7 | route "g" { respond 100 "" content-type="text" }
              |                            ^^^^^^^^^^^^^^^^^^^
            help: such as "text/html; charset=utf-8" or "application/json"

            error[E0115]: `to` names a group that the pattern does not have
             --> selvedge.kdl:8:56
              |
            8 | route "h" { upstream "u"; rewrite { path-regex "^/(a)" to="/$2" } }
              |                                                        ^^^^^^^^
            help: groups count from 1; write `${1}x` where a letter follows, `$$` for a dollar

            error[E0106]: `rewrite` changes nothing
             --> selvedge.kdl:9:27
              |
            9 | route "i" { upstream "u"; rewrite }
              |                           ^^^^^^^
            help: add `strip-prefix`, `path`, `path-regex` or `host`, or remove it

            error[E0120]: "deflate" is none of the choices
              --> selvedge.kdl:10:54
               |
            10 | route "j" { respond 200; compress { encodings "zstd" "deflate" "zstd" } }
               |                                                      ^^^^^^^^^
            help: it is one of `zstd`, `br` or `gzip`

            error[E0111]: this encoding is there already
              --> selvedge.kdl:10:64
               |
            10 | route "j" { respond 200; compress { encodings "zstd" "deflate" "zstd" } }
               |                                                                ^^^^^^
            help: remove it

            15 errors; `selvedge explain E0125` says more
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
            help: add `data-dir "./data"`

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
