//! Agents: what the blocks mean, what the agents are told, what routes make of them.

mod defaults;
mod settings;

use std::time::Duration;

use expect_test::expect;
use selvedge_base::ByteSize;
use selvedge_config::*;

use crate::language::{environment, everything};

fn read(text: &str) -> Loaded {
    parse_str("/etc/selvedge.kdl", text, &environment()).unwrap()
}

#[test]
fn an_agent_of_our_own() {
    let config = everything();
    let Agent {
        id,
        kind,
        program,
        settings: _,
        events,
        timeout,
        failure_mode,
        concurrency,
        breaker,
        body_max,
        after,
        identity_headers,
    } = &*config.agents["auth"];
    assert_eq!((id.as_ref(), kind.as_str()), ("auth", "auth"));
    expect![[r#"
        Own(
            Auth,
            AgentProcess {
                threads: 2,
                sandbox: Sandbox {
                    memory: ByteSize(
                        67108864,
                    ),
                    descriptors: 128,
                    landlock: false,
                    seccomp: false,
                    read: [
                        "/etc",
                        "/etc/ca.pem",
                        "/etc/keys",
                        "/etc/public",
                    ],
                    write: [
                        "/etc/logs",
                    ],
                },
                restart: Restart {
                    backoff: 50ms,
                    backoff_max: 5s,
                },
            },
        )
    "#]]
    .assert_eq(&format!("{program:#?}\n"));
    assert_eq!(*events, [AgentEvent::RequestHeaders]);
    assert_eq!(*timeout, Duration::from_millis(90));
    assert_eq!(*failure_mode, FailureMode::Closed);
    assert_eq!(*concurrency, 300);
    assert_eq!(breaker.failure_threshold, 6);
    assert_eq!(*body_max, ByteSize::kib(64));
    assert!(after.is_empty());
    assert_eq!(*identity_headers, ["x-org", "x-user-email", "x-user-id", "x-user-role"]);
    assert_eq!(config.agents["limits"].after, ["auth".into()]);
}

#[test]
fn what_a_route_asks() {
    let config = everything();
    let route = config.routes.iter().find(|route| &*route.id == "guarded").unwrap();
    let lines = route.agents.iter().map(|agent| {
        let RouteAgent { id, failure_mode, options, after, stage } = agent;
        format!("{stage} {id} {failure_mode} {after:?} {options:?}\n")
    });
    expect![[r#"
        0 auth closed [] {"anonymous": "false", "roles": "admin,team lead", "scopes": "orders:read orders:write"}
        1 limits open [0] {"cost": "5", "policy": "per-user"}
        1 schema closed [0] {"document": "orders", "report-only": "false", "schema": "any,order"}
        0 geo closed [] {}
        0 waf open [] {"tier": "gold,1,true"}
        0 scanner closed [] {}
        0 policies closed [] {}
        0 authelia closed [] {}
    "#]].assert_eq(&lines.collect::<String>());
    let choices = [("gold", "spare"), ("free tier", "backend")];
    let choices = choices.map(|(value, id)| (value.to_owned(), Id::from(id)));
    assert_eq!(
        route.upstream_by,
        Some(UpstreamBy { value: "plan".into(), choices: choices.into() })
    );
}

#[test]
fn options_of_a_route_arrive() {
    let config = everything();
    let route = config.routes.iter().find(|route| &*route.id == "guarded").unwrap();
    let options = |id: &str| &route.agents.iter().find(|agent| &*agent.id == id).unwrap().options;
    let text = |options: &'static str| options.to_owned();
    let get = |id: &'static str| move |name: &str| options(id).get(name).map(String::as_str);
    assert_eq!(
        auth::RouteOptions::read(get("auth")),
        auth::RouteOptions {
            roles: vec![text("admin"), text("team lead")],
            scopes: vec![text("orders:read"), text("orders:write")],
            anonymous: Some(false),
        }
    );
    assert_eq!(
        rate_limit::RouteOptions::read(get("limits")),
        rate_limit::RouteOptions { policies: vec![text("per-user")], cost: Some(5) }
    );
    assert_eq!(
        schema::RouteOptions::read(get("schema")),
        schema::RouteOptions {
            documents: vec![text("orders")],
            schemas: vec![text("any"), text("order")],
            report_only: Some(false),
        }
    );
    let nothing = |_: &str| None;
    assert_eq!(auth::RouteOptions::read(nothing), auth::RouteOptions::default());
    assert_eq!(rate_limit::RouteOptions::read(nothing), rate_limit::RouteOptions::default());
    assert_eq!(schema::RouteOptions::read(nothing), schema::RouteOptions::default());
}

#[test]
fn identity_headers_of_all_agents_are_taken_off() {
    let names = everything().identity_headers();
    let of_core = |name: &&String| CORE_FIELDS.contains(&name.as_str());
    assert_eq!(names.iter().filter(of_core).count(), CORE_FIELDS.len());
    let of_agents: Vec<_> = names.iter().filter(|name| !name.starts_with("x-selvedge")).collect();
    assert_eq!(
        of_agents,
        [
            "remote-groups",
            "remote-user",
            "x-org",
            "x-user-email",
            "x-user-id",
            "x-user-role",
            "x-user-scope",
            "x-user-tenant"
        ]
    );
    let auth = "agent \"a\" { type \"auth\"; grpc address=\"http://localhost:1\" }";
    assert_eq!(read(auth).config.identity_headers(), ["x-user-id", "x-user-role"]);
    let written = "agent \"a\" { type \"auth\"; client-certificate; identity-headers \"X-Me\" }";
    assert_eq!(read(written).config.identity_headers(), ["x-me", "x-user-id", "x-user-role"]);
    let other = "agent \"a\" { type \"other\"; grpc address=\"http://localhost:1\" }";
    assert_eq!(read(other).config.identity_headers(), [""; 0]);
}

/// The agents of a route as `stage id(places waited for)`.
#[track_caller]
fn check_plan(route: &str, expected: &str) {
    let text = format!(
        r#"
        agent "a" {{ type "x"; address "unix:a" }}
        agent "b" {{ type "x"; address "unix:b"; after "a" }}
        agent "c" {{ type "x"; address "unix:c"; after "b"; failure-mode "open" }}
        agent "d" {{ type "x"; address "unix:d" }}
        route "r" {{ respond 200; {route} }}"#
    );
    let config = read(&text).config;
    let agents = config.routes[0].agents.iter().map(|agent| {
        let RouteAgent { id, failure_mode, options, after, stage } = agent;
        format!("{stage} {id}{after:?} {failure_mode} {options:?}")
    });
    assert_eq!(agents.collect::<Vec<_>>().join("; "), expected);
}

#[test]
fn a_route_asks_in_the_order_in_which_agents_are_first_named() {
    check_plan("agents \"d\" \"c\" \"a\"", "0 d[] closed {}; 1 c[2] open {}; 0 a[] closed {}");
    check_plan(
        "agent \"d\" { x 1 }; agent \"b\" failure-mode=\"open\"; agents \"a\"",
        "0 d[] closed {\"x\": \"1\"}; 1 b[2] open {}; 0 a[] closed {}",
    );
    check_plan(
        "agents \"a\" \"d\" \"c\" \"b\"; agent \"c\" failure-mode=\"closed\" { x \"y\" \"z\" }",
        "0 a[] closed {}; 0 d[] closed {}; 2 c[0, 3] closed {\"x\": \"y,z\"}; 1 b[0] closed {}",
    );
}
