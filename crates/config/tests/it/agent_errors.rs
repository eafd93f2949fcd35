//! What is wrong or doubtful about agents is said at its place, with a remedy.

use expect_test::{Expect, expect};
use selvedge_config::{Code, Diagnostic, Place, parse_str};

use crate::language::environment;

/// Each line: code, place, what is underlined, message, remedy.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let found = match parse_str("/etc/selvedge.kdl", text, &environment()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report.diagnostics().to_vec(),
    };
    // No config here has a listener.
    let found = found.iter().filter(|one| one.code != Code::NoListener);
    expected.assert_eq(&found.map(line).collect::<String>());
}

fn line(found: &Diagnostic) -> String {
    let place = |place: &Place| {
        let underlined = place.text.chars().skip(place.column - 1).take(place.width);
        format!("{}:{} {}", place.line, place.column, underlined.collect::<String>())
    };
    let at = found.place.as_ref().map(place).unwrap_or_default();
    let note = found.note.as_ref();
    let note = note.map(|(text, at)| format!(" ({text}: {})", place(at))).unwrap_or_default();
    format!(
        "{} {at}\n    {}{note}\n    {}\n",
        found.code,
        found.message,
        found.help.as_deref().unwrap_or("no help")
    )
}

/// As [`check`], for nodes of an agent that a route asks.
#[track_caller]
fn check_nodes(nodes: &str, expected: Expect) {
    check(
        &format!("agent \"a\" {{\n{nodes}\n}}\nroute \"r\" {{ agents \"a\"; respond 200 }}"),
        expected,
    );
}

const OWN_AUTH: &str = "type \"auth\"; client-certificate";

#[test]
fn an_agent_says_what_it_is_and_where_it_runs() {
    check(
        "agent \"a\"",
        expect![[r#"
        E0106 1:1 agent
            `agent` has no `type`
            add `type "auth"`
        W0208 1:7 "a"
            no route asks agent `a`
            add `agents "a"` to a route, or remove it
    "#]],
    );
    check_nodes(
        "type \"aut\"; issuer \"https://x\"",
        expect![[r#"
        E0120 2:6 "aut"
            Selvedge has no agent of type `aut`
            did you mean `auth`?
    "#]],
    );
    check_nodes(
        "type \"geoip\"",
        expect![[r#"
        E0120 2:6 "geoip"
            Selvedge has no agent of type `geoip`
            it is one of `auth`, `rate-limit`, `schema` or `waf`; one of somebody else's says where it runs by `command`, `address`, `grpc` or `http`
    "#]],
    );
    check_nodes(
        "type \"x\"; address \"unix:a\"; grpc address=\"http://localhost:1\"",
        expect![[r#"
            E0127 2:29 grpc
                an agent runs in one place (the first is here: 2:11 address)
                keep one of `command`, `address`, `grpc` and `http`
        "#]],
    );
    check_nodes(
        "type \"x\"; address \"/run/a.sock\"",
        expect![[r#"
        E0121 2:19 "/run/a.sock"
            "/run/a.sock" is not the address of an agent
            write "unix:/run/a.sock"
    "#]],
    );
    check_nodes(
        "type \"x\"; address \"http://localhost:1\"",
        expect![[r#"
        E0121 2:19 "http://localhost:1"
            "http://localhost:1" is not the address of an agent
            write `grpc address="http://localhost:1"` or `http address="http://localhost:1"`
    "#]],
    );
    check_nodes(
        "type \"x\"; address \"localhost:1\"",
        expect![[r#"
        E0121 2:19 "localhost:1"
            "localhost:1" is not the address of an agent
            it is a unix socket, such as "unix:/run/agent.sock"
    "#]],
    );
    check_nodes(
        "type \"x\"; command",
        expect![[r#"
        E0106 2:11 command
            `command` needs a program
            write a program behind `command`
    "#]],
    );
    check_nodes(
        "type \"x\"; command \"bin/nothing\"",
        expect![[r#"
        E0125 2:19 "bin/nothing"
            "bin/nothing" is not there
            looked for /etc/bin/nothing; relative paths start at the folder of this file
    "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\" 1 (env)\"OTLP_KEY\"",
        expect![[r#"
        E0107 2:23 1
            a whole number stands where text belongs
            put it in double quotes
        E0105 2:25 (env)"OTLP_KEY"
            `(env)` is for values in quotes, not for this one
            write the value itself
    "#]],
    );
    check_nodes(
        "type \"x\"; grpc",
        expect![[r#"
        E0106 2:11 grpc
            `grpc` needs an address
            write `grpc address="http://localhost:50051"`
    "#]],
    );
    check_nodes(
        "type \"x\"; grpc address=\"localhost:1\" protocol=\"ext_authz\"",
        expect![[r#"
        E0121 2:16 address="localhost:1"
            "localhost:1" is not the URL of a service
            such as "http://127.0.0.1:4318"
        E0103 2:38 protocol="ext_authz"
            unknown property `protocol` of `grpc`
            `protocol` is a node of its own: `{ protocol … }`
    "#]],
    );
    check_nodes(
        "type \"x\"; grpc address=\"http://localhost:1\" { protocol \"extproc\" }",
        expect![[r#"
            E0120 2:56 "extproc"
                "extproc" is none of the choices
                did you mean `ext_proc`?
        "#]],
    );
    check_nodes(
        "type \"x\"; grpc address=\"http://localhost:1\" { protocol \"ext_authz\"; body-mode \"stream\" }",
        expect![[r#"
            E0127 2:79 "stream"
                ext_authz gets a body as a whole
                remove `body-mode`
        "#]],
    );
    check_nodes(
        "type \"x\"; http address=\"http://localhost:1/?a#b\"",
        expect![[r#"
        E0121 2:16 address="http://localhost:1/?a#b"
            "http://localhost:1/?a#b" is not a URL
            such as "https://id.example.com/keys"
    "#]],
    );
    check_nodes(
        "type \"x\"; http address=\"http://localhost:1\" { response-headers \"Content-Length\" \"a\" \"A\" }",
        expect![[r#"
            E0117 2:64 "Content-Length"
                `Content-Length` belongs to the edge
                it frames messages or steers the connection; remove this operation
            E0111 2:85 "A"
                `a` is there already
                remove it
        "#]],
    );
    check_nodes(
        "type \"x\"; grpc address=\"http://opa.internal:1\"",
        expect![[r#"
            W0211 2:11 grpc
                whoever is on the way can read these questions and answer them
                use `https://`, or a service on this machine
        "#]],
    );
}

#[test]
fn settings_belong_to_their_kind() {
    check_nodes(
        "type \"rate-limit\"; policy \"p\" { limit 1 per=\"1s\" }\nissuer \"https://x\"\nsettings { a 1 }",
        expect![[r#"
            E0127 3:1 issuer
                `issuer` is for Selvedge's own agents of type `auth`
                remove it, or write it into an agent of that type
            E0127 4:1 settings
                `settings` are for agents of others; this one has nodes of its own
                write them into the agent's block itself
        "#]],
    );
    check_nodes(
        "type \"auth\"; grpc address=\"http://localhost:1\"\nissuer \"https://x\"\nsettings { a 1 }",
        expect![[r#"
            E0127 3:1 issuer
                `issuer` is for Selvedge's own agents of type `auth`
                remove it; this agent runs elsewhere
            E0127 4:1 settings
                `settings` cannot be told to this service: its protocol has no place for them
                remove them; `metadata "name" "value"` in `grpc { }` goes with each call
        "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"\nsettings 1 { a 1 2 b=3; - 1; c { - 1; d 2 } }",
        expect![[r#"
            E0127 3:1 settings
                settings are names with values
                write `name value`; `-` is for the items of a list
            E0104 3:10 1
                `settings` does not take this argument
                remove it
            E0127 3:14 a
                `a` has values and names
                write the values as a list of their own: `name { - 1; - 2 }`
            E0127 3:39 d
                `d` stands in a list
                either all nodes of a block are called `-`, or none is
        "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"\nsettings { - 1 }",
        expect![[r#"
        E0127 3:1 settings
            settings are names with values
            write `name value`; `-` is for the items of a list
    "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"\nsettings a=1 { a 2; b (env)\"NOTHING\"; c #inf }",
        expect![[r#"
            E0124 3:23 (env)"NOTHING"
                the environment has no variable `NOTHING`
                set `NOTHING` before the start, or use (file)"path"
            E0109 3:41 #inf
                JSON has no number for this value
                write it as text, or a number that fits 64 bits
        "#]],
    );
}

#[test]
fn a_setting_is_written_once_or_is_a_list() {
    check_nodes(
        "type \"x\"; command \"x\"\nsettings a=1 { a 2 }",
        expect![[r#"
        E0111 3:16 a
            `a` is written twice (first written here: 3:10 a=1)
            keep one of them
    "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"\nsettings { a 1; a 2; settings { a 3 } }",
        expect![[""]],
    );
}

#[test]
fn settings_fit_one_frame() {
    let text = "agent \"a\" { type \"x\"; command \"x\"; settings { key (file)\"key\" } }
        route \"r\" { agents \"a\"; respond 200 }";
    let check = |size: usize, expected: &[Code]| {
        let environment = environment().with_file("/etc/key", &"x".repeat(size));
        let found = match parse_str("/etc/selvedge.kdl", text, &environment) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report.diagnostics().to_vec(),
        };
        assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), expected);
    };
    check(500 << 10, &[Code::NoListener]);
    check(513 << 10, &[Code::TooLarge]);
}

#[test]
fn bounds_and_processes() {
    check_nodes(
        "type \"x\"; address \"unix:a\"; threads 2; sandbox; restart { backoff \"1s\" }",
        expect![[r#"
            E0127 2:37 2
                `threads` has no effect: Selvedge does not start this agent
                remove it, or write `command` instead of `address`
            E0127 2:40 sandbox
                `sandbox` has no effect: Selvedge does not start this agent
                remove it, or write `command` instead of `address`
            E0127 2:49 restart
                `restart` has no effect: Selvedge does not start this agent
                remove it, or write `command` instead of `address`
        "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"; threads 0; restart { backoff \"2s\"; backoff-max \"1s\" }
        sandbox { memory \"1MiB\"; descriptors 8; landlock 1; read \"nowhere\"; net \"x\" }
        timeout-ms \"1s\"; body-max \"1GiB\"; max-concurrent-calls 0; failure-mode \"opne\"",
        expect![[r#"
            E0109 2:32 0
                0 is out of range
                allowed: 1 to 64
            E0127 2:71 "1s"
                the longest wait is shorter than the first
                raise `backoff-max` or lower `backoff`
            E0109 3:26 "1MiB"
                "1MiB" is out of range
                allowed: 16MiB to 1TiB
            E0109 3:46 8
                8 is out of range
                allowed: 32 to 1048576
            E0107 3:58 1
                a whole number stands where a switch belongs
                write #true or #false
            E0125 3:66 "nowhere"
                "nowhere" is not there
                looked for /etc/nowhere; relative paths start at the folder of this file
            E0102 3:77 net
                unknown node `net` in `sandbox`
                known here: `memory`, `descriptors`, `landlock`, `seccomp`, `read` or `write`
            E0107 4:20 "1s"
                text stands where a whole number belongs
                write digits alone, without quotes
            E0109 4:35 "1GiB"
                "1GiB" is out of range
                allowed: 1B to 64MiB
            E0109 4:64 0
                0 is out of range
                allowed: 1 to 1000000
            E0120 4:80 "opne"
                "opne" is none of the choices
                did you mean `open`?
        "#]],
    );
}

#[test]
fn events_are_those_that_somebody_has_use_for() {
    check_nodes(
        &format!("{OWN_AUTH}; events \"request_headers\" \"request_body\""),
        expect![[r#"
        E0127 2:59 "request_body"
            an agent of type `auth` with these settings has no use for `request_body`
            it is asked about `request_headers`
    "#]],
    );
    check_nodes(
        &format!("{OWN_AUTH}; events \"log\""),
        expect![[r#"
        E0127 1:1 agent
            without `request_headers` this agent cannot do what its settings say
            leave `events` out: it is asked about `request_headers`
        E0127 2:41 "log"
            an agent of type `auth` with these settings has no use for `log`
            it is asked about `request_headers`
    "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"; events \"log\" \"log\" \"bye\"",
        expect![[r#"
        E0111 2:37 "log"
            this event is there already
            remove it
        E0120 2:43 "bye"
            "bye" is none of the choices
            it is one of `request_headers`, `request_body`, `response_headers`, `response_body`, `websocket_frame` or `log`
    "#]],
    );
    check_nodes(
        "type \"x\"; grpc address=\"http://localhost:1\"; events \"log\"",
        expect![[r#"
        E0127 2:53 "log"
            the protocol of this service has no `log`
            it knows `request_headers`, `request_body`, `response_headers` or `response_body`
    "#]],
    );
    check_nodes(
        "type \"x\"; http address=\"http://localhost:1\"; events \"response_body\"",
        expect![[r#"
            E0127 2:53 "response_body"
                the protocol of this service has no `response_body`
                it knows `request_headers` or `request_body`
        "#]],
    );
    check_nodes(
        "type \"x\"; command \"x\"; events",
        expect![[r#"
        E0106 2:24 events
            `events` needs events such as "request_headers"
            write events such as "request_headers" behind `events`
    "#]],
    );
}

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

#[test]
fn identity_headers_are_for_agents_alone() {
    check_nodes(
        &format!("{OWN_AUTH}; identity-headers \"Authorization\" \"Host\" \"a b\""),
        expect![[r#"
            E0117 2:51 "Authorization"
                `Authorization` cannot be taken off clients' requests
                it holds their credentials; use a name such as "X-User-Id"
            E0117 2:67 "Host"
                `Host` cannot be set here
                write `rewrite { host "…" }`
            E0116 2:74 "a b"
                "a b" is not the name of a header
                letters, digits and `-`, such as "X-Request-Id"
        "#]],
    );
    check_nodes(
        &format!("{OWN_AUTH}; claims {{ \"sub\" \"Cookie\" }}"),
        expect![[r#"
        E0117 2:49 "Cookie"
            `Cookie` cannot be taken off clients' requests
            it holds their credentials; use a name such as "X-User-Id"
    "#]],
    );
    check_nodes(
        "type \"auth\"; api-keys { file \"keys/api.txt\"; header \"X-User-Id\" }",
        expect![[r#"
            E0127 1:1 agent
                `x-user-id` is taken off every client's request, with the credential in it
                an agent sets this field: send the credential, or the identity, in another
        "#]],
    );
}

#[test]
fn auth() {
    check_nodes(
        "type \"auth\"",
        expect![[r#"
        E0106 1:1 agent
            this agent knows nobody, and refuses everybody
            add `issuer "https://…" { … }`, `api-keys` or `client-certificate`
    "#]],
    );
    check_nodes(
        "type \"auth\"\nissuer\nissuer \"x\" { audience \"a\" }\nissuer \"x\" { jwks }",
        expect![[r#"
            E0106 3:1 issuer
                `issuer` needs the `iss` of tokens, such as "https://id.example.com"
                write the `iss` of tokens, such as "https://id.example.com" behind `issuer`
            E0106 4:8 "x"
                this issuer is no URL, and nothing else says where its keys are
                add `jwks url="https://…"` or `jwks file="keys.json"`
            E0110 5:8 "x"
                this issuer is written twice (first written here: 4:8 "x")
                merge the two blocks; a block takes several audiences and algorithms
            E0106 5:14 jwks
                `jwks` does not say where it is
                write `jwks url="https://…"` or `jwks file="keys.json"`; without `jwks`, discovery finds the keys
        "#]],
    );
    check_nodes(
        "type \"auth\"\nissuer \"https://x\" {
            jwks url=\"x\" file=\"y\"
            audience
            algorithms \"HS256\" \"none\" \"RS265\" \"ES256\" \"ES256\"
            type \"a b\"
            leeway \"1h\"; refresh \"1s\"; refetch-interval 5; timeout \"1ms\"
            ca \"nowhere.pem\"
            cache 1
        }",
        expect![[r#"
            E0127 4:13 jwks
                keys come from one place
                keep `url=` or `file=`
            E0106 5:13 audience
                `audience` needs audiences
                write audiences behind `audience`
            E0120 6:24 "HS256"
                "HS256" proves nothing: whoever can verify can sign
                have the issuer sign with a private key, such as "ES256" or "RS256"
            E0120 6:32 "none"
                "none" proves nothing: whoever can verify can sign
                have the issuer sign with a private key, such as "ES256" or "RS256"
            E0120 6:39 "RS265"
                "RS265" is none of the choices
                did you mean `RS256`?
            E0111 6:55 "ES256"
                this algorithm is there already
                remove it
            E0131 7:18 "a b"
                this cannot be the type of a token
                one word, such as "at+jwt"
            E0109 8:20 "1h"
                "1h" is out of range
                allowed: 0s to 10m
            E0109 8:34 "1s"
                "1s" is out of range
                allowed: 10s to 7d
            E0107 8:57 5
                a whole number stands where a duration belongs
                write it in quotes and with its unit, such as "10s"
            E0109 8:68 "1ms"
                "1ms" is out of range
                allowed: 100ms to 1m
            E0125 9:16 "nowhere.pem"
                "nowhere.pem" is not there
                looked for /etc/nowhere.pem; relative paths start at the folder of this file
            E0102 10:13 cache
                unknown node `cache` in `issuer`
                known here: `jwks`, `audience`, `algorithms`, `type`, `leeway`, `refresh`, `refetch-interval`, `timeout` or `ca`
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"http://id.internal\"",
        expect![[r#"
            W0211 2:14 issuer
                whoever is on the way to these keys can replace them, and sign tokens
                use `https://`, or `jwks file="…"`
            W0210 2:14 issuer
                tokens that this issuer made for somebody else are accepted
                add `audience "…"`: the name that the issuer knows this service by
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"x\" { jwks url=\"http://10.0.0.1/keys\"; audience \"a\" }",
        expect![[r#"
            W0211 2:14 issuer
                whoever is on the way to these keys can replace them, and sign tokens
                use `https://`, or `jwks file="…"`
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"x\" { jwks url=\"http://[::1]:1/keys\"; audience \"a\" }",
        expect![""],
    );
    check_nodes(
        &format!(
            "{OWN_AUTH}
            token
            api-keys {{ header \"a b\"; cookie \"a;b\"; query \"\" }}
            claims {{ \"sub\" \"X-User-Id\"; \"sub\" \"X-User-Id\"; \"roles\" }}
            values {{ \"a\"; \"b\" \"a\"; \"https://x\"; \"c\" \"d e\" }}
            realm \"a\\\"b\"
            anonymous \"yes\"
            cache -1"
        ),
        expect![[r#"
            E0106 3:13 token
                `token` does not say where a token is
                add `header`, `cookie` or `query`, or leave `token` out
            E0106 4:13 api-keys
                `api-keys` has no `file`
                add `file "keys.txt"`
            E0116 4:31 "a b"
                "a b" is not the name of a header
                letters, digits and `-`, such as "X-Request-Id"
            E0116 4:45 "a;b"
                "a;b" is not the name of a cookie
                letters, digits, `-` and `_`
            E0131 4:58 ""
                this cannot be the name of a query parameter
                1 to 256 bytes without control characters, and no blanks at the ends
            E0111 5:41 "sub"
                this claim fills this header already
                remove it
            E0106 5:60 "roles"
                `roles` needs the name of a header
                write the name of a header behind `roles`
            E0111 6:27 "b"
                two claims set the value `a`
                give one of them another name: `"claim" "name"`
            E0129 6:36 "https://x"
                "https://x" cannot be the name of a value
                write a name behind the claim: `"claim" "name"`
            E0129 6:53 "d e"
                "d e" cannot be an id
                1 to 64 letters, digits, `-`, `_` or `.`
            E0131 7:19 "a\"b"
                this cannot be a realm
                1 to 256 ASCII characters without quotes and backslashes
            E0107 8:23 "yes"
                text stands where a switch belongs
                write #true or #false
            E0109 9:19 -1
                -1 is out of range
                allowed: 0 to 10000000
        "#]],
    );
    check_nodes(
        "type \"auth\"; client-certificate { identity \"san-url\"; allow \"a*b\"; roles \"a,b\"; scopes \"a b\" }",
        expect![[r#"
            E0120 2:44 "san-url"
                "san-url" is none of the choices
                did you mean `san-uri`?
            E0131 2:61 "a*b"
                `*` stands for the rest, at the end only
                such as "spiffe://example.org/*"
            E0131 2:74 "a,b"
                a role cannot hold a comma
                write each role in quotes of its own
            E0131 2:88 "a b"
                a scope cannot hold a blank
                write each scope in quotes of its own
        "#]],
    );
    check_nodes(
        &format!("{OWN_AUTH}; failure-mode \"open\""),
        expect![[r#"
            W0209 2:47 "open"
                while this agent does not answer, everybody passes
                write "closed", or leave it out
        "#]],
    );
}

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
        policy \"t\" { limit 5 per=\"1s\"; ipv6-prefix 129; keys-max 0; delay { queue 0; max \"1h\" } }",
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

#[test]
fn schema() {
    check_nodes(
        "type \"schema\"",
        expect![[r#"
        E0106 1:1 agent
            this agent has nothing to check by
            add `document "api" { openapi "openapi.yaml" }` or `schema "order" { … }`
    "#]],
    );
    check_nodes(
        "type \"schema\"
        document \"d\"
        document \"d\" { openapi \"nowhere.yaml\"; base-path \"api\"; undocumented \"allow\" }
        schema \"s\"
        schema \"s\" { file \"ca.pem\"; on \"both\"; path \"x\"; path-regex \"(\"; method \"post\"; content-type \"json\" \"application/json; charset=utf-8\" }
        bounds { depth 0; size \"1MiB\" }; status 410; patterns \"fast\"",
        expect![[r##"
            E0106 3:9 document
                `document` has no `openapi`
                add `openapi "openapi.yaml"`
            E0110 4:18 "d"
                two documents have the id `d` (first written here: 3:18 "d")
                give one of them another id
            E0125 4:32 "nowhere.yaml"
                "nowhere.yaml" is not there
                looked for /etc/nowhere.yaml; relative paths start at the folder of this file
            E0119 4:58 "api"
                "api" is not a path
                it begins with `/`: "/api"
            E0120 4:78 "allow"
                "allow" is none of the choices
                it is one of `refuse` or `pass`
            E0106 5:9 schema
                `schema` has no `file`
                add `file "order.json"`
            E0110 6:16 "s"
                two schemas have the id `s` (first written here: 5:16 "s")
                give one of them another id
            E0120 6:40 "both"
                "both" is none of the choices
                it is one of `request` or `response`
            E0119 6:53 "x"
                "x" is not a path
                it begins with `/`: "/x"
            E0115 6:69 "("
                regex parse error:
                (
                ^
            error: unclosed group
                mend it where the caret points; raw text saves backslashes: #"\d+"#
            E0120 6:81 "post"
                "post" is not a method
                methods are in capitals: "POST"
            E0116 6:102 "json"
                "json" is not a media type
                such as "application/json" or "application/*+json", without parameters
            E0116 6:109 "application/json; charset=utf-8"
                "application/json; charset=utf-8" is not a media type
                such as "application/json" or "application/*+json", without parameters
            E0109 7:24 0
                0 is out of range
                allowed: 1 to 127
            E0109 7:49 410
                410 does not say that a request is invalid
                write 400 or 422
            E0120 7:63 "fast"
                "fast" is none of the choices
                it is one of `linear` or `backtracking`
        "##]],
    );
    check_nodes(
        "type \"schema\"; schema \"s\" { file \"ca.pem\" }; response #true",
        expect![[r#"
        E0127 2:55 #true
            `response` concerns documents, and there is none
            write `on "response"` into a `schema`
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
