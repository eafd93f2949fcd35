//! Mistakes in the core: where it is, who may do what, streams, views.

use super::*;

#[track_caller]
fn inside(nodes: &str, expected: Expect) {
    check(&format!("core {{\n    data-dir \"data\"\n    {nodes}\n}}\n"), expected);
}

#[test]
fn the_core_itself() {
    check(
        "core { path \"/\"; socket \"x\"; limits { body \"2GiB\"; in-flight 0 } }\n",
        expect![[r#"
            error[E0106]: `core` has no `data-dir`
             --> selvedge.kdl:1:1
              |
            1 | core { path "/"; socket "x"; limits { body "2GiB"; in-flight 0 } }
              | ^^^^
            help: add `data-dir "./data"`, or `remote "10.0.0.5:8444" { … }` where the core runs elsewhere

            error[E0119]: "/" cannot be the path of the core
             --> selvedge.kdl:1:13
              |
            1 | core { path "/"; socket "x"; limits { body "2GiB"; in-flight 0 } }
              |             ^^^
            help: write it without a `/` at its end, such as "/_selvedge"

            error[E0109]: "2GiB" is out of range
             --> selvedge.kdl:1:44
              |
            1 | core { path "/"; socket "x"; limits { body "2GiB"; in-flight 0 } }
              |                                            ^^^^^^
            help: allowed: 1B to 1GiB

            error[E0109]: 0 is out of range
             --> selvedge.kdl:1:62
              |
            1 | core { path "/"; socket "x"; limits { body "2GiB"; in-flight 0 } }
              |                                                              ^
            help: allowed: 1 to 1000000

            4 errors; `selvedge explain E0106` says more
        "#]],
    );
    inside(
        "path \"_selvedge\"; host \"a b\"; timeouts { connect \"0s\" }; stream \"x\"",
        expect![[r#"
            error[E0119]: "_selvedge" is not a path
             --> selvedge.kdl:3:10
              |
            3 |     path "_selvedge"; host "a b"; timeouts { connect "0s" }; stream "x"
              |          ^^^^^^^^^^^
            help: it begins with `/`: "/_selvedge"

            error[E0118]: "a b" is not a host
             --> selvedge.kdl:3:28
              |
            3 |     path "_selvedge"; host "a b"; timeouts { connect "0s" }; stream "x"
              |                            ^^^^^
            help: write a name such as "example.com"

            error[E0109]: "0s" is out of range
             --> selvedge.kdl:3:54
              |
            3 |     path "_selvedge"; host "a b"; timeouts { connect "0s" }; stream "x"
              |                                                      ^^^^
            help: allowed: 1ms to 7d

            error[E0102]: unknown node `stream` in `core`
             --> selvedge.kdl:3:62
              |
            3 |     path "_selvedge"; host "a b"; timeouts { connect "0s" }; stream "x"
              |                                                              ^^^^^^
            help: did you mean `streams`?

            4 errors; `selvedge explain E0119` says more
        "#]],
    );
    inside(
        &format!("socket \"/{}\"", "x".repeat(120)),
        expect![[r#"
        error[E0109]: the path of a socket has at most 107 bytes, and /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx has 121
         --> selvedge.kdl:3:12
          |
        3 |     socket "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
          |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        help: add `socket "/run/selvedge/core.sock"` or another short path

        1 error; `selvedge explain E0109` says more
    "#]],
    );
}

#[test]
fn edges_elsewhere() {
    inside(
        "listen \"10.0.0.5\" { cert \"a.pem\"; key \"a.key\"; edges \"a b\" }",
        expect![[r#"
        error[E0106]: `listen` has no `client-ca`
         --> selvedge.kdl:3:5
          |
        3 |     listen "10.0.0.5" { cert "a.pem"; key "a.key"; edges "a b" }
          |     ^^^^^^
        help: add `client-ca "edges.pem"`

        error[E0121]: "10.0.0.5" is not an address to listen on
         --> selvedge.kdl:3:12
          |
        3 |     listen "10.0.0.5" { cert "a.pem"; key "a.key"; edges "a b" }
          |            ^^^^^^^^^^
        help: add a port: "10.0.0.5:8080"

        error[E0118]: "a b" is not the name of a server
         --> selvedge.kdl:3:58
          |
        3 |     listen "10.0.0.5" { cert "a.pem"; key "a.key"; edges "a b" }
          |                                                          ^^^^^
        help: write a DNS name or an IP address without port, such as "api.example.com"

        3 errors; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "listen \"10.0.0.5:8444\"",
        expect![[r#"
        error[E0106]: `listen` has no `cert`
         --> selvedge.kdl:3:5
          |
        3 |     listen "10.0.0.5:8444"
          |     ^^^^^^
        help: add `cert "core.pem"`

        error[E0106]: `listen` has no `key`
         --> selvedge.kdl:3:5
          |
        3 |     listen "10.0.0.5:8444"
          |     ^^^^^^
        help: add `key "core.key"`

        error[E0106]: `listen` has no `client-ca`
         --> selvedge.kdl:3:5
          |
        3 |     listen "10.0.0.5:8444"
          |     ^^^^^^
        help: add `client-ca "edges.pem"`

        3 errors; `selvedge explain E0106` says more
    "#]],
    );
    check(
        "core {\n    data-dir \"data\"\n    limits { in-flight 5 }\n    grant \"a:b\"\n    remote \"unix:/x\" { cert \"a.pem\"; key \"nowhere.key\" }\n}\n",
        expect![[r#"
            error[E0127]: `data-dir` belongs to the machine that the core runs on
             --> selvedge.kdl:2:5
              |
            2 |     data-dir "data"
              |     ^^^^^^^^
            note: this says that it runs elsewhere
             --> selvedge.kdl:5:5
              |
            5 |     remote "unix:/x" { cert "a.pem"; key "nowhere.key" }
              |     ^^^^^^
            help: remove `data-dir`, or `remote`

            error[E0127]: `limits in-flight` belongs to the machine that the core runs on
             --> selvedge.kdl:3:24
              |
            3 |     limits { in-flight 5 }
              |                        ^
            note: this says that it runs elsewhere
             --> selvedge.kdl:5:5
              |
            5 |     remote "unix:/x" { cert "a.pem"; key "nowhere.key" }
              |     ^^^^^^
            help: remove `limits in-flight`, or `remote`

            error[E0127]: `grant` belongs to the machine that the core runs on
             --> selvedge.kdl:4:5
              |
            4 |     grant "a:b"
              |     ^^^^^
            note: this says that it runs elsewhere
             --> selvedge.kdl:5:5
              |
            5 |     remote "unix:/x" { cert "a.pem"; key "nowhere.key" }
              |     ^^^^^^
            help: remove `grant`, or `remote`

            error[E0121]: a core elsewhere is not behind a unix socket
             --> selvedge.kdl:5:12
              |
            5 |     remote "unix:/x" { cert "a.pem"; key "nowhere.key" }
              |            ^^^^^^^^^
            help: write its address and port, or `data-dir` and `socket` for one on this machine

            error[E0125]: "nowhere.key" is not there
             --> selvedge.kdl:5:42
              |
            5 |     remote "unix:/x" { cert "a.pem"; key "nowhere.key" }
              |                                          ^^^^^^^^^^^^^
            help: looked for /nowhere.key; relative paths start at the folder of this file

            5 errors; `selvedge explain E0127` says more
        "#]],
    );
}

#[test]
fn tokens() {
    inside(
        "token \"ci\"",
        expect![[r#"
        error[E0106]: `token` has no `secret`
         --> selvedge.kdl:3:5
          |
        3 |     token "ci"
          |     ^^^^^
        help: add `secret (env)"TOKEN"`

        1 error; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "token \"ci\" { secret \"short\"; scopes \"Streams:read\"; tenant \"a b\"; role \"x\" }",
        expect![[r#"
            error[E0131]: a secret is not written into a config
             --> selvedge.kdl:3:25
              |
            3 |     token "ci" { secret "short"; scopes "Streams:read"; tenant "a b"; role "x" }
              |                         ^^^^^^^
            help: write (env)"NAME" or (file)"path"

            error[E0131]: "Streams:read" is not a scope
             --> selvedge.kdl:3:41
              |
            3 |     token "ci" { secret "short"; scopes "Streams:read"; tenant "a b"; role "x" }
              |                                         ^^^^^^^^^^^^^^
            help: write it like "streams:read", "streams:*" or "*"

            error[E0129]: "a b" cannot be an id
             --> selvedge.kdl:3:64
              |
            3 |     token "ci" { secret "short"; scopes "Streams:read"; tenant "a b"; role "x" }
              |                                                                ^^^^^
            help: 1 to 64 letters, digits, `-`, `_` or `.`

            error[E0102]: unknown node `role` in `token`
             --> selvedge.kdl:3:71
              |
            3 |     token "ci" { secret "short"; scopes "Streams:read"; tenant "a b"; role "x" }
              |                                                                       ^^^^
            help: known here: `secret`, `scopes` or `tenant`

            4 errors; `selvedge explain E0131` says more
        "#]],
    );
}

#[test]
fn grants() {
    inside(
        "grant",
        expect![[r#"
        error[E0106]: `grant` needs scopes such as "streams:read"
         --> selvedge.kdl:3:5
          |
        3 |     grant
          |     ^^^^^
        help: write scopes such as "streams:read" behind `grant`

        1 error; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "grant \"streams:read\" \"streams:**\" roles=\"editor\"",
        expect![[r#"
        error[E0131]: "streams:**" is not a scope
         --> selvedge.kdl:3:26
          |
        3 |     grant "streams:read" "streams:**" roles="editor"
          |                          ^^^^^^^^^^^^
        help: write it like "streams:read", "streams:*" or "*"

        error[E0103]: unknown property `roles` of `grant`
         --> selvedge.kdl:3:39
          |
        3 |     grant "streams:read" "streams:**" roles="editor"
          |                                       ^^^^^^^^^^^^^^
        help: did you mean `role`?

        2 errors; `selvedge explain E0131` says more
    "#]],
    );
}

#[test]
fn streams() {
    inside(
        "streams { append \"8MiB\"; page \"1KiB\"; long-poll \"2h\"; followers 0; age \"1s\"; origins \"https://App.example.com/x\"; ttl \"1d\" }",
        expect![[r#"
            error[E0109]: "8MiB" is out of range
             --> selvedge.kdl:3:22
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                      ^^^^^^
            help: allowed: 1B to 7MiB

            error[E0109]: "1KiB" is out of range
             --> selvedge.kdl:3:35
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                   ^^^^^^
            help: allowed: 4KiB to 64MiB

            error[E0109]: "2h" is out of range
             --> selvedge.kdl:3:53
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                                     ^^^^
            help: allowed: 1s to 1h

            error[E0109]: 0 is out of range
             --> selvedge.kdl:3:69
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                                                     ^
            help: allowed: 1 to 1000000

            error[E0109]: "1s" is out of range
             --> selvedge.kdl:3:76
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                                                            ^^^^
            help: allowed: 1m to 3650d

            error[E0131]: "https://App.example.com/x" is not an origin
             --> selvedge.kdl:3:90
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^
            help: write it as browsers do, in small letters and without a path: "https://app.example.com"

            error[E0102]: unknown node `ttl` in `streams`
             --> selvedge.kdl:3:119
              |
            3 |     streams { append "8MiB"; page "1KiB"; long-poll "2h"; followers 0; age "1s"; origins "https://App.example.com/x"; ttl "1d" }
              |                                                                                                                       ^^^
            help: known here: `append`, `append-rate`, `page`, `long-poll`, `events`, `followers`, `per-tenant`, `age`, `size` or `origins`

            7 errors; `selvedge explain E0109` says more
        "#]],
    );
}

#[test]
fn what_a_view_is() {
    inside(
        "view",
        expect![[r#"
        error[E0106]: `view` needs a name
         --> selvedge.kdl:3:5
          |
        3 |     view
          |     ^^^^
        help: write a name behind `view`

        error[E0106]: `view` has no `stream`
         --> selvedge.kdl:3:5
          |
        3 |     view
          |     ^^^^
        help: add `stream "orders"`

        error[E0106]: the view computes nothing
         --> selvedge.kdl:3:5
          |
        3 |     view
          |     ^^^^
        help: add `count "orders"`, `sum "revenue" of="amount"`, `latest-by "id"` or `sql "SELECT …"`

        3 errors; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "view \"v\" { stream \"s\" }",
        expect![[r#"
        error[E0106]: the view computes nothing
         --> selvedge.kdl:3:5
          |
        3 |     view "v" { stream "s" }
          |     ^^^^
        help: add `count "orders"`, `sum "revenue" of="amount"`, `latest-by "id"` or `sql "SELECT …"`

        1 error; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "view \"v\" { stream \"s\"; sql \"SELECT 1\"; count \"n\"; group-by \"a\" }",
        expect![[r#"
            error[E0127]: `count` does not go together with what the view is
             --> selvedge.kdl:3:44
              |
            3 |     view "v" { stream "s"; sql "SELECT 1"; count "n"; group-by "a" }
              |                                            ^^^^^
            note: `sql` says what it is
             --> selvedge.kdl:3:28
              |
            3 |     view "v" { stream "s"; sql "SELECT 1"; count "n"; group-by "a" }
              |                            ^^^
            help: remove `count`, or `sql`; a second view may have it

            error[E0127]: `group-by` does not go together with what the view is
             --> selvedge.kdl:3:55
              |
            3 |     view "v" { stream "s"; sql "SELECT 1"; count "n"; group-by "a" }
              |                                                       ^^^^^^^^
            note: `sql` says what it is
             --> selvedge.kdl:3:28
              |
            3 |     view "v" { stream "s"; sql "SELECT 1"; count "n"; group-by "a" }
              |                            ^^^
            help: remove `group-by`, or `sql`; a second view may have it

            2 errors; `selvedge explain E0127` says more
        "#]],
    );
    inside(
        "view \"v\" { stream \"s\"; latest-by \"id\"; sum \"n\" of=\"a\" }\n    view \"v\" { stream \"t\"; count \"n\"; deleted \"gone\" }",
        expect![[r#"
            error[E0127]: `sum` does not go together with what the view is
             --> selvedge.kdl:3:44
              |
            3 |     view "v" { stream "s"; latest-by "id"; sum "n" of="a" }
              |                                            ^^^
            note: `latest-by` says what it is
             --> selvedge.kdl:3:28
              |
            3 |     view "v" { stream "s"; latest-by "id"; sum "n" of="a" }
              |                            ^^^^^^^^^
            help: remove `sum`, or `latest-by`; a second view may have it

            error[E0110]: two views have the name `v`
             --> selvedge.kdl:4:10
              |
            4 |     view "v" { stream "t"; count "n"; deleted "gone" }
              |          ^^^
            note: first written here
             --> selvedge.kdl:3:5
              |
            3 |     view "v" { stream "s"; latest-by "id"; sum "n" of="a" }
              |     ^^^^
            help: give one of them another name

            error[E0127]: `deleted` does not go together with what the view is
             --> selvedge.kdl:4:39
              |
            4 |     view "v" { stream "t"; count "n"; deleted "gone" }
              |                                       ^^^^^^^
            note: `count` says what it is
             --> selvedge.kdl:4:5
              |
            4 |     view "v" { stream "t"; count "n"; deleted "gone" }
              |     ^^^^
            help: it belongs to `latest-by`; remove it

            3 errors; `selvedge explain E0127` says more
        "#]],
    );
}

#[test]
fn what_a_view_computes() {
    inside(
        "view \"v\" { stream \"\"; rows 0; where \"a\" \"~\" 1; where \"b\" \"=\"; group-by \"c\" bucket=\"week\"; count \"c\"; sum \"n\"; top \"t\" of=\"x\" most=1000; median \"m\" of=\"y\" }",
        expect![[r#"
            error[E0119]: "" cannot be the path of a stream
             --> selvedge.kdl:3:23
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                       ^^
            help: write what its clients write behind `/streams/`, such as "orders" or "orders/eu"

            error[E0109]: 0 is out of range
             --> selvedge.kdl:3:32
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                ^
            help: allowed: 1 to 10000000

            error[E0120]: "~" is none of the choices
             --> selvedge.kdl:3:45
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                             ^^^
            help: did you mean `<`?

            error[E0104]: `where` does not take this argument
             --> selvedge.kdl:3:49
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                 ^
            help: remove it

            error[E0106]: `where` needs a value
             --> selvedge.kdl:3:52
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                    ^^^^^
            help: write a value behind `where`

            error[E0120]: "week" is none of the choices
             --> selvedge.kdl:3:80
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                                                ^^^^^^^^^^^^^
            help: it is one of `minute`, `hour` or `day`

            error[E0106]: `sum` does not say of which field
             --> selvedge.kdl:3:106
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                                                                          ^^^
            help: write `sum "name" of="field"`

            error[E0109]: 1000 is out of range
             --> selvedge.kdl:3:130
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                                                                                                  ^^^^^^^^^
            help: allowed: 1 to 100

            error[E0102]: unknown node `median` in `view`
             --> selvedge.kdl:3:141
              |
            3 |     view "v" { stream ""; rows 0; where "a" "~" 1; where "b" "="; group-by "c" bucket="week"; count "c"; sum "n"; top "t" of="x" most=1000; median "m" of="y" }
              |                                                                                                                                             ^^^^^^
            help: known here: `stream`, `tenant`, `rows`, `where`, `group-by`, `count`, `sum`, `average`, `min`, `max`, `first`, `latest`, `top`, `distinct`, `latest-by`, `deleted` or `sql`

            9 errors; `selvedge explain E0119` says more
        "#]],
    );
}

#[test]
fn waking_devices() {
    inside(
        "sync { push { every \"0s\"; key \"none.pem\" } }",
        expect![[r#"
        error[E0106]: `push` has no `contact`
         --> selvedge.kdl:3:12
          |
        3 |     sync { push { every "0s"; key "none.pem" } }
          |            ^^^^
        help: add `contact "mailto:ops@example.com"`

        error[E0109]: "0s" is out of range
         --> selvedge.kdl:3:25
          |
        3 |     sync { push { every "0s"; key "none.pem" } }
          |                         ^^^^
        help: allowed: 1s to 1d

        error[E0125]: "none.pem" is not there
         --> selvedge.kdl:3:35
          |
        3 |     sync { push { every "0s"; key "none.pem" } }
          |                                   ^^^^^^^^^^
        help: looked for /none.pem; relative paths start at the folder of this file

        3 errors; `selvedge explain E0106` says more
    "#]],
    );
    inside(
        "sync { push { contact \"ops\"; services \"https://push.example\" \"http://10.0.0.5\"; after \"2d\" } }",
        expect![[r#"
            error[E0131]: "ops" is nobody whom a push service can write to
             --> selvedge.kdl:3:27
              |
            3 |     sync { push { contact "ops"; services "https://push.example" "http://10.0.0.5"; after "2d" } }
              |                           ^^^^^
            help: write "mailto:ops@example.com", or the "https://…" of a page that says who you are

            error[E0121]: "https://push.example" is no push service
             --> selvedge.kdl:3:43
              |
            3 |     sync { push { contact "ops"; services "https://push.example" "http://10.0.0.5"; after "2d" } }
              |                                           ^^^^^^^^^^^^^^^^^^^^^^
            help: write a host such as "push.example.com", "*.push.example.com" or "push.example.com:8443"; without TLS it is on this machine: "http://127.0.0.1:8443"

            error[E0121]: "http://10.0.0.5" is no push service
             --> selvedge.kdl:3:66
              |
            3 |     sync { push { contact "ops"; services "https://push.example" "http://10.0.0.5"; after "2d" } }
              |                                                                  ^^^^^^^^^^^^^^^^^
            help: write a host such as "push.example.com", "*.push.example.com" or "push.example.com:8443"; without TLS it is on this machine: "http://127.0.0.1:8443"

            error[E0109]: "2d" is out of range
             --> selvedge.kdl:3:91
              |
            3 |     sync { push { contact "ops"; services "https://push.example" "http://10.0.0.5"; after "2d" } }
              |                                                                                           ^^^^
            help: allowed: 0s to 1d

            4 errors; `selvedge explain E0131` says more
        "#]],
    );
}
