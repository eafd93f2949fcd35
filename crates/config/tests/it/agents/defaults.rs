//! What holds where nothing is written.

use expect_test::Expect;

use super::*;

/// What the agent `a` of a config is told where it says no more than it must.
#[track_caller]
fn check_defaults(text: &str, expected: Expect) {
    let config = read(text).config;
    let pretty = match &config.agents["a"].settings {
        AgentSettings::Auth(settings) => serde_json::to_string_pretty(settings),
        AgentSettings::RateLimit(settings) => serde_json::to_string_pretty(settings),
        AgentSettings::Schema(settings) => serde_json::to_string_pretty(settings),
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
