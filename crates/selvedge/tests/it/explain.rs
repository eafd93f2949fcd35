use expect_test::{Expect, expect};

use crate::process::Place;

const CONFIG: &str = r#"
workers 1
listener "web" { address "127.0.0.1:8080" }
listener "tls" {
    address "127.0.0.1:8443"
    tls { self-signed "localhost" }
}
upstream "app" {
    target "127.0.0.1:9000"
    target "unix:/run/app.sock" weight=3
    balance "consistent-hash" key="header:x-user"
    health { tcp }
}
route "api" {
    matches { host "example.com"; path-prefix "/api"; method "GET" }
    upstream "app"
    rewrite { strip-prefix "/api"; host "inner.example" }
    request-headers { set "X-Key" "hidden"; remove "Cookie" }
    compress #true
}
route "old" {
    matches { path "/old" }
    redirect "https://example.com/new{query}"
}
route "beta" {
    matches { path "/"; header "x-beta" }
    respond 404 "no\n"
}
"#;

#[track_caller]
fn check(args: &[&str], expected: Expect) {
    let place = Place::new();
    place.write("selvedge.kdl", CONFIG);
    let args: Vec<&str> = ["explain"].iter().chain(args).copied().collect();
    expected.assert_eq(&place.run_args(&args));
}

#[test]
fn a_request_to_an_upstream() {
    check(
        &["http://example.com:8080/api/users?page=2"],
        expect![[r#"
            exit 0
            --- stdout
            listener "web" (127.0.0.1:8080)
            GET example.com/api/users
            route "api" (selvedge.kdl:14)
              host wants example.com, is "example.com": holds
              path wants prefix /api, is "/api/users": holds
              method wants GET, is "GET": holds
            comes later and does not match:
              "beta" (selvedge.kdl:25): path wants exactly /, is "/api/users"
              "old" (selvedge.kdl:21): path wants exactly /old, is "/api/users"

            what happens
              upstream "app" is asked for /users?page=2 (consistent hash of header x-user, HTTP/1.1)
                127.0.0.1:9000
                unix:/run/app.sock (weight 3)
              request: host becomes inner.example
              request: set x-key
              request: remove cookie
              response: compressed by zstd, br, gzip from 1KiB

            bounds on the way
            listener "web"
              timeouts head                     10s  default         408, then the connection closes
              timeouts body                     30s  default         408, then the connection closes
              timeouts write                    30s  default         the connection closes
              timeouts idle                     75s  default         the connection closes
            route "api"
              limits body                     10MiB  default         413
              limits in-flight                 none  default         503 with Retry-After
            upstream "app"
              timeouts connect                   5s  default         504; 503 when the pool was full
              timeouts first-byte                1m  default         504
              timeouts idle                      1m  default         the response is cut
              timeouts whole                   none  default         504, or the response is cut
              pool connections                10000  default         wait bounded by the connect timeout, then 503
              pool idle                         256  default         the connection closes after its response
              pool idle-timeout                  1m  default         the connection closes
              retry attempts                      1  default         the last answer or error is passed on
              retry budget-percent              20%  default         no retry
              retry per-attempt                none  default         the attempt counts as failed
              health every                      10s  default         the next probe
              health timeout                     2s  default         the probe counts as failed
              health healthy                      2  default         the target is used again
              health unhealthy                    3  default         the target is used no more
              ejection failures                   5  default         the target rests
              ejection rest                     10s  default         the target is tried again
              ejection most-percent             50%  default         no further target rests
            process
              limits connections              10000  default         refused, counted
              limits connections-per-address    256  default         refused, counted
              limits head                     32KiB  default         431
              limits head-fields                100  default         431
              limits in-flight                10000  default         503 with Retry-After
              limits upstream-connections     10000  default         wait bounded by the connect timeout, then 503
              limits route-cache               4096  default         the least recently used entry goes
              limits response-head            64KiB  default         502
              workers                             1  selvedge.kdl:2  one thread and one runtime each; connections share them
              drain-timeout                     30s  default         requests still running are cut
        "#]],
    );
}

#[test]
fn a_redirect() {
    check(
        &["http://example.com/old?x=1"],
        expect![[r#"
            exit 0
            --- stdout
            listener "web" (127.0.0.1:8080)
            GET example.com/old
            route "old" (selvedge.kdl:21)
              path wants exactly /old, is "/old": holds
            passed over:
              "api" (selvedge.kdl:14): path wants prefix /api, is "/old"
              "beta" (selvedge.kdl:25): path wants exactly /, is "/old"

            what happens
              the answer is 308 with Location: https://example.com/new?x=1

            bounds on the way
            listener "web"
              timeouts head                     10s  default         408, then the connection closes
              timeouts body                     30s  default         408, then the connection closes
              timeouts write                    30s  default         the connection closes
              timeouts idle                     75s  default         the connection closes
            route "old"
              limits body                     10MiB  default         413
              limits in-flight                 none  default         503 with Retry-After
            process
              limits connections              10000  default         refused, counted
              limits connections-per-address    256  default         refused, counted
              limits head                     32KiB  default         431
              limits head-fields                100  default         431
              limits in-flight                10000  default         503 with Retry-After
              limits upstream-connections     10000  default         wait bounded by the connect timeout, then 503
              limits route-cache               4096  default         the least recently used entry goes
              limits response-head            64KiB  default         502
              workers                             1  selvedge.kdl:2  one thread and one runtime each; connections share them
              drain-timeout                     30s  default         requests still running are cut
        "#]],
    );
}

#[test]
fn a_request_that_no_route_takes() {
    check(
        &["https://example.com/api", "--method", "POST"],
        expect![[r#"
            exit 0
            --- stdout
            listener "tls" (127.0.0.1:8443)
            POST example.com/api
            no route: the answer is 404
            passed over:
              "api" (selvedge.kdl:14): method wants GET, is "POST"
              "beta" (selvedge.kdl:25): path wants exactly /, is "/api"
              "old" (selvedge.kdl:21): path wants exactly /old, is "/api"
        "#]],
    );
}

#[test]
fn programs_get_json_and_headers_decide_too() {
    let place = Place::new();
    place.write("selvedge.kdl", CONFIG);
    let told = place.run_args(&["explain", "/", "--header", "X-Beta: 1", "--format", "json"]);
    let json = told.strip_prefix("exit 0\n--- stdout\n").unwrap();
    let mut told: serde_json::Value = serde_json::from_str(json).unwrap();
    let bounds = told["bounds"].take();
    assert!(bounds.as_array().unwrap().iter().any(|bound| bound["name"] == "limits body"));
    expect![[r#"
        {
          "action": {
            "advice": {
              "agents": [],
              "stripped": []
            },
            "bytes": 3,
            "content_type": "text/plain; charset=utf-8",
            "kind": "respond",
            "status": 404,
            "steps": []
          },
          "bounds": null,
          "host": "localhost",
          "listener": "\"web\" (127.0.0.1:8080)",
          "method": "GET",
          "passed_over": [
            {
              "before": true,
              "failed": {
                "condition": "host",
                "seen": "localhost",
                "wanted": "example.com"
              },
              "file": "selvedge.kdl",
              "id": "api",
              "line": 14
            },
            {
              "before": false,
              "failed": {
                "condition": "path",
                "seen": "/",
                "wanted": "exactly /old"
              },
              "file": "selvedge.kdl",
              "id": "old",
              "line": 21
            }
          ],
          "path": "/",
          "route": {
            "file": "selvedge.kdl",
            "held": [
              {
                "condition": "path",
                "seen": "/",
                "wanted": "exactly /"
              },
              {
                "condition": "header x-beta",
                "seen": "1",
                "wanted": "any value"
              }
            ],
            "id": "beta",
            "line": 25,
            "priority": 0
          },
          "runners_up": []
        }
    "#]]
    .assert_eq(&format!("{told:#}\n"));
}

#[test]
fn a_request_that_is_refused_before_routing() {
    check(
        &["http://example.com/../etc"],
        expect![[r#"
            exit 0
            --- stdout
            listener "web" (127.0.0.1:8080)
            refused with 400: `..` at 1 leaves the root
        "#]],
    );
    check(
        &["/", "-H", "Content-Length: 1", "-H", "Content-Length: 2"],
        expect![[r#"
            exit 0
            --- stdout
            listener "web" (127.0.0.1:8080)
            refused with 400: head-gate/duplicate-content-length
        "#]],
    );
}

#[test]
fn what_is_no_request_is_a_usage_error() {
    check(
        &["ftp://example.com/"],
        expect![[r#"
        exit 64
        --- stderr
        error: the scheme "ftp" is not http or https
    "#]],
    );
    check(
        &["/", "-H", "no header"],
        expect![[r#"
        exit 64
        --- stderr
        error: "no header" is no header; write `--header 'Name: value'`
    "#]],
    );
}

#[test]
fn codes_have_pages() {
    check(
        &["W0201"],
        expect![[r#"
        exit 0
        --- stdout
        # W0201: upstream without health check

        Without an active check, targets are presumed healthy; passive ejection alone sees a failing target only after requests
        failed.

        ## Example

        ```kdl
        upstream "backend" { target "127.0.0.1:9000" }
        route "all" { upstream "backend" }
        ```

        ## Remedy

        Add `health { http "/healthz" }`, or `health { tcp }` when there is nothing to ask.
    "#]],
    );
    check(
        &["shadowed-route"],
        expect![[r#"
            exit 0
            --- stdout
            ## shadowed-route
            Warning. Two routes hold for some of the same requests, nothing makes one of them more specific, and
            only the order in which they are written decides. Moving one to another file would change what happens.

            Remedy: say which one is meant with `priority`.
        "#]],
    );
    check(
        &["E9999"],
        expect![[r#"
        exit 64
        --- stderr
        error: there is no code E9999; `selvedge check` prints those that matter
    "#]],
    );
}

const GUARDED: &str = r#"
workers 1
listener "web" { address "127.0.0.1:8080" }
upstream "app" { target "127.0.0.1:9000"; health { tcp } }
upstream "gold" { target "127.0.0.1:9001"; health { tcp } }
agent "auth" {
    type "auth"
    issuer "https://id.example.com" { audience "orders" }
    values { "plan" }
}
agent "limits" {
    type "rate-limit"
    after "auth"
    failure-mode "open"
    policy "per-user" { key "header:X-User-Id"; limit 100 per="1s" }
}
agent "opa" {
    type "policy"
    grpc address="http://localhost:9191" { protocol "ext_authz" }
    after "auth"
}
agent "geo" {
    type "geo"
    command "geo-agent"
    events "request_headers" "log"
    timeout-ms 20
}
route "api" {
    matches { path-prefix "/api" }
    agents "geo" "limits" "opa" "auth"
    agent "auth" { roles "admin"; scopes "a" "b" }
    agent "geo" failure-mode="open"
    upstream "app"
    upstream-by "plan" { "gold" "gold"; "free" "app" }
}
"#;

#[test]
fn a_request_that_agents_are_asked_about() {
    let place = Place::new();
    place.write("selvedge.kdl", GUARDED);
    let out = place.run_args(&["explain", "/api/x"]);
    let (_, rest) = out.split_once("holds\n\n").unwrap();
    let (told, _) = rest.split_once("\nbounds").unwrap();
    expect![[r#"
            what happens
              request: x-user-id, x-user-role are taken off, whoever sent them
              asked first, side by side:
                agent "geo" of type geo (command geo-agent)
                  request_headers, log within 20ms, else open
                agent "auth" of type auth (selvedge agent auth)
                  request_headers within 100ms, else closed
                  anonymous false
                  roles admin
                  scopes a b
              asked then, side by side:
                agent "limits" of type rate-limit (selvedge agent rate-limit) after "auth"
                  request_headers within 100ms, else open
                agent "opa" of type policy (ext_authz at http://localhost:9191) after "auth"
                  request_headers within 100ms, else closed
              upstream "app" is asked for /api/x (power of two choices, HTTP/1.1)
                127.0.0.1:9000
              instead of it, upstream "app" where an agent sets plan to "free"
              instead of it, upstream "gold" where an agent sets plan to "gold"
    "#]]
    .assert_eq(told);
}

#[test]
fn bounds_of_agents_are_on_the_way() {
    let place = Place::new();
    place.write("selvedge.kdl", GUARDED);
    let out = place.run_args(&["explain", "/api/x"]);
    let (_, bounds) = out.split_once("bounds on the way\n").unwrap();
    let blocks: Vec<&str> = bounds.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        blocks,
        [
            "listener \"web\"",
            "route \"api\"",
            "agent \"geo\"",
            "agent \"limits\"",
            "agent \"limits\" policy \"per-user\"",
            "agent \"opa\"",
            "agent \"auth\"",
            "agent \"auth\" issuer \"https://id.example.com\"",
            "upstream \"app\"",
            "upstream \"gold\"",
            "process",
        ]
    );
    let limit = bounds.lines().find(|line| line.contains("policy limit")).unwrap();
    assert!(limit.contains("100 per 1s  selvedge.kdl:15"), "{limit}");
}

#[test]
fn programs_get_the_plan_of_agents() {
    let place = Place::new();
    place.write("selvedge.kdl", GUARDED);
    let out = place.run_args(&["explain", "/api/x", "--format", "json"]);
    let (_, json) = out.split_once("--- stdout\n").unwrap();
    let told: serde_json::Value = serde_json::from_str(json).unwrap();
    let advice = &told["action"]["advice"];
    assert_eq!(advice["stripped"], serde_json::json!(["x-user-id", "x-user-role"]));
    let agents: Vec<String> = advice["agents"].as_array().unwrap().iter().map(line).collect();
    expect![[r#"
        0 geo [] ["request_headers","log"] 20 open {} command geo-agent
        0 auth [] ["request_headers"] 100 closed {"anonymous":"false","roles":"admin","scopes":"a b"} selvedge agent auth
        1 limits ["auth"] ["request_headers"] 100 open {} selvedge agent rate-limit
        1 opa ["auth"] ["request_headers"] 100 closed {} ext_authz at http://localhost:9191
    "#]]
    .assert_eq(&agents.concat());
}

fn line(agent: &serde_json::Value) -> String {
    let text = |name: &str| agent[name].as_str().unwrap().to_owned();
    format!(
        "{} {} {} {} {} {} {} {}\n",
        agent["stage"],
        text("id"),
        agent["after"],
        agent["events"],
        agent["timeout_ms"],
        text("failure_mode"),
        agent["options"],
        text("runs"),
    )
}
