//! Agents: what the blocks mean, what the agents are told, what routes make of them.

use std::{fmt::Debug, time::Duration};

use expect_test::{Expect, expect};
use selvedge_base::ByteSize;
use selvedge_config::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::language::{environment, everything};

fn read(text: &str) -> Loaded {
    parse_str("/etc/selvedge.kdl", text, &environment()).unwrap()
}

/// The settings as they travel, which come back as they were.
#[track_caller]
fn check_settings<S: Serialize + DeserializeOwned + PartialEq + Debug>(
    agent: &Agent,
    settings: &S,
    expected: Expect,
) {
    let json = agent.settings.to_json();
    assert_eq!(serde_json::from_str::<S>(&json).unwrap(), *settings);
    expected.assert_eq(&serde_json::to_string_pretty(settings).unwrap());
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
fn what_auth_is_told() {
    let config = everything();
    let agent = &config.agents["auth"];
    let AgentSettings::Auth(settings) = &agent.settings else { panic!("not auth") };
    check_settings(
        agent,
        settings,
        expect![[r#"
            {
              "issuers": [
                {
                  "issuer": "https://id.example.com/",
                  "keys": {
                    "url": "https://id.example.com/keys?p=1"
                  },
                  "audiences": [
                    "orders",
                    "billing"
                  ],
                  "algorithms": [
                    "ES256",
                    "RS256"
                  ],
                  "token_type": "at+jwt",
                  "leeway": {
                    "secs": 10,
                    "nanos": 0
                  },
                  "refresh": {
                    "secs": 300,
                    "nanos": 0
                  },
                  "refetch_interval": {
                    "secs": 60,
                    "nanos": 0
                  },
                  "timeout": {
                    "secs": 2,
                    "nanos": 0
                  },
                  "ca": "/etc/ca.pem"
                },
                {
                  "issuer": "machines",
                  "keys": {
                    "file": "/etc/keys/jwks.json"
                  },
                  "audiences": [
                    "orders"
                  ],
                  "algorithms": [
                    "RS256",
                    "RS384",
                    "RS512",
                    "PS256",
                    "PS384",
                    "PS512",
                    "ES256",
                    "ES384",
                    "ES512",
                    "EdDSA"
                  ],
                  "token_type": null,
                  "leeway": {
                    "secs": 30,
                    "nanos": 0
                  },
                  "refresh": {
                    "secs": 600,
                    "nanos": 0
                  },
                  "refetch_interval": {
                    "secs": 30,
                    "nanos": 0
                  },
                  "timeout": {
                    "secs": 5,
                    "nanos": 0
                  },
                  "ca": null
                }
              ],
              "token": [
                {
                  "header": {
                    "name": "x-token",
                    "scheme": "JWT"
                  }
                },
                {
                  "cookie": "session"
                },
                {
                  "query": "access_token"
                }
              ],
              "api_keys": {
                "file": "/etc/keys/api.txt",
                "places": [
                  {
                    "header": {
                      "name": "x-key",
                      "scheme": null
                    }
                  },
                  {
                    "query": "key"
                  }
                ],
                "refresh": {
                  "secs": 30,
                  "nanos": 0
                }
              },
              "client_certificate": {
                "identity": "san_dns",
                "allow": [
                  "spiffe://example.org/*",
                  "edge"
                ],
                "roles": [
                  "service"
                ],
                "scopes": [
                  "orders:read"
                ]
              },
              "claims": [
                {
                  "claim": "sub",
                  "header": "x-user-id"
                },
                {
                  "claim": "realm_access.roles",
                  "header": "x-user-role"
                },
                {
                  "claim": "https://example.com/org",
                  "header": "x-org"
                }
              ],
              "values": [
                {
                  "claim": "plan",
                  "value": "plan"
                },
                {
                  "claim": "org.tenant",
                  "value": "tenant"
                },
                {
                  "claim": "org.tenant",
                  "value": "claim.org.tenant"
                }
              ],
              "roles_from": [
                "realm_access.roles",
                "groups"
              ],
              "scopes_from": [
                "permissions"
              ],
              "realm": "orders",
              "anonymous": true,
              "cache": 500
            }"#]],
    );
}

#[test]
fn what_rate_limit_is_told() {
    let config = everything();
    let agent = &config.agents["limits"];
    let AgentSettings::RateLimit(settings) = &agent.settings else { panic!("not rate-limit") };
    check_settings(
        agent,
        settings,
        expect![[r#"
            {
              "policies": [
                {
                  "id": "per-user",
                  "key": [
                    {
                      "header": "x-user-id"
                    },
                    {
                      "value": "plan"
                    },
                    {
                      "value": "claim.org.tenant"
                    }
                  ],
                  "limit": 100,
                  "per": {
                    "secs": 1,
                    "nanos": 0
                  },
                  "burst": 200,
                  "cost": {
                    "fixed": 2
                  },
                  "delay": {
                    "queue": 50,
                    "max": {
                      "secs": 0,
                      "nanos": 200000000
                    }
                  },
                  "keys_max": 1000,
                  "ipv6_prefix": 56
                },
                {
                  "id": "by-size",
                  "key": [
                    "address",
                    "path",
                    "method",
                    "host",
                    "route"
                  ],
                  "limit": 10,
                  "per": {
                    "secs": 60,
                    "nanos": 0
                  },
                  "burst": 11,
                  "cost": {
                    "header": {
                      "name": "x-cost",
                      "most": 5
                    }
                  },
                  "delay": null,
                  "keys_max": 10,
                  "ipv6_prefix": 64
                },
                {
                  "id": "tokens",
                  "key": [
                    "address"
                  ],
                  "limit": 50000,
                  "per": {
                    "secs": 3600,
                    "nanos": 0
                  },
                  "burst": 60000,
                  "cost": {
                    "response_header": {
                      "name": "x-tokens-used",
                      "otherwise": 7
                    }
                  },
                  "delay": null,
                  "keys_max": 11,
                  "ipv6_prefix": 64
                }
              ],
              "store": {
                "redis": {
                  "address": "rediss://:hunter2@redis.internal:6379/1",
                  "on_failure": "closed",
                  "timeout": {
                    "secs": 0,
                    "nanos": 30000000
                  },
                  "prefix": "edge:",
                  "ca": "/etc/ca.pem"
                }
              },
              "headers": false
            }"#]],
    );
    assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
    assert_eq!(agent.events, [AgentEvent::RequestHeaders, AgentEvent::ResponseHeaders]);
}

#[test]
fn what_schema_is_told() {
    let config = everything();
    let agent = &config.agents["schema"];
    let AgentSettings::Schema(settings) = &agent.settings else { panic!("not schema") };
    check_settings(
        agent,
        settings,
        expect![[r#"
            {
              "documents": [
                {
                  "id": "orders",
                  "file": "/etc/schemas/openapi.yaml",
                  "base_path": "/api",
                  "undocumented": "pass"
                }
              ],
              "schemas": [
                {
                  "id": "order",
                  "file": "/etc/schemas/order.json",
                  "on": "response",
                  "paths": [
                    {
                      "exact": "/orders"
                    },
                    {
                      "prefix": "/v1/orders"
                    },
                    {
                      "prefix": "/v2/orders"
                    },
                    {
                      "regex": "\\A(?:/orders/[0-9]+)\\z"
                    }
                  ],
                  "methods": [
                    "POST",
                    "PUT"
                  ],
                  "content_types": [
                    "application/vnd.order+json"
                  ]
                },
                {
                  "id": "any",
                  "file": "/etc/schemas/any.json",
                  "on": "request",
                  "paths": [],
                  "methods": [],
                  "content_types": [
                    "application/json",
                    "application/*+json"
                  ]
                }
              ],
              "bounds": {
                "size": 102400,
                "depth": 16,
                "keys": 100,
                "items": 200,
                "number_digits": 20,
                "string_size": 2048,
                "violations": 5
              },
              "report_only": true,
              "response": true,
              "status": 422,
              "formats": false,
              "patterns": "backtracking",
              "decode": true
            }"#]],
    );
    assert_eq!(agent.events, AgentEvent::ALL[..4]);
}

#[test]
fn what_the_bridge_is_told() {
    let config = everything();
    let check = |id: &str, expected: Expect| {
        let agent = &config.agents[id];
        let AgentSettings::Bridge(settings) = &agent.settings else { panic!("not a bridge") };
        assert!(matches!(agent.program, AgentProgram::Own(OwnKind::Bridge, _)));
        check_settings(agent, settings, expected);
    };
    check(
        "waf",
        expect![[r#"
            {
              "service": {
                "grpc": {
                  "address": "http://localhost:50051",
                  "protocol": "ext_proc",
                  "body_mode": "stream",
                  "metadata": [
                    [
                      "x-api-key",
                      "hunter2"
                    ]
                  ]
                }
              },
              "events": [
                "request_headers",
                "request_body",
                "response_headers"
              ],
              "timeout": {
                "secs": 0,
                "nanos": 250000000
              },
              "body_max": 32768,
              "ca": "/etc/ca.pem"
            }"#]],
    );
    check(
        "policies",
        expect![[r#"
            {
              "service": {
                "grpc": {
                  "address": "https://opa.internal:9191",
                  "protocol": "ext_authz",
                  "body_mode": "inspect",
                  "metadata": []
                }
              },
              "events": [
                "request_headers"
              ],
              "timeout": {
                "secs": 0,
                "nanos": 100000000
              },
              "body_max": 131072,
              "ca": null
            }"#]],
    );
    check(
        "authelia",
        expect![[r#"
            {
              "service": {
                "http": {
                  "address": "http://127.0.0.1:9091/api/authz/forward-auth",
                  "request_headers": [
                    "cookie",
                    "accept"
                  ],
                  "response_headers": [
                    "remote-user",
                    "remote-groups",
                    "authorization"
                  ],
                  "client_headers": [
                    "set-cookie"
                  ]
                }
              },
              "events": [
                "request_headers"
              ],
              "timeout": {
                "secs": 0,
                "nanos": 100000000
              },
              "body_max": 131072,
              "ca": null
            }"#]],
    );
    assert_eq!(config.agents["authelia"].identity_headers, ["remote-groups", "remote-user"]);
    assert_eq!(config.agents["waf"].kind, "waf");
}

#[test]
fn what_others_are_told() {
    let config = everything();
    let geo = &config.agents["geo"];
    let AgentProgram::Command { program, arguments, process } = &geo.program else {
        panic!("not a command")
    };
    assert_eq!(
        (program.as_str(), arguments.join(" ")),
        ("/etc/bin/geo", "--database geo.mmdb".into())
    );
    assert_eq!(process.threads, 2);
    assert_eq!(geo.events, AgentEvent::ALL);
    let settings: serde_json::Value = serde_json::from_str(&geo.settings.to_json()).unwrap();
    assert_eq!(
        settings,
        json!({
            "database": "geo.mmdb",
            "languages": ["de", "en"],
            "cache": { "size": 100, "ttl": "1h" },
            "verbose": true,
            "key": "hunter2",
            "zones": ["eu", { "name": "us", "weight": 0.5 }, null],
            "rule": [{ "deny": "xx" }, { "deny": "yy" }],
        })
    );
    assert!(!format!("{:?}", geo.settings).contains("hunter2"));
    let scanner = &config.agents["scanner"];
    assert_eq!(scanner.program, AgentProgram::Address("/etc/run/scanner.sock".into()));
    assert_eq!(scanner.events, [AgentEvent::Log]);
    assert_eq!(scanner.settings.to_json(), "{}");
    assert_eq!(scanner.program.process(), None);
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
    assert_eq!(
        names,
        ["remote-groups", "remote-user", "x-org", "x-user-email", "x-user-id", "x-user-role"]
    );
    let auth = "agent \"a\" { type \"auth\"; grpc address=\"http://localhost:1\" }";
    assert_eq!(read(auth).config.identity_headers(), ["x-user-id", "x-user-role"]);
    let written = "agent \"a\" { type \"auth\"; client-certificate; identity-headers \"X-Me\" }";
    assert_eq!(read(written).config.identity_headers(), ["x-me", "x-user-id", "x-user-role"]);
    let other = "agent \"a\" { type \"other\"; grpc address=\"http://localhost:1\" }";
    assert_eq!(read(other).config.identity_headers(), [""; 0]);
}

/// What the agent `a` of a config is told where it says no more than it must.
#[track_caller]
fn check_defaults(text: &str, expected: Expect) {
    let config = read(text).config;
    let pretty = match &config.agents["a"].settings {
        AgentSettings::Auth(settings) => serde_json::to_string_pretty(settings),
        AgentSettings::RateLimit(settings) => serde_json::to_string_pretty(settings),
        AgentSettings::Schema(settings) => serde_json::to_string_pretty(settings),
        AgentSettings::Waf(settings) => serde_json::to_string_pretty(settings),
        other => panic!("{other:?} has no defaults"),
    };
    expected.assert_eq(&pretty.unwrap());
}

#[test]
fn what_is_not_written_has_the_documented_default() {
    check_defaults(
        "agent \"a\" { type \"auth\"; issuer \"https://x\" }",
        expect![[r#"
            {
              "issuers": [
                {
                  "issuer": "https://x",
                  "keys": "discovery",
                  "audiences": [],
                  "algorithms": [
                    "RS256",
                    "RS384",
                    "RS512",
                    "PS256",
                    "PS384",
                    "PS512",
                    "ES256",
                    "ES384",
                    "ES512",
                    "EdDSA"
                  ],
                  "token_type": null,
                  "leeway": {
                    "secs": 30,
                    "nanos": 0
                  },
                  "refresh": {
                    "secs": 600,
                    "nanos": 0
                  },
                  "refetch_interval": {
                    "secs": 30,
                    "nanos": 0
                  },
                  "timeout": {
                    "secs": 5,
                    "nanos": 0
                  },
                  "ca": null
                }
              ],
              "token": [
                {
                  "header": {
                    "name": "authorization",
                    "scheme": "Bearer"
                  }
                }
              ],
              "api_keys": null,
              "client_certificate": null,
              "claims": [
                {
                  "claim": "sub",
                  "header": "x-user-id"
                },
                {
                  "claim": "roles",
                  "header": "x-user-role"
                }
              ],
              "values": [],
              "roles_from": [
                "roles"
              ],
              "scopes_from": [
                "scope",
                "scp"
              ],
              "realm": "a",
              "anonymous": false,
              "cache": 10000
            }"#]],
    );
    check_defaults(
        "agent \"a\" { type \"auth\"; api-keys { file \"keys/api.txt\" }; client-certificate }",
        expect![[r#"
            {
              "issuers": [],
              "token": [
                {
                  "header": {
                    "name": "authorization",
                    "scheme": "Bearer"
                  }
                }
              ],
              "api_keys": {
                "file": "/etc/keys/api.txt",
                "places": [
                  {
                    "header": {
                      "name": "x-api-key",
                      "scheme": null
                    }
                  }
                ],
                "refresh": {
                  "secs": 5,
                  "nanos": 0
                }
              },
              "client_certificate": {
                "identity": "san_uri",
                "allow": [],
                "roles": [],
                "scopes": []
              },
              "claims": [
                {
                  "claim": "sub",
                  "header": "x-user-id"
                },
                {
                  "claim": "roles",
                  "header": "x-user-role"
                }
              ],
              "values": [],
              "roles_from": [
                "roles"
              ],
              "scopes_from": [
                "scope",
                "scp"
              ],
              "realm": "a",
              "anonymous": false,
              "cache": 10000
            }"#]],
    );
    check_defaults(
        "agent \"a\" { type \"rate-limit\"; policy \"p\" { limit 3 per=\"1m\"; delay } }",
        expect![[r#"
            {
              "policies": [
                {
                  "id": "p",
                  "key": [
                    "address"
                  ],
                  "limit": 3,
                  "per": {
                    "secs": 60,
                    "nanos": 0
                  },
                  "burst": 3,
                  "cost": {
                    "fixed": 1
                  },
                  "delay": {
                    "queue": 1000,
                    "max": {
                      "secs": 1,
                      "nanos": 0
                    }
                  },
                  "keys_max": 100000,
                  "ipv6_prefix": 64
                }
              ],
              "store": "local",
              "headers": true
            }"#]],
    );
    check_defaults(
        "agent \"a\" { type \"rate-limit\"; policy \"p\" { limit 3 per=\"1m\" }; store \"redis\" address=\"redis://x\" }",
        expect![[r#"
            {
              "policies": [
                {
                  "id": "p",
                  "key": [
                    "address"
                  ],
                  "limit": 3,
                  "per": {
                    "secs": 60,
                    "nanos": 0
                  },
                  "burst": 3,
                  "cost": {
                    "fixed": 1
                  },
                  "delay": null,
                  "keys_max": 100000,
                  "ipv6_prefix": 64
                }
              ],
              "store": {
                "redis": {
                  "address": "redis://x",
                  "on_failure": "local",
                  "timeout": {
                    "secs": 0,
                    "nanos": 20000000
                  },
                  "prefix": "selvedge:",
                  "ca": null
                }
              },
              "headers": true
            }"#]],
    );
    check_defaults(
        "agent \"a\" { type \"schema\"; document \"d\" { openapi \"ca.pem\" }; schema \"s\" { file \"ca.pem\" } }",
        expect![[r#"
            {
              "documents": [
                {
                  "id": "d",
                  "file": "/etc/ca.pem",
                  "base_path": null,
                  "undocumented": "refuse"
                }
              ],
              "schemas": [
                {
                  "id": "s",
                  "file": "/etc/ca.pem",
                  "on": "request",
                  "paths": [],
                  "methods": [],
                  "content_types": [
                    "application/json",
                    "application/*+json"
                  ]
                }
              ],
              "bounds": {
                "size": 131072,
                "depth": 64,
                "keys": 10000,
                "items": 100000,
                "number_digits": 64,
                "string_size": 131072,
                "violations": 32
              },
              "report_only": false,
              "response": false,
              "status": 400,
              "formats": true,
              "patterns": "linear",
              "decode": false
            }"#]],
    );
}

#[test]
fn a_delay_gives_its_agent_time_and_room() {
    let text = "agent \"a\" { type \"rate-limit\"; policy \"p\" { limit 3 per=\"1m\"; delay { queue 7; max \"2s\" } } }";
    let config = read(text).config;
    assert_eq!(config.agents["a"].timeout, Duration::from_millis(2_100));
    assert_eq!(config.agents["a"].concurrency, 107);
}

#[test]
fn where_claims_are_roles_they_are_sent_as_roles() {
    let settings = |nodes: &str| {
        let text = format!("agent \"a\" {{ type \"auth\"; client-certificate; {nodes} }}");
        let config = read(&text).config;
        let AgentSettings::Auth(settings) = &config.agents["a"].settings else {
            panic!("not auth")
        };
        let claims =
            settings.claims.iter().map(|claim| format!("{} {}", claim.claim, claim.header));
        (claims.collect::<Vec<_>>().join(", "), settings.roles_from.join(", "))
    };
    let is = |claims: &str, roles: &str| (claims.to_owned(), roles.to_owned());
    assert_eq!(settings(""), is("sub x-user-id, roles x-user-role", "roles"));
    assert_eq!(
        settings("roles-from \"a.b\" \"c\""),
        is("sub x-user-id, a.b x-user-role, c x-user-role", "a.b, c")
    );
    assert_eq!(
        settings("claims { \"email\" \"X-User-Id\"; \"groups\" \"X-User-Role\" }"),
        is("email x-user-id, groups x-user-role", "groups")
    );
    assert_eq!(settings("claims { \"sub\" \"X-User\" }"), is("sub x-user", "roles"));
}

#[test]
fn a_claim_in_a_key_is_set_by_the_auth_agent_before() {
    let text = r#"
        agent "auth" { type "auth"; client-certificate }
        agent "other" { type "auth"; client-certificate }
        agent "between" { type "x"; address "unix:x"; after "auth" }
        agent "limits" {
            type "rate-limit"
            after "between"
            policy "p" { key "claim:tenant"; limit 1 per="1s" }
            policy "q" { key "claim:tenant" "path"; limit 1 per="1s" }
        }"#;
    let config = read(text).config;
    let values = |id: &str| {
        let AgentSettings::Auth(settings) = &config.agents[id].settings else { panic!("not auth") };
        let values = settings.values.iter().map(|one| format!("{}={}", one.value, one.claim));
        values.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(values("auth"), "claim.tenant=tenant");
    assert_eq!(values("other"), "");
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
