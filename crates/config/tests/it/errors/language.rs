//! Text that is no config: syntax, nodes, values.

use super::*;

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
            help: known here: `include`, `listener`, `upstream`, `route`, `agent`, `limits`, `admin`, `telemetry`, `core`, `audit`, `workers` or `drain-timeout`

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
