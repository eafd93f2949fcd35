//! Mistakes in routes that ask agents.

use super::*;

#[test]
fn agents_are_asked_in_an_order() {
    let agent = |id: &str, after: &str| {
        format!("agent \"{id}\" {{ type \"x\"; address \"unix:{id}\"; {after} }}\n")
    };
    let route = "route \"r\" { agents \"first\" \"second\" \"third\"; respond 200 }";
    let three = |first: &str, second: &str, third: &str| {
        [agent("first", first), agent("second", second), agent("third", third), route.to_owned()]
            .concat()
    };
    check(
        &three("", "after \"fist\"", "after \"waf\""),
        expect![[r#"
        E0113 2:57 "fist"
            there is no agent `fist`
            did you mean `first`?
        E0113 3:55 "waf"
            there is no agent `waf`
            add `agent "waf" { type "waf"; … }`
    "#]],
    );
    check(
        &three("after \"second\"", "after \"third\"", "after \"first\""),
        expect![[r#"
        E0132 1:55 "second"
            agents `first`, `second`, `third` wait for each other
            remove one of the `after` that lead back
    "#]],
    );
    check(
        &three("after \"first\"", "after \"first\"", ""),
        expect![[r#"
        E0132 1:55 "first"
            agent `first` waits for itself
            remove one of the `after` that lead back
    "#]],
    );
}

/// As [`check`], for a route of some agents.
#[track_caller]
fn check_route(nodes: &str, expected: Expect) {
    let agents = format!(
        "agent \"auth\" {{ {OWN_AUTH} }}
        agent \"limits\" {{ type \"rate-limit\"; policy \"p\" {{ limit 5 per=\"1s\" }}; policy \"q\" {{ limit 5 per=\"1s\"; cost header=\"X\" }} }}
        agent \"schema\" {{ type \"schema\"; document \"orders\" {{ openapi \"ca.pem\" }} }}
        agent \"mine\" {{ type \"x\"; command \"x\" }}
        upstream \"u\" {{ target \"u:1\"; health {{ tcp }} }}
        route \"z\" {{ matches {{ path \"/z\" }}; agents \"auth\" \"limits\" \"schema\" \"mine\"; upstream \"u\" }}\n"
    );
    check(&format!("{agents}route \"r\" {{ {nodes} }}"), expected);
}

#[test]
fn routes_ask_agents_that_are_there() {
    check_route(
        "respond 200; agents \"aut\" \"lime\" \"rate-limit\" \"opa\"",
        expect![[r#"
        E0113 7:33 "aut"
            there is no agent `aut`
            did you mean `auth`?
        E0113 7:39 "lime"
            there is no agent `lime`
            add `agent "lime" { … }`
        E0113 7:46 "rate-limit"
            there is no agent `rate-limit`
            add `agent "rate-limit" { type "rate-limit"; … }`
        E0113 7:59 "opa"
            there is no agent `opa`
            add `agent "opa" { … }`
    "#]],
    );
    check_route(
        "respond 200; agents \"auth\" \"auth\"",
        expect![[r#"
        E0111 7:40 "auth"
            agent `auth` is named twice (first written here: 7:33 "auth")
            keep one of them
    "#]],
    );
    check_route(
        "respond 200; agents \"auth\"\nagents \"mine\"",
        expect![[r#"
        E0111 8:1 agents
            `agents` is written twice (first written here: 7:26 agents)
            write all ids into one list
    "#]],
    );
    check_route(
        "respond 200; agent \"auth\"\nagents \"auth\"",
        expect![[r#"
        E0111 8:8 "auth"
            agent `auth` is named twice (first written here: 7:32 "auth")
            write `agents` above the blocks, or leave the agent out of one of them
    "#]],
    );
    check_route(
        "respond 200; agent \"auth\"\nagent \"auth\"",
        expect![[r#"
        E0111 8:7 "auth"
            agent `auth` is named twice (first written here: 7:32 "auth")
            keep one of them
    "#]],
    );
    check_route(
        "respond 200; agents\nagent",
        expect![[r#"
        E0106 7:26 agents
            `agents` needs ids of agents
            write ids of agents behind `agents`
        E0106 8:1 agent
            `agent` needs the id of an agent
            write the id of an agent behind `agent`
    "#]],
    );
    check_route(
        "respond 200; agent \"auth\" failure-mode=\"open\"",
        expect![[r#"
            W0209 7:39 failure-mode="open"
                while this agent does not answer, everybody passes
                write "closed", or leave it out
        "#]],
    );
    check_route(
        "respond 200; agent \"mine\" failure-mode=\"ajar\" mode=\"open\"",
        expect![[r#"
        E0120 7:39 failure-mode="ajar"
            "ajar" is none of the choices
            it is one of `open` or `closed`
        E0103 7:59 mode="open"
            unknown property `mode` of `agent`
            known here: `failure-mode`
    "#]],
    );
    let many = (0..33).map(|n| format!("\"a{n}\" ")).collect::<String>();
    let agents = (0..33).map(|n| format!("agent \"a{n}\" {{ type \"x\"; command \"x\" }}\n"));
    let text =
        format!("{}route \"r\" {{ agents {many}; respond 200 }}", agents.collect::<String>());
    check(
        &text,
        expect![[r#"
        E0130 34:202 "a32"
            a route asks at most 32 agents
            split the route, or leave agents out
    "#]],
    );
    let agents = (0..257).map(|n| format!("agent \"a{n}\" {{ type \"x\"; command \"x\" }}\n"));
    check(
        &agents.collect::<String>(),
        expect![[r#"
        E0130 257:1 agent
            a config has at most 256 agents
            leave some of them out
    "#]],
    );
}

#[test]
fn options_belong_to_their_kind() {
    check_route(
        "respond 200; agent \"auth\" { role \"admin\"; scopes \"a b\" 1; anonymous \"yes\" }",
        expect![[r#"
            E0102 7:41 role
                an agent of type `auth` has no option `role` on routes
                did you mean `roles`?
            E0131 7:62 "a b"
                a scope cannot hold a blank
                write each scope in quotes of its own
            E0107 7:68 1
                something else stands where text belongs
                put it in double quotes
            E0107 7:81 "yes"
                something else stands where a switch belongs
                write #true or #false
        "#]],
    );
    check_route(
        "respond 200; agent \"auth\" { roles \"a\"; anonymous #true }",
        expect![[r#"
        E0127 7:32 "auth"
            nobody in particular has no roles or scopes
            remove `anonymous`, or remove `roles` and `scopes`
    "#]],
    );
    check_route(
        "respond 200; agent \"auth\" { roles; roles \"a\"; \"a b\" 1 }",
        expect![[r#"
            E0106 7:41 roles
                `roles` needs a value
                write a value behind `roles`
            E0111 7:48 roles
                `roles` is written twice (first written here: 7:41 roles)
                keep one of them; it takes several values
            E0129 7:59 "a b"
                "a b" cannot be an id
                1 to 64 letters, digits, `-`, `_` or `.`
        "#]],
    );
    check_route(
        "respond 200; agent \"limits\" { policy \"pp\" \"other\" 1; cost \"5\"; x 1 }",
        expect![[r#"
            E0113 7:50 "pp"
                agent `limits` has no policy `pp`
                did you mean `p`?
            E0113 7:55 "other"
                agent `limits` has no policy `other`
                it has `p` or `q`
            E0107 7:63 1
                something else stands where text belongs
                put it in double quotes
            E0107 7:71 "5"
                something else stands where a whole number belongs
                write digits alone, without quotes
            E0102 7:76 x
                an agent of type `rate-limit` has no option `x` on routes
                known here: `policy` or `cost`
        "#]],
    );
    check_route(
        "respond 200; agent \"limits\" { cost 6 }",
        expect![[r#"
        E0127 7:48 6
            a bucket of `p` holds 5: no request can ever pay 6
            raise `burst` or lower the cost
    "#]],
    );
    check_route(
        "respond 200; agent \"limits\" { policy \"q\"; cost 5 }",
        expect![[r#"
        E0127 7:60 5
            no policy of this route has a fixed cost
            remove `cost`
    "#]],
    );
    check_route(
        "respond 200; agent \"limits\" { policy \"p\"; cost 5 6 -1 }",
        expect![[r#"
        E0104 7:62 6
            `cost` takes one value
            remove it
        E0104 7:64 -1
            `cost` takes one value
            remove it
    "#]],
    );
    check_route(
        "respond 200; agent \"limits\" { policy \"p\"; cost -1 }",
        expect![[r#"
        E0109 7:60 -1
            -1 is out of range
            allowed: 0 to 1000000000
    "#]],
    );
    check_route(
        "respond 200; agent \"schema\" { document \"order\"; schema \"s\"; report-only #true #false }",
        expect![[r#"
            E0113 7:52 "order"
                agent `schema` has no document `order`
                did you mean `orders`?
            E0113 7:68 "s"
                agent `schema` has no schema `s`
                it has none; add one to the agent, or remove `schema`
            E0104 7:91 #false
                `report-only` takes one value
                remove it
        "#]],
    );
    check_route(
        "respond 200; agent \"mine\" { tier (env)\"OTLP_KEY\"; x #null; y a=1 }",
        expect![[r#"
            E0105 7:46 (env)"OTLP_KEY"
                `(env)` is for values in quotes, not for this one
                write the value itself
            E0107 7:65 #null
                #null stands where a value belongs
                write text, a number or a switch
            E0106 7:72 y
                `y` needs a value
                write a value behind `y`
            E0103 7:74 a=1
                unknown property `a` of `y`
                `y` has no properties
        "#]],
    );
}

#[test]
fn values_choose_upstreams() {
    check_route(
        "respond 200; agents \"mine\"; upstream-by \"plan\" { \"gold\" \"u\" }",
        expect![[r#"
            E0127 7:41 upstream-by
                `upstream-by` has no effect: this route's requests go to no upstream
                remove it
        "#]],
    );
    check_route(
        "upstream \"u\"; agents \"auth\"; upstream-by \"plan\" { \"gold\" \"u\" }",
        expect![[r#"
            E0127 7:54 "plan"
                no agent of this route sets the value `plan`
                add the agent that does, or `values { … }` to one of type `auth`
        "#]],
    );
    check_route(
        "upstream \"u\"; upstream-by \"plan\" { \"gold\" \"u\" }",
        expect![[r#"
        E0127 7:39 "plan"
            no agent of this route sets the value `plan`
            add the agent that does, or `values { … }` to one of type `auth`
    "#]],
    );
    check_route(
        "upstream \"u\"; agents \"auth\"; upstream-by \"user\" { \"gold\" \"u\" }",
        expect![""],
    );
    check_route(
        "upstream \"u\"; agents \"mine\"; upstream-by \"a b\" { \"gold\" \"v\"; \"gold\" \"u\"; \"free\" }",
        expect![[r#"
            E0129 7:54 "a b"
                "a b" cannot be an id
                1 to 64 letters, digits, `-`, `_` or `.`
            E0113 7:69 "v"
                there is no upstream `v`
                did you mean `u`?
            E0111 7:74 "gold"
                "gold" is there twice (first written here: 7:62 "gold")
                keep one of them
            E0106 7:86 "free"
                `free` needs the id of an upstream
                write the id of an upstream behind `free`
        "#]],
    );
    check_route(
        "upstream \"u\"; agents \"mine\"; upstream-by \"plan\"",
        expect![[r#"
        E0106 7:42 upstream-by
            `upstream-by` chooses among nothing
            write `upstream-by "plan" { "gold" "backend-gold" }`
    "#]],
    );
}

#[test]
fn an_agent_that_inspects_more_than_routes_let_through() {
    let text = |limits: &str| {
        format!(
            "agent \"a\" {{ type \"x\"; command \"x\"; body-max \"2MiB\" }}
            route \"r\" {{ agents \"a\"; respond 200; {limits} }}
            route \"s\" {{ matches {{ path \"/s\" }}; agents \"a\"; respond 200; limits {{ body \"1KiB\" }} }}"
        )
    };
    check(&text(""), expect![""]);
    check(
        &text("limits { body \"1MiB\" }"),
        expect![[r#"
            W0212 1:45 "2MiB"
                no route that asks this agent lets more than 1MiB through
                lower `body-max`, or raise `limits { body }` of a route
        "#]],
    );
}
