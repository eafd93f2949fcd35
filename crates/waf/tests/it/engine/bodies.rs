//! What is seen of bodies, however they are written.

use selvedge_waf::policy::Unreadable;

use super::*;

const EVIL: &str = r##"
    category "sql"
    rule "sql/evil" id=1 {
        about "Evil."
        points 30
        on "args" "args-names" "files" "files-content"
        text "raw"
        matches #"evil"#
    }
"##;

/// Checks a multipart body of one part: whether what it says is seen.
#[track_caller]
fn check_part(headers: &str, content: &[u8], is_seen: bool) {
    let head = format!("--B\r\nContent-Disposition: form-data; {headers}\r\n\r\n");
    let body = [head.as_bytes(), content, b"\r\n--B--\r\n"].concat();
    let exchange = post("multipart/form-data; boundary=B", body);
    let profile = profile(&native(EVIL), Policy::default());
    let decision = judge(&mut Transaction::new(), &profile, &exchange);
    assert_eq!(decision != Decision::Pass, is_seen, "{headers}");
}

#[test]
fn parts_are_judged_as_they_stand_and_decoded() {
    let text = |charset: &str| format!("name=a\r\nContent-Type: text/plain; charset={charset}");
    check_part("name=a", b"evil", true);
    check_part("name=a", b"good", false);
    check_part(&text("utf-16le"), b"e\0v\0i\0l\0", true);
    check_part(&text("utf-16be"), b"\0e\0v\0i\0l", true);
    check_part(&text("utf-7"), b"+AGU-vil", true);
    check_part(&text("utf-8"), b"+AGU-vil", false);
    check_part(&text("utf-16le"), b"evil", true);
    check_part("name=a\r\nContent-Transfer-Encoding: base64", b"ZXZpbA==", true);
    check_part("name=a\r\nContent-Transfer-Encoding: quoted-printable", b"=65vil", true);
    check_part("name=a; filename=f\r\nContent-Transfer-Encoding: base64", b"ZXZpbA==", true);
}

/// Checks a body of some type under a policy that looks at what cannot be read: whether it is seen.
#[track_caller]
fn check_body(content_type: &str, body: &str, is_seen: bool) {
    let rules =
        native(&EVIL.replace(r#""args" "args-names" "files" "files-content""#, r#""input""#));
    let policy = Policy { undecodable: Unreadable::Inspect, ..Policy::default() };
    let decision =
        judge(&mut Transaction::new(), &profile(&rules, policy), &post(content_type, body));
    assert_eq!(decision != Decision::Pass, is_seen, "{content_type}: {body}");
}

#[test]
fn what_no_parser_reads_is_looked_at() {
    check_body("text/plain", "evil", true);
    check_body("text/plain", "good", false);
    check_body("application/x-own", "evil", true);
    check_body("text/plain; charset=utf-16le", "e\0v\0i\0l\0", true);
    // Broken before the interesting part.
    check_body("application/json", r#"{"a": } "evil""#, true);
    check_body("multipart/form-data; boundary=B", "no part at all, evil", true);
}

#[test]
fn no_name_of_a_file_or_a_field_hides() {
    let cases = [
        "name=a; filename=evil",
        "name=a; filename=f; filename=evil",
        "name=a; filename=evil; filename=f",
        "name=a; filename=f; filename*=utf-8''%65vil",
        "name=a; filename=f; filename*0=ev; filename*1=il",
        "name=a; filename=f; filename*1*=%69l; filename*0*=utf-8''ev",
        "name=a; filename=\"=?utf-8?q?=65vil?=\"",
        "name=a; name=evil",
        "name=evil; name=a",
        "name*=utf-8''%65vil",
    ];
    for headers in cases {
        check_part(headers, b"good", true);
    }
    check_part("name=a; filename=f", b"good", false);
}

/// Checks what is counted in the GraphQL documents of a request.
#[track_caller]
fn check_graphql(exchange: &Exchange<'_>, expected: &str) {
    let rules = r#"
        SecRule &GRAPHQL_DEPTH "@eq 1" "id:1,phase:2,pass,log,\
            msg:'%{GRAPHQL_DEPTH} %{GRAPHQL_ALIASES} %{GRAPHQL_DIRECTIVES} %{GRAPHQL_ROOT_FIELDS} %{GRAPHQL_BATCH} %{GRAPHQL_INTROSPECTION}'"
    "#;
    let mut transaction = Transaction::new();
    let decision = judge(&mut transaction, &profile(&seclang(rules), Policy::default()), exchange);
    assert_eq!(told(&transaction, &decision), expected, "{exchange:?}");
}

#[test]
fn questions_are_counted_wherever_they_are() {
    let json = |body: &'static str| post("application/json", body);
    check_graphql(&json(r#"{"query":"{ a { b: c @x } }"}"#), "1(2 1 1 1 1 0) | pass");
    check_graphql(
        &json(r#"[{"query":"{ a }"},{"query":"query Q { b: __schema { c { d } } e }"}]"#),
        "1(3 1 0 3 2 1) | pass",
    );
    check_graphql(&json(r#"[{"other":"{ a }"},{"query":"hello"}]"#), "| pass");
    check_graphql(&json(r#"{"a":{"query":"{ a }"}}"#), "| pass");
    check_graphql(&post("application/graphql", "{ a b } { c }"), "1(1 0 0 3 1 0) | pass");
    check_graphql(&get("/?query=%7Ba%7Bb%7D%7D"), "1(2 0 0 1 1 0) | pass");
    check_graphql(&get("/?q=%7Ba%7Bb%7D%7D"), "| pass");
}
