//! What a client is told when the edge itself refuses or fails: RFC 9457 problem details, a small
//! page, or a line of text, by `Accept`.
//!
//! The public text says what the client can act on; the log has the rest.

use std::fmt::Write;

use crate::compress::weighted_list;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// HTTP status.
    pub(crate) status: u16,
    /// Stable token, listed in `docs/errors/http.md`.
    pub(crate) code: &'static str,
    /// What happened, in a few words; the same for each occurrence.
    pub(crate) title: &'static str,
    /// What the client can do about it.
    pub(crate) detail: &'static str,
}

/// Declares each refusal once: as a constant and as a row of [`Problem::ALL`].
macro_rules! refusals {
    ($($name:ident = $status:literal $code:literal $title:literal $detail:literal;)+) => {
        impl Problem {
            $(
                #[doc = concat!($status, " `", $code, "`: ", $title)]
                pub(crate) const $name: Self = Self {
                    status: $status,
                    code: $code,
                    title: $title,
                    detail: $detail,
                };
            )+

            /// Every refusal, by status.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

refusals! {
    MALFORMED = 400 "request/malformed" "Malformed request"
        "The request does not follow the syntax of HTTP.";
    FRAMING = 400 "request/framing" "Ambiguous request framing"
        "Where the request ends cannot be told for certain. Send exactly one Content-Length, or \
         Transfer-Encoding: chunked.";
    HOST = 400 "request/host" "Missing or invalid host"
        "Send exactly one valid Host that agrees with the request target.";
    TARGET = 400 "request/target" "Invalid request target"
        "The path must be valid percent-encoding and stay below the root.";
    FORBIDDEN_FILE = 403 "static/forbidden" "Forbidden"
        "The server may not read this file.";
    NO_ROUTE = 404 "route/none" "Not found"
        "Nothing is served at this host and path.";
    NO_FILE = 404 "static/none" "Not found"
        "There is no such page.";
    METHOD = 405 "static/method" "Method not allowed"
        "Use one of the methods that Allow lists.";
    HEAD_TIMEOUT = 408 "timeout/head" "Request head timed out"
        "The head of the request took too long to arrive.";
    BODY_TIMEOUT = 408 "timeout/body" "Request body timed out"
        "The body of the request stopped arriving.";
    PRECONDITION = 412 "static/precondition" "Precondition failed"
        "The file is no longer the one that the request is conditional on.";
    BODY_LIMIT = 413 "limit/body" "Request body too large"
        "The body of the request is larger than is accepted here.";
    TARGET_LIMIT = 414 "limit/target" "Request target too long"
        "The target of the request is longer than is accepted here.";
    RANGE = 416 "static/range" "Range not satisfiable"
        "The ranges asked for lie beyond the end; Content-Range tells the size.";
    EXPECTATION = 417 "request/expectation" "Expectation failed"
        "Only Expect: 100-continue is supported.";
    MISDIRECTED = 421 "request/misdirected" "Misdirected request"
        "This connection is not for the requested host. Send the request on a new connection.";
    HEAD_LIMIT = 431 "limit/head" "Request head too large"
        "The head of the request has more bytes or fields than are accepted.";
    INTERNAL = 500 "edge/internal" "Internal error"
        "The request failed through a fault of the server.";
    NOT_IMPLEMENTED = 501 "request/unsupported" "Not implemented"
        "The server does not support what the request needs.";
    CONNECT = 502 "upstream/connect" "Upstream unreachable"
        "The server behind this one did not accept the connection.";
    UPSTREAM_TLS = 502 "upstream/tls" "Upstream not trusted"
        "No trusted connection to the server behind this one could be made.";
    CLOSED = 502 "upstream/closed" "Upstream closed the connection"
        "The server behind this one went away before it answered.";
    MALFORMED_RESPONSE = 502 "upstream/malformed" "Malformed upstream response"
        "The server behind this one answered with something that is not valid HTTP.";
    RESPONSE_HEAD_LIMIT = 502 "limit/response-head" "Upstream response head too large"
        "The server behind this one answered with a larger head than is accepted.";
    IN_FLIGHT = 503 "limit/in-flight" "Too many requests at once"
        "The server is working at its bound. Try again shortly.";
    ROUTE_IN_FLIGHT = 503 "limit/route-in-flight" "Too many requests at once"
        "This part of the site is working at its bound. Try again shortly.";
    UPSTREAM_CONNECTIONS = 503 "limit/upstream-connections" "Too many upstream connections"
        "No connection to the server behind this one became free in time. Try again shortly.";
    UNHEALTHY = 503 "upstream/unhealthy" "No healthy upstream"
        "No server that could answer is healthy at present. Try again shortly.";
    BREAKER = 503 "upstream/breaker" "Upstream is resting"
        "The server behind this one failed too often and is given a rest. Try again shortly.";
    FILES = 503 "limit/files" "Too many open files"
        "The server cannot open more files at present. Try again shortly.";
    AGENT_UNAVAILABLE = 503 "agent/unavailable" "Check unavailable"
        "A check that this request needs cannot be made at present. Try again shortly.";
    CORE_AWAY = 503 "core/away" "Core unavailable"
        "The core of this server is not there at present; all else is served. Try again shortly.";
    AGENT_TIMEOUT = 504 "agent/timeout" "Check timed out"
        "A check that this request needs took too long. Try again shortly.";
    CONNECT_TIMEOUT = 504 "timeout/connect" "Upstream connection timed out"
        "The server behind this one did not accept the connection in time.";
    FIRST_BYTE_TIMEOUT = 504 "timeout/first-byte" "Upstream timed out"
        "The server behind this one did not begin to answer in time.";
    EXCHANGE_TIMEOUT = 504 "timeout/whole" "Exchange timed out"
        "The request as a whole took longer than is allowed here.";
    HTTP1_OFF = 505 "request/version" "HTTP version not supported"
        "This port speaks HTTP/2 only.";
}

impl Problem {
    /// Seconds for `Retry-After`; on each 503.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        (self.status == 503).then_some(1)
    }

    /// Whether no other request can follow on the connection, because nobody knows where this one ends
    /// or when.
    pub(crate) fn ends_connection(&self) -> bool {
        self.status == 408 || self.code == Self::FRAMING.code
    }
}

/// The body of a refusal and its `Content-Type`. `trace_id` lets a person find it in the log.
///
/// The answer depends on `Accept`: send `Vary: Accept` if it can be cached.
pub(crate) fn render(
    problem: &Problem,
    accept: Option<&[u8]>,
    trace_id: &str,
) -> (&'static str, Vec<u8>) {
    let (content_type, body) = match Form::preferred(accept) {
        Form::Json => ("application/problem+json", json(problem, trace_id)),
        Form::Html => ("text/html; charset=utf-8", html(problem, trace_id)),
        Form::Text => ("text/plain; charset=utf-8", text(problem, trace_id)),
    };
    (content_type, body.into_bytes())
}

/// How a problem is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Text,
}

impl Form {
    /// The best weight wins; at equal weights JSON before HTML before text (RFC 9110 §12.5.1).
    fn preferred(accept: Option<&[u8]>) -> Self {
        let accept = accept.filter(|list| !list.trim_ascii().is_empty()).unwrap_or(b"*/*");
        let json = type_weight(accept, "application", &["problem+json", "json"]);
        let html = type_weight(accept, "text", &["html"]);
        let text = type_weight(accept, "text", &["plain"]);
        match json.max(html).max(text) {
            0 => Self::Text,
            most if most == json => Self::Json,
            most if most == html => Self::Html,
            _ => Self::Text,
        }
    }
}

/// The weight a list gives to the first of `subtypes` it names, else to the range around them.
fn type_weight(accept: &[u8], kind: &str, subtypes: &[&str]) -> u16 {
    let said = |range: String| {
        weighted_list(accept)
            .filter(|(name, _)| name.eq_ignore_ascii_case(range.as_bytes()))
            .map(|(_, weight)| weight)
            .max()
    };
    let exact = subtypes.iter().filter_map(|subtype| said(format!("{kind}/{subtype}"))).max();
    exact.or_else(|| said(format!("{kind}/*"))).or_else(|| said("*/*".into())).unwrap_or(0)
}

fn json(problem: &Problem, trace_id: &str) -> String {
    let Problem { status, code, title, detail } = problem;
    format!(
        "{{\"type\":\"urn:selvedge:problem:{code}\",\"title\":{title},\"status\":{status},\
         \"detail\":{detail},\"code\":{code_text},\"trace_id\":{trace_id}}}\n",
        title = json_string(title),
        detail = json_string(detail),
        code_text = json_string(code),
        trace_id = json_string(trace_id),
    )
}

/// A JSON string with its quotes (RFC 8259 §7).
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\u{20}' => {
                write!(out, "\\u{:04x}", u32::from(char)).expect("a String takes any text");
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

fn html(problem: &Problem, trace_id: &str) -> String {
    let Problem { status, code, title, detail } = problem;
    let [code, title, detail, trace_id] = [code, title, detail, trace_id].map(html_text);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{status} {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
  font: 1rem/1.6 system-ui, sans-serif; color: #1d232b; background: #f7f8fa; }}
main {{ max-width: 34rem; padding: 2rem; }}
b {{ font-size: .9rem; letter-spacing: .1em; color: #6b7480; }}
h1 {{ margin: .2rem 0 .8rem; font-size: 1.7rem; line-height: 1.25; }}
footer {{ margin-top: 2rem; font: .8rem/1.8 ui-monospace, monospace; color: #6b7480;
  overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e6e9ee; background: #14171b; }}
  b, footer {{ color: #97a1ae; }}
}}
</style>
</head>
<body>
<main>
<b>{status}</b>
<h1>{title}</h1>
<p>{detail}</p>
<footer>code: {code}<br>trace: {trace_id}</footer>
</main>
</body>
</html>
"#
    )
}

/// Text that is safe between tags and in quoted attributes.
fn html_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

fn text(problem: &Problem, trace_id: &str) -> String {
    let Problem { status, code, title, detail } = problem;
    format!("{status} {title}\n{detail}\n\ncode: {code}\ntrace: {trace_id}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::{Expect, expect};
    use selvedge_http1::{RULES, Rule};

    use super::*;

    #[track_caller]
    fn check_form(accept: Option<&str>, expected: Form) {
        assert_eq!(Form::preferred(accept.map(str::as_bytes)), expected, "{accept:?}");
    }

    #[test]
    fn accept_chooses_the_form() {
        check_form(None, Form::Json);
        check_form(Some(""), Form::Json);
        check_form(Some("*/*"), Form::Json);
        check_form(Some("application/json"), Form::Json);
        check_form(Some("application/problem+json"), Form::Json);
        check_form(Some("application/*"), Form::Json);
        check_form(Some("text/html, application/json"), Form::Json);
        check_form(Some("text/html;q=0.5, application/json"), Form::Json);
        check_form(Some("application/json;q=0.4, text/html;q=0.5"), Form::Html);
        check_form(Some("TEXT/HTML"), Form::Html);
        check_form(
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
            Form::Html,
        );
        check_form(Some("text/html, application/json;q=0"), Form::Html);
        check_form(Some("text/html;q=0, text/*, application/*;q=0.1"), Form::Text);
        check_form(Some("text/plain"), Form::Text);
        check_form(Some("image/png"), Form::Text);
        check_form(Some("*/*;q=0"), Form::Text);
        check_form(Some(",;=,/"), Form::Text);
    }

    #[track_caller]
    fn check(problem: &Problem, accept: &str, trace_id: &str, expected: Expect) {
        let (content_type, body) = render(problem, Some(accept.as_bytes()), trace_id);
        expected.assert_eq(&format!("{content_type}\n{}", String::from_utf8(body).unwrap()));
    }

    const HOSTILE: &str = "<script>alert(\"&'\")</script>\\\n\u{1}\u{e9}";

    #[test]
    fn json_is_escaped() {
        check(
            &Problem { detail: HOSTILE, ..Problem::BODY_LIMIT },
            "*/*",
            "4bf9\"2f",
            expect![[r#"
                application/problem+json
                {"type":"urn:selvedge:problem:limit/body","title":"Request body too large","status":413,"detail":"<script>alert(\"&'\")</script>\\\n\u0001é","code":"limit/body","trace_id":"4bf9\"2f"}
            "#]],
        );
    }

    #[test]
    fn text_is_plain() {
        check(
            &Problem::NO_ROUTE,
            "text/plain",
            "4bf92f",
            expect![[r#"
            text/plain; charset=utf-8
            404 Not found
            Nothing is served at this host and path.

            code: route/none
            trace: 4bf92f
        "#]],
        );
    }

    #[test]
    fn a_page_is_escaped_and_self_contained() {
        let problem = Problem { detail: HOSTILE, ..Problem::BODY_LIMIT };
        let (content_type, body) = render(&problem, Some(b"text/html"), HOSTILE);
        let page = String::from_utf8(body).unwrap();
        assert_eq!(content_type, "text/html; charset=utf-8");
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)").count(), 2);
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="));
        assert!(page.contains("<title>413 Request body too large</title>"));
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn codes_are_unique_and_statuses_ascend() {
        let codes: BTreeSet<_> = Problem::ALL.iter().map(|problem| problem.code).collect();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(Problem::ALL.is_sorted_by_key(|problem| problem.status));
        assert_eq!(Problem::IN_FLIGHT.retry_after(), Some(1));
        assert_eq!(Problem::NO_ROUTE.retry_after(), None);
    }

    /// The page that people look codes up in has each of them, with its status and title, and each rule
    /// of the head gate.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../docs/errors/http.md");
        let refusals = Problem::ALL.iter().map(|Problem { status, code, title, .. }| {
            format!("| {status} | `{code}` | {title} |")
        });
        let rules = RULES.iter().map(|Rule { code, kind, broken_by }| {
            format!("| {} | `{code}` | {broken_by} |", kind.status())
        });
        let wanted: Vec<_> = refusals.chain(rules).collect();
        for row in &wanted {
            let found = page.lines().filter(|line| line.starts_with(row)).count();
            assert_eq!(found, 1, "docs/errors/http.md needs the row {row}");
        }
        let rows = page.lines().filter(|line| line.contains(" | `")).count();
        assert_eq!(rows, wanted.len(), "docs/errors/http.md has rows of no refusal");
    }
}
