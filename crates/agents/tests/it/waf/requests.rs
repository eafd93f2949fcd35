//! What becomes of requests.

use std::io::Write;

use expect_test::expect;
use flate2::{Compression, write::GzEncoder};

use super::*;

#[test]
fn an_attack_is_refused_and_explained() {
    check(
        "",
        get(INJECTION),
        expect![[r#"
            request head: block 403
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:waf/refused","title":"Request refused","status":403,"detail":"The request looks like an attack.","code":"waf/refused"}
              finding sql/union-behind-value: Behind a value a second query is united with the page's own, whose rows the page then shows: any table can be read.: ARGS:id, bytes 1 to 30 of the decoded text: 1»' union select password from «users--
              finding sql/parsed: Put into a query, the value would be read as SQL and not as a value: the query does what the client wants.: ARGS:id, bytes 0 to 38 of the decoded text: »1' union select password from users-- «
              finding sql/union-select: Two queries united, as an attack appends them; a lesson in SQL has them too.: ARGS:id, bytes 3 to 30 of the decoded text: 1' »union select password from «users--
        "#]],
    );
}

#[test]
fn the_client_learns_a_reference_and_no_rule() {
    let mut attack = get(INJECTION);
    attack.attributes.push(("request.id".to_owned(), "0192-abc".to_owned()));
    let said = said(&start("excerpts #false"), &attack, None);
    assert!(said.contains(r#""reference":"0192-abc"}"#), "{said}");
    assert!(said.contains("finding sql/") && !said.contains('»'), "{said}");
}

#[test]
fn what_people_send_passes() {
    check(
        "",
        get("/search?q=O%27Brien+%26+sons"),
        expect![[r#"
            request head: allow, done
              value waf-score: 0
        "#]],
    );
    check(
        "",
        post("/orders").json(r#"{"name":"Zoë","note":"select a size from the list"}"#),
        expect![[r#"
            request head: allow
            request body: allow, done
              value waf-score: 0
        "#]],
    );
}

#[test]
fn bodies_are_read_as_what_they_are() {
    let json = r#"{"user":{"name":"x' OR '1'='1' -- "}}"#;
    check(
        "",
        post("/login").json(json),
        expect![[r#"
            request head: allow
            request body: block 403
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:waf/refused","title":"Request refused","status":403,"detail":"The request looks like an attack.","code":"waf/refused"}
              finding sql/tautology-strings: A literal is closed and compared with itself: the condition of the page's query always holds, or never.: ARGS:json.user.name, bytes 1 to 11 of the decoded text: x»' or '1'='«1' --
              finding sql/parsed: Put into a query, the value would be read as SQL and not as a value: the query does what the client wants.: ARGS:json.user.name, bytes 0 to 17 of the decoded text: »x' or '1'='1' -- «
              finding sql/comment-behind-quote: Behind a quote begins a comment of SQL.: ARGS:json.user.name, bytes 12 to 17 of the decoded text: x' or '1'='1»' -- «
        "#]],
    );
    let form = post("/c").field("content-type", "application/x-www-form-urlencoded");
    check(
        "",
        form.body("text=%3Cscript%3Ealert(document.cookie)%3C/script%3E"),
        expect![[r#"
            request head: allow
            request body: block 403
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:waf/refused","title":"Request refused","status":403,"detail":"The request looks like an attack.","code":"waf/refused"}
              finding xss/dialog-call: A dialog is opened, as proofs of a scripting hole do it.: ARGS:text, bytes 7 to 30 of the decoded text: <script»>alert(document.cookie)«</script>
              finding xss/parsed: A browser would run a script in the value, or load something for it, wherever in a page the value lands.: ARGS:text, bytes 0 to 39 of the decoded text: »<script>alert(document.cookie)</script>«; MATCHED_VARS:text, bytes 0 to 1 of the decoded text: »<«script>alert(document.cookie)</script>
              finding xss/script-tag: A script element: the page's visitors run what the client sends.: ARGS:text, bytes 0 to 8 of the decoded text: »<script>«alert(document.cookie)</script>
              finding xss/document-access: A script reads or rewrites the page's document.: ARGS:text, bytes 14 to 29 of the decoded text: <script>alert(»document.cookie«)</script>
        "#]],
    );
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Each case is a profile of one agent: the status of the refusal, or 0.
#[track_caller]
fn check_statuses(cases: &[(&str, Message, u16)]) {
    let profiles = cases.iter().enumerate();
    let profiles = profiles.map(|(at, (nodes, ..))| format!("profile \"p{at}\" {{ {nodes} }}\n"));
    let agent = start(&profiles.collect::<String>());
    for (at, (nodes, request, status)) in cases.iter().enumerate() {
        let request = request.clone().option("profile", &format!("p{at}"));
        let said = said(&agent, &request, None);
        let found = said.lines().find_map(|line| line.split_once(": block ")?.1.parse().ok());
        assert_eq!(found.unwrap_or(0), *status, "case {at}: {nodes}\n{said}");
    }
}

const ATTACK: &str = "1' UNION SELECT password FROM users-- ";

#[test]
fn bodies_come_out_of_their_codings() {
    let attack = format!("{{\"name\":\"{ATTACK}\"}}");
    let coded = |coding: &str, body: &[u8]| {
        post("/orders")
            .field("content-type", "application/json")
            .field("content-encoding", coding)
            .body(body)
    };
    check_statuses(&[
        ("", coded("gzip", &gzip(&attack)), 403),
        ("", coded("gzip", &gzip("{}")), 0),
        ("", coded("gzip", attack.as_bytes()), 400),
        ("", coded("br", attack.as_bytes()), 415),
        ("undecodable \"pass\"", coded("br", attack.as_bytes()), 0),
        ("mode \"detect\"", coded("br", attack.as_bytes()), 0),
        ("", coded("gzip", &gzip(&" ".repeat(200 << 10))), 413),
        ("", coded("gzip", &gzip("{}")).truncated(), 413),
    ]);
}

#[test]
fn a_body_above_the_bound_is_refused_or_judged_in_part_or_not_at_all() {
    let large = |text: &str| {
        post("/orders").json(&format!("{{\"a\":\"{text}\",\"b\":\"{}\"}}", "x ".repeat(600)))
    };
    let seen = post("/orders").field("content-type", "text/plain").body("x".repeat(64)).truncated();
    check_statuses(&[
        ("bounds { body \"1KiB\" }", large("fine"), 413),
        ("bounds { body \"1KiB\" }; oversize \"inspect\"", large("fine"), 0),
        ("bounds { body \"1KiB\" }; oversize \"inspect\"", large(ATTACK), 403),
        ("bounds { body \"1KiB\" }; oversize \"pass\"", large(ATTACK), 0),
        ("bounds { body \"64B\" }", seen.clone(), 413),
        ("bounds { body \"64B\" }; oversize \"inspect\"", seen, 0),
    ]);
}

#[test]
fn large_bodies_are_judged_elsewhere_with_the_same_result() {
    let padding = "lorem ipsum ".repeat(5_000);
    let large = |text: &str| post("/a").json(&format!("{{\"a\":\"{padding}\",\"b\":\"{text}\"}}"));
    check_statuses(&[("", large(ATTACK), 403), ("", large("dolor"), 0)]);
}

#[test]
fn types_and_broken_bodies_are_the_operators_choice() {
    let csv = || post("/a").field("content-type", "text/csv").body("a,b");
    let broken = || post("/a").json("{\"a\":");
    check_statuses(&[
        ("content-types \"application/json\"", post("/a").json("{}"), 0),
        ("content-types \"application/json\"", csv(), 415),
        ("undecodable \"reject\"", broken(), 400),
        ("undecodable \"pass\"", broken(), 0),
    ]);
}
