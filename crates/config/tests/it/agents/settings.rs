//! What the agents are told.

use std::fmt::Debug;

use expect_test::Expect;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::*;

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
