//! What agents answer by themselves: problem details (RFC 9457), each with a code that stays the same
//! between versions and has a row in `docs/errors/agents.md`.

use serde::Serialize;

/// What a refused client is told, whatever the details are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status of the answer, where the settings choose no other.
    pub status: u16,
    /// Stable token.
    pub code: &'static str,
    /// A few words for people.
    pub title: &'static str,
    /// Of a type that is registered; otherwise it is one of ours, made of the code.
    registered: Option<&'static str>,
}

macro_rules! problems {
    ($($name:ident = $status:literal $code:literal $title:literal $(is $registered:literal)?;)*) => {
        impl Problem {
            $(pub(crate) const $name: Self = Self {
                status: $status,
                code: $code,
                title: $title,
                registered: problems!(@registered $($registered)?),
            };)*

            /// Every answer that agents of Selvedge's own give by themselves.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
    (@registered) => { None };
    (@registered $name:literal) => {
        Some(concat!("https://iana.org/assignments/http-problem-types#", $name))
    };
}

problems! {
    AUTH_REQUEST = 400 "auth/request" "Unclear credentials";
    AUTH_CREDENTIALS = 401 "auth/credentials" "Credentials required";
    AUTH_TOKEN = 401 "auth/token" "Token refused";
    AUTH_KEY = 401 "auth/key" "API key refused";
    AUTH_CERTIFICATE = 403 "auth/certificate" "Client certificate required";
    AUTH_RIGHTS = 403 "auth/rights" "Not permitted";
    AUTH_UNAVAILABLE = 503 "auth/unavailable" "Tokens cannot be verified";
    RATE_LIMIT_EXCEEDED = 429 "rate-limit/exceeded"
        "Request cannot be satisfied as assigned quota has been exceeded" is "quota-exceeded";
    RATE_LIMIT_INTERNAL = 500 "rate-limit/internal" "Internal error";
    RATE_LIMIT_UNAVAILABLE = 503 "rate-limit/unavailable"
        "Request cannot be satisfied due to temporary server capacity constraints"
        is "temporary-reduced-capacity";
    SCHEMA_COST = 400 "schema/cost" "Request too costly to check";
    SCHEMA_ENCODED = 400 "schema/encoded" "Malformed request body";
    SCHEMA_INVALID = 400 "schema/invalid" "Invalid request";
    SCHEMA_MALFORMED = 400 "schema/malformed" "Malformed request body";
    SCHEMA_PATH = 404 "schema/path" "Not found";
    SCHEMA_METHOD = 405 "schema/method" "Method not allowed";
    SCHEMA_SIZE = 413 "schema/size" "Request body too large";
    SCHEMA_CONTENT_ENCODING = 415 "schema/content-encoding" "Unsupported content coding";
    SCHEMA_CONTENT_TYPE = 415 "schema/content-type" "Unsupported media type";
    SCHEMA_RESPONSE = 502 "schema/response" "Upstream response refused";
    WAF_UNREADABLE = 400 "waf/unreadable" "Malformed request body";
    WAF_REFUSED = 403 "waf/refused" "Request refused";
    WAF_SIZE = 413 "waf/size" "Request too large";
    WAF_CONTENT_TYPE = 415 "waf/content-type" "Unsupported media type";
    WAF_LOGINS = 429 "waf/logins" "Too many failed logins";
    WAF_RESPONSE = 502 "waf/response" "Upstream response refused";
}

/// The `Content-Type` of [`Details::body`].
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// What is told of one refusal beside its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Details<'a, M = ()> {
    pub(crate) detail: &'a str,
    /// The id by which it is found in the log.
    pub(crate) trace: Option<&'a str>,
    /// Members of the agent's own.
    pub(crate) more: M,
}

#[derive(Serialize)]
struct Body<'a, M> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(flatten)]
    more: M,
}

impl Problem {
    /// The same with a status that the settings choose.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The body of the answer: JSON, and the end of its line.
    pub(crate) fn body<M: Serialize>(&self, details: Details<'_, M>) -> String {
        let Self { status, code, title, registered } = *self;
        let Details { detail, trace, more } = details;
        let own = || format!("urn:selvedge:problem:{code}");
        let r#type = registered.map_or_else(own, str::to_owned);
        let body = Body { r#type, title, status, detail, code, trace_id: trace, more };
        let mut text = serde_json::to_string(&body).expect("texts and numbers are JSON");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that people look codes up in has each of them, with its status and title, and no other.
    #[test]
    fn each_code_is_documented() {
        const PAGE: &str = include_str!("../../../docs/errors/agents.md");
        // Findings, which are no answers, have a section of their own.
        let page = PAGE.split("\n## ").next().unwrap_or_default();
        let row = |Problem { status, code, title, .. }: &Problem| {
            format!("| {status} | `{code}` | {title} | ")
        };
        for row in Problem::ALL.iter().map(row) {
            let found = page.lines().filter(|line| line.starts_with(&row)).count();
            assert_eq!(found, 1, "docs/errors/agents.md needs the row {row}");
        }
        let own = ["| `auth/", "| `rate-limit/", "| `schema/", "| `waf/"];
        let rows = page.lines().filter(|line| own.iter().any(|code| line.contains(code)));
        assert_eq!(rows.count(), Problem::ALL.len(), "docs/errors/agents.md has rows of no answer");
    }

    #[test]
    fn each_code_is_one_answers() {
        let mut codes: Vec<_> = Problem::ALL.iter().map(|problem| problem.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Problem::ALL.len());
    }

    #[test]
    fn a_body_has_what_its_kind_says_first() {
        #[derive(Serialize)]
        struct Left {
            left: u8,
        }
        let details = Details { detail: "Wait.", trace: Some("4bf9"), more: Left { left: 0 } };
        assert_eq!(
            Problem::RATE_LIMIT_EXCEEDED.body(details),
            "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\",\
             \"title\":\"Request cannot be satisfied as assigned quota has been exceeded\",\
             \"status\":429,\"detail\":\"Wait.\",\"code\":\"rate-limit/exceeded\",\
             \"trace_id\":\"4bf9\",\"left\":0}\n"
        );
        let details = Details { detail: "No.", trace: None, more: () };
        assert_eq!(
            Problem::AUTH_KEY.body(details),
            "{\"type\":\"urn:selvedge:problem:auth/key\",\"title\":\"API key refused\",\
             \"status\":401,\"detail\":\"No.\",\"code\":\"auth/key\"}\n"
        );
    }
}
