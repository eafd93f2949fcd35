//! Mistakes in agents of type `rate-limit`.

use super::*;

#[test]
fn rate_limit() {
    check_nodes(
        "type \"rate-limit\"",
        expect![[r#"
        E0106 1:1 agent
            this agent limits nothing
            add `policy "per-client" { key "address"; limit 100 per="1s" }`
    "#]],
    );
    check_nodes(
        "type \"rate-limit\"
        policy \"p\"
        policy \"p\" { key \"adress\" \"header\" \"header:a b\" \"cookie:x\" \"path\" \"path\"; limit 5 }
        policy \"q\" { limit 1000000000 per=\"1ms\" }
        policy \"r\" { limit 0 per=\"1y\" }",
        expect![[r#"
            E0106 3:9 policy
                this policy has no `limit`
                add `limit 100 per="1s"`
            E0110 4:16 "p"
                two policies have the id `p` (first written here: 3:16 "p")
                give one of them another id
            E0120 4:26 "adress"
                "adress" is no part of a key
                did you mean `address`?
            E0120 4:35 "header"
                "header" is no part of a key
                `address`, `path`, `method`, `host`, `route`, `header:NAME`, `value:NAME` or `claim:NAME`
            E0116 4:44 "header:a b"
                "a b" is not the name of a header
                letters, digits and `-`, such as "X-Request-Id"
            E0120 4:57 "cookie:x"
                "cookie:x" is no part of a key
                `address`, `path`, `method`, `host`, `route`, `header:NAME`, `value:NAME` or `claim:NAME`
            E0111 4:75 "path"
                this part is there already
                remove it
            E0106 4:83 limit
                `limit` does not say in which time
                write `limit 100 per="1s"`
            E0109 5:28 1000000000
                more than one request in a nanosecond
                lower the limit or raise `per`
            E0109 6:28 0
                0 is out of range
                allowed: 1 to 1000000000
            E0108 6:30 per="1y"
                "1y" is not a duration: unknown unit "y"
                whole numbers with us, ms, s, m, h or d, such as "250ms" or "10s"
        "#]],
    );
    check_nodes(
        "type \"rate-limit\"
        policy \"p\" { limit 5 per=\"1s\"; cost 6 }
        policy \"q\" { limit 5 per=\"1s\"; cost header=\"X\" response-header=\"Y\" }
        policy \"r\" { limit 5 per=\"1s\"; cost header=\"X\" most=9 }
        policy \"s\" { limit 5 per=\"1s\"; cost }
        policy \"t\" { limit 5 per=\"1s\"; ipv6-prefix 129; keys-max 0; delay { queue 0; max \"1h\" } }
        policy \"u\" { limit 1 per=\"31d\"; burst 590 }
        policy \"v\" { limit 1 per=\"31d\"; burst 591 }",
        expect![[r#"
            E0127 3:45 6
                a request that costs 6 never finds as much in a bucket of 5
                raise `burst` or lower the cost
            E0127 4:40 cost
                a request costs in one way
                write `cost 5`, `cost header="X-Cost"` or `cost response-header="X-Tokens"`
            E0127 5:40 cost
                a request that costs 9 never finds as much in a bucket of 5
                raise `burst` or lower the cost
            E0127 6:40 cost
                a request costs in one way
                write `cost 5`, `cost header="X-Cost"` or `cost response-header="X-Tokens"`
            E0109 7:52 129
                129 is out of range
                allowed: 16 to 128
            E0109 7:66 0
                0 is out of range
                allowed: 1 to 100000000
            E0109 7:83 0
                0 is out of range
                allowed: 1 to 100000
            E0109 7:90 "1h"
                "1h" is out of range
                allowed: 1ms to 5m
            E0109 9:47 591
                an empty bucket would not be full again within 50 years
                lower `burst`, or raise `limit`
        "#]],
    );
    check_nodes(
        "type \"rate-limit\"; policy \"p\" { limit 5 per=\"1s\"; delay { queue 100 } }
        timeout-ms 1000
        max-concurrent-calls 100",
        expect![[r#"
            E0127 3:20 1000
                requests may wait here for longer: this ends them as failures
                raise `timeout-ms` above the longest `delay` and the store's `timeout` together
            E0127 4:30 100
                100 requests may wait in this agent's queues alone
                raise `max-concurrent-calls` above that, or lower `queue`
        "#]],
    );
    let store = |store: &str| {
        format!("type \"rate-limit\"; policy \"p\" {{ limit 5 per=\"1s\" }}\n{store}")
    };
    check_nodes(
        &store("store \"redis\""),
        expect![[r#"
        E0106 3:1 store
            this store has no address
            write `store "redis" address="redis://127.0.0.1:6379"`
    "#]],
    );
    check_nodes(
        &store("store \"valkey\""),
        expect![[r#"
        E0120 3:7 "valkey"
            "valkey" is none of the choices
            it is one of `local` or `redis`
    "#]],
    );
    check_nodes(
        &store("store \"redis\" address=\"http://x\" { prefix \"{a}\" }"),
        expect![[r#"
        E0121 3:15 address="http://x"
            this is not the address of a Redis server
            such as "redis://127.0.0.1:6379", "rediss://host" or "unix:///run/redis.sock"
        E0131 3:43 "{a}"
            keys cannot begin with this
            up to 64 visible ASCII characters without braces, such as "selvedge:"
    "#]],
    );
    check_nodes(
        &store("store \"redis\" address=\"redis://x/y\""),
        expect![[r#"
        E0121 3:15 address="redis://x/y"
            this is not the address of a Redis server
            such as "redis://127.0.0.1:6379", "rediss://host" or "unix:///run/redis.sock"
    "#]],
    );
    check_nodes(
        &store("store \"redis\" address=\"redis://x\" { ca \"ca.pem\" }"),
        expect![[r#"
        E0127 3:1 store
            `ca` has no effect without TLS
            write `rediss://` in the address, or remove `ca`
    "#]],
    );
    check_nodes(
        &store("store \"redis\" address=\"redis://x\" { timeout \"100ms\" }; timeout-ms 100"),
        expect![[r#"
            E0127 3:67 100
                requests may wait here for longer: this ends them as failures
                raise `timeout-ms` above the longest `delay` and the store's `timeout` together
        "#]],
    );
}

#[test]
fn limits_count_by_what_somebody_sets() {
    let limits = |after: &str, key: &str, route: &str| {
        format!(
            "agent \"auth\" {{ {OWN_AUTH} }}
            agent \"other\" {{ type \"x\"; command \"x\" }}
            agent \"limits\" {{
            type \"rate-limit\"; {after}
            policy \"p\" {{ key {key}; limit 5 per=\"1s\" }}
            policy \"plain\" {{ limit 5 per=\"1s\" }}
            }}
            route \"all\" {{ agents \"auth\" \"other\" \"limits\"; respond 200 }}
            {route}"
        )
    };
    check(
        &limits("", "\"header:X-User-Id\"", ""),
        expect![[r#"
        E0127 5:30 "header:X-User-Id"
            no agent that is asked before this one sets the header `x-user-id`
            add `after "auth"` to the agent
        W0213 8:49 "limits"
            policy `p` counts by the header `x-user-id`, which no agent of this route sets
            all clients share one limit here: ask the agent that sets it too, or name other policies in the route's block
    "#]],
    );
    check(
        &limits("after \"other\"", "\"header:X-User-Id\"", ""),
        expect![[r#"
        E0127 5:30 "header:X-User-Id"
            no agent that is asked before this one sets the header `x-user-id`
            add `after "auth"` to the agent
        W0213 8:49 "limits"
            policy `p` counts by the header `x-user-id`, which no agent of this route sets
            all clients share one limit here: ask the agent that sets it too, or name other policies in the route's block
    "#]],
    );
    check(
        &limits("", "\"claim:sub\"", ""),
        expect![[r#"
        E0127 5:30 "claim:sub"
            no agent that is asked before this one sets the claim `sub`
            add `after "auth"` to the agent
        W0213 8:49 "limits"
            policy `p` counts by the claim `sub`, which no agent of this route sets
            all clients share one limit here: ask the agent that sets it too, or name other policies in the route's block
    "#]],
    );
    check(
        &limits("after \"auth\"", "\"value:plan\"", ""),
        expect![[r#"
        E0127 5:30 "value:plan"
            no agent that is asked before this one sets the value `plan`
            add `after "other"` to the agent
        W0213 8:49 "limits"
            policy `p` counts by the value `plan`, which no agent of this route sets
            all clients share one limit here: ask the agent that sets it too, or name other policies in the route's block
    "#]],
    );
    check(&limits("after \"auth\"", "\"value:user\"", ""), expect![""]);
    check(&limits("after \"other\"", "\"value:plan\"", ""), expect![""]);
    let route = "route \"r\" { matches { path \"/x\" }; agents \"limits\"; respond 200 }";
    check(
        &limits("after \"auth\"", "\"claim:sub\"", route),
        expect![[r#"
            W0213 9:55 "limits"
                policy `p` counts by the claim `sub`, which no agent of this route sets
                all clients share one limit here: ask the agent that sets it too, or name other policies in the route's block
        "#]],
    );
    let route = "route \"r\" { matches { path \"/x\" }; agent \"limits\" { policy \"plain\" }; respond 200 }";
    check(&limits("after \"auth\"", "\"claim:sub\"", route), expect![""]);
}
