//! From the text of a config to the route of a request, as its users see it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;

use expect_test::{Expect, expect};
use selvedge_config::{Action, Config, MemoryEnvironment, parse_str};
use selvedge_routing::{
    RequestView, RouteCache, Router, lint, normalise_path, redirect_target, rewrite_path,
};

/// The `kdl` blocks of the guide.
fn guide() -> Vec<Config> {
    let page = include_str!("../../../../docs/guide/routing.md");
    let blocks = page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(config).collect()
}

fn config(text: &str) -> Config {
    let text = format!("listener \"http\" {{ address \"127.0.0.1:8080\" }}\n{text}");
    let environment = MemoryEnvironment::default().with_file("public/index.html", "");
    parse_str("selvedge.kdl", &text, &environment).unwrap_or_else(|it| panic!("{it}")).config
}

/// Sends `GET`s, one a line (`host/path?query name:value …`), and shows the routes they take twice.
#[track_caller]
fn check(config: &Config, requests: &str, expected: Expect) {
    assert_eq!(lint(config), []);
    let router = Router::new(config);
    let mut cache = RouteCache::new(config.limits.route_cache);
    let mut answers = String::new();
    for line in requests.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (host, target) = words.next().unwrap().split_once('/').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = words.map(|word| word.split_once(':').unwrap()).collect();
        let path = normalise_path(&format!("/{path}")).unwrap().into_owned();
        let request = RequestView { method: "GET", host, path: &path, query, headers: &headers };
        let first = router.route(&request, &mut cache).map(|it| it.index);
        let again = router.route(&request, &mut cache).map(|it| it.index);
        assert_eq!(first, again);
        assert_eq!(first, router.explain(&request).chosen.map(|it| it.index));
        let outcome = first.map_or("none".to_owned(), |it| outcome(config, it, &request));
        writeln!(answers, "{line} -> {outcome}").unwrap();
    }
    expected.assert_eq(&answers);
}

fn outcome(config: &Config, index: usize, request: &RequestView<'_>) -> String {
    let route = &config.routes[index];
    let mut outcome = route.id.to_string();
    if let Some(rewrite) = &route.rewrite {
        write!(outcome, " as {}", rewrite_path(rewrite, request.path).unwrap()).unwrap();
    }
    if let Action::Redirect(redirect) = &route.action {
        let to = redirect_target(redirect, "http", request.host, request.path, request.query);
        write!(outcome, " to {to}").unwrap();
    }
    outcome
}

#[test]
fn the_guide_is_right() {
    let [first, beta, exports, changes] = guide().try_into().unwrap();
    check(
        &first,
        "example.com/api/users
         example.com/about
         example.com/apix
         other.org/api",
        expect![[r#"
            example.com/api/users -> api
            example.com/about -> site
            example.com/apix -> site
            other.org/api -> site
        "#]],
    );
    check(
        &beta,
        "h/api
         h/api x-beta:yes
         h/api x-beta:no
         h/",
        expect![[r#"
            h/api -> stable
            h/api x-beta:yes -> beta
            h/api x-beta:no -> stable
            h/ -> none
        "#]],
    );
    check(
        &exports,
        "h/api/reports/7/export
         h/api/reports/x/export
         h/api/reports/7/export/x",
        expect![[r#"
            h/api/reports/7/export -> exports
            h/api/reports/x/export -> api
            h/api/reports/7/export/x -> api
        "#]],
    );
    check(
        &changes,
        "www.example.com//evil.org/?a=b
         h/api/%7eann
         h/api
         h/~ann/x
         h/%7eann",
        expect![[r#"
            www.example.com//evil.org/?a=b -> old-name to https://example.com/evil.org/?a=b
            h/api/%7eann -> api as /~ann
            h/api -> api as /
            h/~ann/x -> users as /users/ann/x
            h/%7eann -> users as /users/ann
        "#]],
    );
}

#[test]
fn a_config_with_findings_says_where() {
    let config = config(
        r#"
        route "site" { matches { path-prefix "/a" }; respond 200 }
        route "never" { matches { path-regex "/a/(b|c)" }; respond 200 }
        route "open" { matches { path "/b" }; redirect "//{path}" }
        "#,
    );
    let lines: String = lint(&config).iter().map(|lint| format!("{lint}\n")).collect();
    expect![[r#"
        selvedge.kdl:4: error[unreachable-route]: route "never" is never chosen, because all it holds for goes to route "site" (selvedge.kdl:3) first; give this one a higher priority, narrow the other, or remove one
        selvedge.kdl:5: error[open-redirect]: route "open" redirect "//{path}" would let a request choose the host; write the host, or begin with one `/`
    "#]].assert_eq(&lines);
}
