//! Mistakes in listeners.

use super::*;

#[track_caller]
fn for_address(address: &str, expected: Expect) {
    check(&format!("listener \"a\" {{ address {address:?} }}"), expected);
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
