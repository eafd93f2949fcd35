//! Every setting, with a value that is not its default, arrives.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use expect_test::expect;
use selvedge_base::{ByteSize, Secret};
use selvedge_config::*;

/// Uses every node and property of the language.
pub(crate) const EVERYTHING: &str = include_str!("everything.kdl");

pub(crate) fn environment() -> MemoryEnvironment {
    let files = [
        "site.pem",
        "site.key",
        "other.pem",
        "other.key",
        "ca.pem",
        "public/index.html",
        "logs/x",
        "keys/jwks.json",
        "keys/api.txt",
        "schemas/openapi.yaml",
        "schemas/order.json",
        "schemas/any.json",
        "bin/geo",
    ];
    files
        .iter()
        .fold(MemoryEnvironment::default(), |environment, file| {
            environment.with_file(&format!("/etc/{file}"), "")
        })
        .with_var("OTLP_KEY", "hunter2")
        .with_var("TOKEN_SECRET", &"hunter2".repeat(6))
        .with_var("REDIS_URL", "rediss://:hunter2@redis.internal:6379/1")
}

pub(crate) fn everything() -> Config {
    parse_str("/etc/selvedge.kdl", EVERYTHING, &environment()).unwrap().config
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/etc").join(name)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn listeners() {
    let config = everything();
    let https = &config.listeners[1];
    let Listener {
        id,
        address,
        http1,
        http2,
        tls,
        proxy_protocol,
        trusted_proxies,
        timeouts,
        http2_limits,
    } = &**https;
    assert_eq!(id.as_ref(), "https");
    assert_eq!(address.to_string(), "[::1]:8443");
    assert!(*http1 && *http2);
    let cidr = |text: &str, prefix| Cidr { network: text.parse().unwrap(), prefix };
    assert_eq!(*proxy_protocol, [cidr("10.0.0.0", 8), cidr("fd00::", 8)]);
    assert_eq!(*trusted_proxies, [cidr("192.168.0.0", 16), cidr("127.0.0.1", 32)]);
    assert_eq!(
        *timeouts,
        ListenerTimeouts {
            handshake: secs(1),
            head: secs(2),
            body: secs(3),
            write: secs(4),
            idle: secs(5)
        }
    );
    assert_eq!(
        *http2_limits,
        Http2Limits {
            streams: 64,
            pending_resets: 10,
            stream_window: ByteSize::kib(128),
            connection_window: ByteSize::kib(512),
        }
    );
    let files = |cert: &str, key: &str| Certificate::Files { cert: path(cert), key: path(key) };
    let names = ["localhost", "127.0.0.1", "*.test"].map(str::to_owned).to_vec();
    assert_eq!(
        *tls,
        Some(ListenerTls {
            certificates: vec![
                files("other.pem", "other.key"),
                files("site.pem", "site.key"),
                Certificate::SelfSigned { names },
            ],
            min_version: TlsVersion::Tls13,
            max_version: TlsVersion::Tls13,
            client_auth: ClientAuth::Required { ca: path("ca.pem") },
            resumption: false,
        })
    );
    let plain = &config.listeners[0];
    assert!(!plain.http1 && plain.http2);
}

#[test]
fn upstreams() {
    let config = everything();
    let Upstream {
        id,
        targets,
        protocol,
        tls,
        balance,
        sticky,
        health,
        ejection,
        retry,
        timeouts,
        breaker,
        pool,
    } = &*config.upstreams["backend"];
    assert_eq!(id.as_ref(), "backend");
    let target = |address, weight| Target { address, weight };
    assert_eq!(
        *targets,
        [
            target(TargetAddress::Socket("127.0.0.1:9000".parse().unwrap()), 3),
            target(TargetAddress::Name { host: "backend.internal".into(), port: 9001 }, 1),
            target(TargetAddress::Unix(path("run/x.sock")), 1),
        ]
    );
    assert_eq!(*protocol, UpstreamProtocol::Http2);
    assert_eq!(
        *tls,
        Some(UpstreamTls {
            ca: Some(path("ca.pem")),
            server_name: Some("backend.internal".into()),
            identity: Some((path("site.pem"), path("site.key"))),
            verify: true,
        })
    );
    assert_eq!(*balance, Balance::ConsistentHash(HashKey::Header("x-user".into())));
    assert_eq!(*sticky, Some(Sticky { cookie: "server".into(), ttl: Some(secs(3_600)) }));
    let probe = Probe::Http {
        path: "/healthz?deep=1".into(),
        host: Some("health.internal:80".into()),
        expect: (200, 204),
    };
    assert_eq!(
        *health,
        Some(HealthCheck { probe, every: secs(5), timeout: secs(1), healthy: 4, unhealthy: 5 })
    );
    assert_eq!(*ejection, Some(Ejection { failures: 7, rest: secs(20), most_percent: 30 }));
    assert_eq!(
        *retry,
        Retry {
            attempts: 2,
            budget_percent: 10,
            statuses: vec![502, 503],
            per_attempt: Some(secs(2))
        }
    );
    assert_eq!(
        *timeouts,
        UpstreamTimeouts {
            connect: secs(1),
            first_byte: secs(2),
            idle: secs(3),
            whole: Some(secs(9))
        }
    );
    assert_eq!(
        *breaker,
        Some(Breaker {
            failure_threshold: 5,
            success_threshold: 3,
            window: secs(60),
            timeout: secs(15)
        })
    );
    assert_eq!(*pool, Pool { connections: 500, idle: 16, idle_timeout: secs(30) });
    let spare = &config.upstreams["spare"];
    assert_eq!(spare.health.as_ref().map(|health| &health.probe), Some(&Probe::Tcp));
    assert_eq!(spare.ejection, None);
    assert!(!spare.tls.as_ref().unwrap().verify);
}

#[test]
fn balance_policies() {
    let balance = |written: &str| {
        let text = format!("upstream \"u\" {{ target \"u:1\"; balance {written} }}");
        let config = parse_str("selvedge.kdl", &text, &environment()).unwrap().config;
        config.upstreams["u"].balance.clone()
    };
    assert_eq!(balance("\"round-robin\""), Balance::RoundRobin);
    assert_eq!(balance("\"least-connections\""), Balance::LeastConnections);
    assert_eq!(balance("\"power-of-two\""), Balance::PowerOfTwo);
    assert_eq!(balance("\"peak-ewma\""), Balance::PeakEwma);
    let hash = |key: &str| balance(&format!("\"consistent-hash\" key=\"{key}\""));
    assert_eq!(hash("client-ip"), Balance::ConsistentHash(HashKey::ClientIp));
    assert_eq!(hash("path"), Balance::ConsistentHash(HashKey::Path));
    assert_eq!(hash("uri"), Balance::ConsistentHash(HashKey::Uri));
    assert_eq!(hash("cookie:id"), Balance::ConsistentHash(HashKey::Cookie("id".into())));
}

#[test]
fn routes() {
    let config = everything();
    let Route {
        id,
        priority,
        matches,
        agents,
        action,
        upstream_by,
        rewrite,
        request_headers,
        response_headers,
        limits,
        compress,
        origin,
    } = &*config.routes[0];
    assert_eq!(id.as_ref(), "api");
    assert_eq!(*priority, 10);
    assert!(agents.is_empty());
    expect![[r#"
        Matches {
            hosts: [
                Exact(
                    "example.com",
                ),
                Wildcard(
                    "example.com",
                ),
                Exact(
                    "[::1]",
                ),
            ],
            paths: [
                Exact(
                    "/exact",
                ),
                Prefix(
                    "/api",
                ),
                Regex(
                    Pattern(
                        Regex(
                            "\\A(?:/users/[0-9]+)\\z",
                        ),
                    ),
                ),
            ],
            methods: [
                "GET",
                "POST",
            ],
            headers: [
                HeaderMatch {
                    name: "x-version",
                    value: Present,
                },
                HeaderMatch {
                    name: "x-version",
                    value: Exact(
                        "2",
                    ),
                },
                HeaderMatch {
                    name: "accept",
                    value: Prefix(
                        "application/",
                    ),
                },
                HeaderMatch {
                    name: "user-agent",
                    value: Regex(
                        Pattern(
                            Regex(
                                "(?i)curl",
                            ),
                        ),
                    ),
                },
            ],
            query: [
                QueryMatch {
                    name: "debug",
                    value: Present,
                },
                QueryMatch {
                    name: "page",
                    value: Exact(
                        "1",
                    ),
                },
                QueryMatch {
                    name: "q",
                    value: Prefix(
                        "a",
                    ),
                },
                QueryMatch {
                    name: "id",
                    value: Regex(
                        Pattern(
                            Regex(
                                "^[0-9]+$",
                            ),
                        ),
                    ),
                },
            ],
        }
    "#]]
    .assert_eq(&format!("{matches:#?}\n"));
    assert_eq!(*action, Action::Upstream("backend".into()));
    assert_eq!(*upstream_by, None);
    assert_eq!(
        *rewrite,
        Some(Rewrite {
            path: Some(RewritePath::Regex {
                pattern: Pattern::try_new("^/api/(v[0-9])").unwrap(),
                to: "/$1".into(),
            }),
            host: Some("backend.internal".into()),
        })
    );
    let secret = |text: &str| Secret::new(text);
    assert_eq!(
        *request_headers,
        [
            HeaderOp::Remove("cookie".into()),
            HeaderOp::Remove("x-debug".into()),
            HeaderOp::Set("x-edge".into(), secret("selvedge")),
            HeaderOp::Add("x-tag".into(), secret("a")),
        ]
    );
    assert_eq!(*response_headers, [HeaderOp::Set("x-frame-options".into(), secret("DENY"))]);
    assert_eq!(*limits, RouteLimits { body: ByteSize::mib(1), in_flight: Some(100) });
    assert_eq!(
        *compress,
        Some(Compress { min: ByteSize::kib(2), encodings: vec![Encoding::Gzip, Encoding::Brotli] })
    );
    assert_eq!((origin.file.as_ref(), origin.line > 50), ("/etc/selvedge.kdl", true));
}

#[test]
fn actions() {
    let config = everything();
    let actions: BTreeMap<&str, &Action> =
        config.routes.iter().map(|route| (route.id.as_ref(), &route.action)).collect();
    assert_eq!(
        *actions["site"],
        Action::Static(StaticSite {
            root: path("public"),
            index: vec!["index.html".into(), "index.htm".into()],
            clean_urls: false,
            fallback: Some("app/index.html".into()),
            cache_control: Some("public, max-age=60".into()),
            precompressed: false,
            strip_prefix: Some("/site".into()),
        })
    );
    assert_eq!(
        *actions["old"],
        Action::Redirect(Redirect { to: "https://{host}{path}{query}".into(), status: 301 })
    );
    assert_eq!(
        *actions["teapot"],
        Action::Respond(Respond {
            status: 418,
            body: "{\"short\":true}".into(),
            content_type: "application/json".into(),
        })
    );
    let rewrites: BTreeMap<&str, _> = config
        .routes
        .iter()
        .filter_map(|route| Some((route.id.as_ref(), route.rewrite.as_ref()?.path.clone()?)))
        .collect();
    assert_eq!(rewrites["strip"], RewritePath::StripPrefix("/strip".into()));
    assert_eq!(rewrites["replace"], RewritePath::Replace("/index".into()));
}

#[test]
fn the_process() {
    let Config {
        listeners: _,
        upstreams: _,
        routes: _,
        agents,
        limits,
        admin,
        telemetry,
        core,
        audit,
        workers,
        drain_timeout,
        files,
        origins: _,
    } = everything();
    assert_eq!(
        audit,
        Some(Audit {
            dir: path("spool"),
            spool: ByteSize::mib(16),
            sample: AuditSample { all: 0.5, gate: 0.25, agents: [("auth".into(), 1.0)].into() },
        })
    );
    assert_eq!(
        limits,
        Limits {
            connections: 5_000,
            connections_per_address: 50,
            head: ByteSize::kib(16),
            head_fields: 50,
            in_flight: 4_000,
            upstream_connections: 3_000,
            route_cache: 1_024,
            response_head: ByteSize::kib(32),
        }
    );
    assert_eq!(admin, Admin { address: Some("127.0.0.1:9901".parse().unwrap()) });
    assert_eq!(
        telemetry,
        Telemetry {
            access_log: Some(LogTarget::File(path("logs/access.log"))),
            decision_log: false,
            otlp: Some(Otlp {
                endpoint: "http://127.0.0.1:4318".into(),
                headers: vec![("x-api-key".into(), Secret::new("hunter2"))],
                sample: 0.5,
                queue: 1_000,
                service: "edge-1".into(),
            }),
        }
    );
    let core = core.unwrap();
    assert_eq!(core.path, "/_selvedge");
    let process = core.process().unwrap();
    assert_eq!(process.data_dir, path("data"));
    let day = 86_400;
    assert_eq!(
        process.audit,
        CoreAudit {
            origin: Some("log.example.com/audit".into()),
            node: Some("core-1".into()),
            public: true,
            personal: secs(30 * day),
            entries: Some(secs(730 * day)),
            cosign_every: secs(5),
            witnesses: vec![AuditWitness {
                url: "https://b.example.com/_selvedge/audit".into(),
                key: "b.example.com/audit/witness+bc17bb49+BPom91lYaB69WXnpm+W2B1VI4UOOsGXVU2QuR+6ujdrk".into(),
                ca: None,
            }],
            watched: vec![
                "b.example.com/audit+7b9b7b90+AfzFVR1ZKF8ZyS4h+u42FNwpumjwqq30wF+AEEN2hTaS".into(),
            ],
        }
    );
    assert_eq!((workers, drain_timeout), (3, secs(15)));
    assert_eq!(files, [path("selvedge.kdl")]);
    assert_eq!(agents["waf"].failure_mode, FailureMode::Open);
    assert_eq!(agents["waf"].timeout, Duration::from_millis(250));
    assert_eq!(agents["waf"].breaker.window, secs(45));
}

#[test]
fn switches() {
    let read = |text: &str| parse_str("/etc/selvedge.kdl", text, &environment()).unwrap().config;
    assert_eq!(read("admin #false").admin, Admin { address: None });
    assert_eq!(read("admin #true"), read(""));
    let log =
        |written: &str| read(&format!("telemetry {{ access-log {written} }}")).telemetry.access_log;
    assert_eq!(log("#false"), None);
    assert_eq!(log("#true"), Some(LogTarget::Stdout));
    assert_eq!(log("\"stderr\""), Some(LogTarget::Stderr));
    assert_eq!(log("file \"logs/a.log\""), Some(LogTarget::File(path("logs/a.log"))));
    let compress = |written: &str| {
        read(&format!("route \"r\" {{ respond 200; {written} }}")).routes[0].compress.clone()
    };
    let all = vec![Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];
    assert_eq!(
        compress("compress #true"),
        Some(Compress { min: ByteSize::kib(1), encodings: all })
    );
    assert_eq!(compress("compress #false"), None);
    assert_eq!(compress(""), None);
}

#[test]
fn what_is_not_written_has_the_documented_default() {
    let text = "listener \"l\" { address \"127.0.0.1:1\"; tls { self-signed \"localhost\" } }
upstream \"u\" { target \"u:1\" }
route \"r\" { upstream \"u\" }";
    let config =
        parse_str("/etc/selvedge.kdl", text, &MemoryEnvironment::default()).unwrap().config;
    expect![[r#"
        Config {
            listeners: [
                Listener {
                    id: "l",
                    address: 127.0.0.1:1,
                    http1: true,
                    http2: true,
                    tls: Some(
                        ListenerTls {
                            certificates: [
                                SelfSigned {
                                    names: [
                                        "localhost",
                                    ],
                                },
                            ],
                            min_version: Tls12,
                            max_version: Tls13,
                            client_auth: Off,
                            resumption: true,
                        },
                    ),
                    proxy_protocol: [],
                    trusted_proxies: [],
                    timeouts: ListenerTimeouts {
                        handshake: 10s,
                        head: 10s,
                        body: 30s,
                        write: 30s,
                        idle: 75s,
                    },
                    http2_limits: Http2Limits {
                        streams: 128,
                        pending_resets: 20,
                        stream_window: ByteSize(
                            262144,
                        ),
                        connection_window: ByteSize(
                            1048576,
                        ),
                    },
                },
            ],
            upstreams: {
                "u": Upstream {
                    id: "u",
                    targets: [
                        Target {
                            address: Name {
                                host: "u",
                                port: 1,
                            },
                            weight: 1,
                        },
                    ],
                    protocol: Http1,
                    tls: None,
                    balance: PowerOfTwo,
                    sticky: None,
                    health: None,
                    ejection: Some(
                        Ejection {
                            failures: 5,
                            rest: 10s,
                            most_percent: 50,
                        },
                    ),
                    retry: Retry {
                        attempts: 1,
                        budget_percent: 20,
                        statuses: [],
                        per_attempt: None,
                    },
                    timeouts: UpstreamTimeouts {
                        connect: 5s,
                        first_byte: 60s,
                        idle: 60s,
                        whole: None,
                    },
                    breaker: None,
                    pool: Pool {
                        connections: 10000,
                        idle: 256,
                        idle_timeout: 60s,
                    },
                },
            },
            routes: [
                Route {
                    id: "r",
                    priority: 0,
                    matches: Matches {
                        hosts: [],
                        paths: [],
                        methods: [],
                        headers: [],
                        query: [],
                    },
                    agents: [],
                    action: Upstream(
                        "u",
                    ),
                    upstream_by: None,
                    rewrite: None,
                    request_headers: [],
                    response_headers: [],
                    limits: RouteLimits {
                        body: ByteSize(
                            10485760,
                        ),
                        in_flight: None,
                    },
                    compress: None,
                    origin: Origin {
                        file: "/etc/selvedge.kdl",
                        line: 3,
                    },
                },
            ],
            agents: {},
            limits: Limits {
                connections: 10000,
                connections_per_address: 256,
                head: ByteSize(
                    32768,
                ),
                head_fields: 100,
                in_flight: 10000,
                upstream_connections: 10000,
                route_cache: 4096,
                response_head: ByteSize(
                    65536,
                ),
            },
            admin: Admin {
                address: Some(
                    127.0.0.1:9900,
                ),
            },
            telemetry: Telemetry {
                access_log: Some(
                    Stdout,
                ),
                decision_log: true,
                otlp: None,
            },
            core: None,
            audit: None,
            workers: 2,
            drain_timeout: 30s,
            files: [
                "/etc/selvedge.kdl",
            ],
            origins: Origins {
                bounds: {},
                paths: {},
            },
        }
    "#]]
    .assert_eq(&format!("{config:#?}\n"));
}
