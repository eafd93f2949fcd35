//! Mistakes in routes.

use super::*;

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
            help: add one of `upstream "…"`, `core`, `static "…"`, `redirect "…"`, `respond 200`

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
