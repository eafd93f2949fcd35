//! What is wrong or doubtful about agents is said at its place, with a remedy.

mod auth;
mod rate_limit;
mod routes;
mod schema;

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
