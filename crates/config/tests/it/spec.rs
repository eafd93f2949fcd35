//! What was promised word for word.

use expect_test::expect;
use selvedge_config::{
    Action, AgentEvent, AgentSettings, Breaker, FailureMode, MemoryEnvironment, Report,
    TargetAddress, bridge::Service, parse_str,
};

const CONFIG: &str = r#"listener "http" { address "127.0.0.1:8080" }
listener "https" {
    address "127.0.0.1:8443"
    tls { cert "site.pem"; key "site.key" }
}
upstream "backend" {
    target "127.0.0.1:9000"
    target "127.0.0.1:9001" weight=2
    health { http "/healthz"; every "5s" }
}
route "api" {
    matches { host "example.com"; path-prefix "/api" }
    agents "auth" "waf" "rate-limit"
    upstream "backend"
    limits { body "1MiB" }
}
route "site" {
    matches { path-prefix "/" }
    static "./public"
}
core { data-dir "./data" }
"#;

const AGENTS: &str = r#"agent "auth" {
    type "auth"
    grpc address="http://localhost:50051"
    events "request_headers"
    timeout-ms 100
    failure-mode "closed"
    max-concurrent-calls 100
}
agent "waf" {
    type "waf"
    timeout-ms 100
    failure-mode "closed"
    max-concurrent-calls 50
    circuit-breaker {
        failure-threshold 5
        success-threshold 2
        timeout-seconds 30
    }
}
"#;

fn environment() -> MemoryEnvironment {
    MemoryEnvironment::default()
        .with_file("/etc/site.pem", "")
        .with_file("/etc/site.key", "")
        .with_file("/etc/public/index.html", "")
}

#[test]
fn the_config_is_read_verbatim_and_names_agents_that_have_no_block() {
    let report: Report = parse_str("/etc/selvedge.kdl", CONFIG, &environment()).unwrap_err();
    expect![[r#"
        error[E0113]: there is no agent `auth`
          --> /etc/selvedge.kdl:13:12
           |
        13 |     agents "auth" "waf" "rate-limit"
           |            ^^^^^^
        help: add `agent "auth" { type "auth"; … }`

        error[E0113]: there is no agent `waf`
          --> /etc/selvedge.kdl:13:19
           |
        13 |     agents "auth" "waf" "rate-limit"
           |                   ^^^^^
        help: add `agent "waf" { type "waf"; … }`

        error[E0113]: there is no agent `rate-limit`
          --> /etc/selvedge.kdl:13:25
           |
        13 |     agents "auth" "waf" "rate-limit"
           |                         ^^^^^^^^^^^^
        help: add `agent "rate-limit" { type "rate-limit"; … }`

        3 errors; `selvedge explain E0113` says more
    "#]]
    .assert_eq(&report.to_string());
}

#[test]
fn the_config_with_its_agents_is_whole() {
    let limits = r#"agent "rate-limit" {
    type "rate-limit"
    policy "per-client" { limit 100 per="1s" }
}
"#;
    let text = format!("{}{AGENTS}{limits}", CONFIG);
    let loaded = parse_str("/etc/selvedge.kdl", &text, &environment()).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(|one| (one.code, &*one.message)).collect();
    assert_eq!(warnings, []);
    let config = loaded.config;
    let asked: Vec<&str> = config.routes[0].agents.iter().map(|agent| &*agent.id).collect();
    assert_eq!(asked, ["auth", "waf", "rate-limit"]);
    assert_eq!(config.listeners.len(), 2);
    let backend = &config.upstreams["backend"];
    assert_eq!(backend.targets[1].weight, 2);
    assert_eq!(
        backend.targets[1].address,
        TargetAddress::Socket("127.0.0.1:9001".parse().unwrap())
    );
    let Action::Static(site) = &config.routes[1].action else { panic!("not a site") };
    assert_eq!(site.root.to_str(), Some("/etc/public"));
    assert_eq!(config.core.unwrap().process().unwrap().data_dir.to_str(), Some("/etc/data"));
}

#[test]
fn agents_are_read_verbatim() {
    let config = parse_str("selvedge.kdl", AGENTS, &environment()).unwrap().config;
    let (auth, waf) = (&config.agents["auth"], &config.agents["waf"]);
    assert_eq!(auth.kind, "auth");
    let AgentSettings::Bridge(bridge) = &auth.settings else { panic!("not a service") };
    let Service::Grpc(grpc) = &bridge.service else { panic!("not gRPC") };
    assert_eq!(grpc.address, "http://localhost:50051");
    assert_eq!(auth.events, [AgentEvent::RequestHeaders]);
    assert_eq!(auth.failure_mode, FailureMode::Closed);
    assert_eq!(auth.breaker.failure_threshold, 3);
    assert!(matches!(&waf.settings, AgentSettings::Waf(settings) if settings.native));
    assert_eq!(waf.concurrency, 50);
    let Breaker { failure_threshold, success_threshold, window, timeout } = waf.breaker;
    assert_eq!((failure_threshold, success_threshold), (5, 2));
    assert_eq!((window.as_secs(), timeout.as_secs()), (30, 30));
}
