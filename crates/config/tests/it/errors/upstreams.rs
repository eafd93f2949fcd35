//! Mistakes in upstreams.

use super::*;

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
