//! What somebody is told who may not pass: RFC 6750 in the head, RFC 9457 in the body.

use std::fmt;

use selvedge_agent::{Finding, Verdict};
use selvedge_config::auth::Settings;
use serde::Serialize;

use super::{api_keys::KeyRefused, credentials::Unclear, issuers::TokenRefused};

/// Why somebody may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No credential that counts.
    Nobody,
    /// It cannot be told which credential counts.
    Unclear(Unclear),
    /// A token that is not believed.
    Token(TokenRefused),
    /// An API key that counts for nothing.
    Key(KeyRefused),
    /// Somebody who has none of the roles, or not all of the scopes.
    Rights { means: Means, scopes: Vec<String> },
    /// A token of an issuer whose keys could not be fetched so far.
    NoKeys,
}

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    Token,
    Key,
    Certificate,
}

/// Turns refusals into answers.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    realm: String,
    has_tokens: bool,
    has_keys: bool,
}

/// Seconds for `Retry-After`.
const RETRY_AFTER: &str = "5";

impl Answers {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            realm: settings.realm.clone(),
            has_tokens: !settings.issuers.is_empty(),
            has_keys: settings.api_keys.is_some(),
        }
    }

    /// The answer to somebody who may not pass; `trace` is the id by which it is found in the log.
    pub(super) fn verdict(&self, refusal: &Refusal, trace: &str) -> Verdict {
        let (status, code, title) = self.kind(refusal);
        let detail = refusal.to_string();
        let problem = Problem {
            kind: format!("urn:selvedge:problem:{code}"),
            title,
            status,
            detail: sentence(&detail),
            code,
            trace_id: trace,
        };
        let body = serde_json::to_string(&problem).expect("texts and numbers are JSON");
        let verdict = Verdict::block(status)
            .header("content-type", "application/problem+json")
            .body(body + "\n")
            .reason(&*detail)
            .finding(Finding::new(code).tag("auth").detail(detail));
        let verdict = match refusal {
            Refusal::NoKeys => verdict.header("retry-after", RETRY_AFTER),
            _ => verdict,
        };
        let challenges = self.challenges(refusal).into_iter();
        challenges.fold(verdict, |verdict, challenge| verdict.header("www-authenticate", challenge))
    }

    /// Status, code and title.
    fn kind(&self, refusal: &Refusal) -> (u16, &'static str, &'static str) {
        match refusal {
            // A challenge that names no scheme is none (RFC 9110, section 11.6.1).
            Refusal::Nobody if !self.has_tokens && !self.has_keys => {
                (403, "auth/certificate", "Client certificate required")
            }
            Refusal::Nobody => (401, "auth/credentials", "Credentials required"),
            Refusal::Unclear(_) => (400, "auth/request", "Unclear credentials"),
            Refusal::Token(_) => (401, "auth/token", "Token refused"),
            Refusal::Key(_) => (401, "auth/key", "API key refused"),
            Refusal::Rights { .. } => (403, "auth/rights", "Not permitted"),
            Refusal::NoKeys => (503, "auth/unavailable", "Tokens cannot be verified"),
        }
    }

    /// RFC 6750, section 3: an error is named only to those who showed a credential.
    fn challenges(&self, refusal: &Refusal) -> Vec<String> {
        let error = match refusal {
            Refusal::Nobody | Refusal::Key(_) => None,
            Refusal::Unclear(_) => Some("invalid_request"),
            Refusal::Token(_) => Some("invalid_token"),
            Refusal::Rights { means: Means::Token, .. } => Some("insufficient_scope"),
            Refusal::Rights { .. } | Refusal::NoKeys => return Vec::new(),
        };
        let mut bearer = format!("Bearer realm={}", quoted(&self.realm));
        if let Some(error) = error {
            let description = quoted(&refusal.to_string());
            bearer.push_str(&format!(", error=\"{error}\", error_description={description}"));
        }
        if let Refusal::Rights { scopes, .. } = refusal
            && !scopes.is_empty()
        {
            bearer.push_str(&format!(", scope={}", quoted(&scopes.join(" "))));
        }
        let key = format!("ApiKey realm={}", quoted(&self.realm));
        let is_about_rights = matches!(refusal, Refusal::Rights { .. });
        let key = (self.has_keys && !is_about_rights).then_some(key);
        self.has_tokens.then_some(bearer).into_iter().chain(key).collect()
    }
}

/// Members as the edge's own problems have them.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    code: &'a str,
    trace_id: &'a str,
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(chars).chain(['.']).collect()
}

/// A quoted string (RFC 9110, section 5.6.4).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars().filter(|char| !char.is_control()) {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("the request has no credentials that count here"),
            Self::Unclear(unclear) => unclear.fmt(f),
            Self::Token(refused) => refused.fmt(f),
            Self::Key(refused) => refused.fmt(f),
            Self::Rights { .. } => f.write_str("more rights are needed here"),
            Self::NoKeys => f.write_str("the keys that verify the token are not available"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use selvedge_agent::Decision;

    use super::*;
    use crate::auth::jws::KeyError;

    fn answers(has_tokens: bool, has_keys: bool) -> Answers {
        Answers { realm: "the \"api\"".to_owned(), has_tokens, has_keys }
    }

    #[track_caller]
    fn check(answers: &Answers, refusal: &Refusal, expected: Expect) {
        let verdict = answers.verdict(refusal, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(verdict.flaw(), None);
        let Decision::Block(answer) = verdict.decision() else { panic!("it blocks") };
        let fields = answer
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        let body = String::from_utf8_lossy(&answer.body);
        expected.assert_eq(&format!("{}\n{}{body}", answer.status, fields.collect::<String>()));
    }

    #[test]
    fn no_error_is_named_to_those_who_showed_nothing() {
        check(
            &answers(true, true),
            &Refusal::Nobody,
            expect![[r#"
            401
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\""
            www-authenticate: ApiKey realm="the \"api\""
            {"type":"urn:selvedge:problem:auth/credentials","title":"Credentials required","status":401,"detail":"The request has no credentials that count here.","code":"auth/credentials","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
        check(
            &answers(false, false),
            &Refusal::Nobody,
            expect![[r#"
            403
            content-type: application/problem+json
            {"type":"urn:selvedge:problem:auth/certificate","title":"Client certificate required","status":403,"detail":"The request has no credentials that count here.","code":"auth/certificate","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
    }

    #[test]
    fn a_credential_that_does_not_count_is_named() {
        let all = answers(true, true);
        let token = Refusal::Token(TokenRefused::Key(KeyError::Signature));
        check(
            &all,
            &token,
            expect![[r#"
            401
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="invalid_token", error_description="the signature of the token is not valid"
            www-authenticate: ApiKey realm="the \"api\""
            {"type":"urn:selvedge:problem:auth/token","title":"Token refused","status":401,"detail":"The signature of the token is not valid.","code":"auth/token","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
        check(
            &all,
            &Refusal::Unclear(Unclear::Several),
            expect![[r#"
            400
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="invalid_request", error_description="the request has more than one credential"
            www-authenticate: ApiKey realm="the \"api\""
            {"type":"urn:selvedge:problem:auth/request","title":"Unclear credentials","status":400,"detail":"The request has more than one credential.","code":"auth/request","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
        check(
            &all,
            &Refusal::Key(KeyRefused::Expired),
            expect![[r#"
            401
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\""
            www-authenticate: ApiKey realm="the \"api\""
            {"type":"urn:selvedge:problem:auth/key","title":"API key refused","status":401,"detail":"The API key has expired.","code":"auth/key","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
    }

    #[test]
    fn rights_are_told_to_who_can_get_them() {
        let scopes = vec!["read".to_owned(), "write".to_owned()];
        let rights = |means| Refusal::Rights { means, scopes: scopes.clone() };
        check(
            &answers(true, true),
            &rights(Means::Token),
            expect![[r#"
            403
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="insufficient_scope", error_description="more rights are needed here", scope="read write"
            {"type":"urn:selvedge:problem:auth/rights","title":"Not permitted","status":403,"detail":"More rights are needed here.","code":"auth/rights","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
        check(
            &answers(true, true),
            &rights(Means::Key),
            expect![[r#"
            403
            content-type: application/problem+json
            {"type":"urn:selvedge:problem:auth/rights","title":"Not permitted","status":403,"detail":"More rights are needed here.","code":"auth/rights","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
        let roles = Refusal::Rights { means: Means::Token, scopes: Vec::new() };
        check(
            &answers(true, false),
            &roles,
            expect![[r#"
            403
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="insufficient_scope", error_description="more rights are needed here"
            {"type":"urn:selvedge:problem:auth/rights","title":"Not permitted","status":403,"detail":"More rights are needed here.","code":"auth/rights","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
    }

    #[test]
    fn who_cannot_be_verified_is_to_come_again() {
        check(
            &answers(true, false),
            &Refusal::NoKeys,
            expect![[r#"
            503
            content-type: application/problem+json
            retry-after: 5
            {"type":"urn:selvedge:problem:auth/unavailable","title":"Tokens cannot be verified","status":503,"detail":"The keys that verify the token are not available.","code":"auth/unavailable","trace_id":"0af7651916cd43dd8448eb211c80319c"}
        "#]],
        );
    }
}
