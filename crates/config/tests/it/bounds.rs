//! Every bound is listed, with its value and where it comes from.

use std::{collections::BTreeSet, fs, path::Path};

use expect_test::{Expect, expect};
use selvedge_config::{BoundOrigin, MemoryEnvironment, bounds, parse_str};

use crate::language::everything;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let config = parse_str("selvedge.kdl", text, &MemoryEnvironment::default()).unwrap().config;
    let rows = bounds(&config).into_iter().map(|bound| {
        format!(
            "{} · {} = {} ({}): {}\n",
            bound.scope, bound.name, bound.value, bound.origin, bound.at_bound
        )
    });
    expected.assert_eq(&rows.collect::<String>());
}

#[test]
fn bounds_of_an_empty_config() {
    check(
        "",
        expect![[r#"
        process · limits connections = 10000 (default): refused, counted
        process · limits connections-per-address = 256 (default): refused, counted
        process · limits head = 32KiB (default): 431
        process · limits head-fields = 100 (default): 431
        process · limits in-flight = 10000 (default): 503 with Retry-After
        process · limits upstream-connections = 10000 (default): wait bounded by the connect timeout, then 503
        process · limits route-cache = 4096 (default): the least recently used entry goes
        process · limits response-head = 64KiB (default): 502
        process · workers = 2 (default): one thread and one runtime each; connections share them
        process · drain-timeout = 30s (default): requests still running are cut
    "#]],
    );
}

#[test]
fn a_proxy_header_has_the_time_of_a_handshake() {
    let names = |text| {
        let config = parse_str("selvedge.kdl", text, &MemoryEnvironment::default()).unwrap().config;
        bounds(&config).into_iter().map(|bound| bound.name.to_string()).collect::<Vec<_>>()
    };
    let plain = "listener \"a\" { address \"127.0.0.1:0\" }";
    let proxied =
        "listener \"a\" { address \"127.0.0.1:0\"; proxy-protocol { from \"10.0.0.0/8\" } }";
    let handshake = "timeouts handshake".to_owned();
    assert!(!names(plain).contains(&handshake));
    assert!(names(proxied).contains(&handshake));
}

#[test]
fn each_bound_that_is_written_is_found_where_it_is_written() {
    let config = everything();
    let is_default = |bound: &selvedge_config::Bound| bound.origin == BoundOrigin::Default;
    let of_full_blocks = [
        "process",
        "listener \"https\"",
        "upstream \"backend\"",
        "route \"api\"",
        "agent \"waf\"",
        "agent \"auth\"",
        "agent \"auth\" issuer \"https://id.example.com/\"",
        "agent \"limits\"",
        "agent \"limits\" policy \"per-user\"",
        "agent \"schema\"",
    ];
    let rows = bounds(&config);
    for block in of_full_blocks {
        assert!(rows.iter().any(|bound| bound.scope == block), "{block}");
    }
    let forgotten: Vec<_> = rows
        .into_iter()
        .filter(|bound| of_full_blocks.contains(&bound.scope.as_str()) && is_default(bound))
        .collect();
    assert_eq!(forgotten, []);
}

/// The smallest config that has one block of each kind with bounds.
const ONE_OF_EACH: &str = r#"
listener "x" { address "127.0.0.1:0"; protocols "http/1.1" "h2"; tls { self-signed "localhost" } }
upstream "x" { target "127.0.0.1:1"; health { tcp }; circuit-breaker }
route "x" { upstream "x" }
agent "x" { type "auth"; issuer "https://x"; api-keys { file "x.txt" } }
agent "y" {
    type "rate-limit"
    policy "y" { limit 100 per="1s"; delay }
    store "redis" address="redis://127.0.0.1:6379"
}
agent "z" { type "schema"; document "z" { openapi "x.txt" } }
telemetry { otlp "http://127.0.0.1:4318" }
"#;

#[test]
fn the_page_lists_every_bound_with_its_default() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/bounds.md");
    let page = fs::read_to_string(page).unwrap();
    let written: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let environment = MemoryEnvironment::default().with_file("x.txt", "");
    let config = parse_str("selvedge.kdl", ONE_OF_EACH, &environment).unwrap().config;
    let mut seen = BTreeSet::new();
    let actual: Vec<String> = bounds(&config)
        .iter()
        // What all agents have stands there once.
        .filter(|bound| !bound.scope.starts_with("agent") || seen.insert(bound.name))
        .map(|bound| {
            let scope = bound.scope.split(' ').next().unwrap_or_default();
            let value = match (bound.name, scope) {
                // Not numbers of ours: the machine's, and another bound's.
                ("workers", _) => "one per core",
                ("policy limit", _) => "as written",
                ("policy burst", _) => "as `limit`",
                ("bounds size", _) => "as `body-max`",
                ("bounds string-size", _) => "as `size`",
                _ => &bound.value,
            };
            format!("| `{scope}` | `{}` | {value} | {} |", bound.name, bound.at_bound)
        })
        .collect();
    assert_eq!(written, actual, "write these lines:\n{}", actual.join("\n"));
}
