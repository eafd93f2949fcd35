//! What somebody is told who may not pass: RFC 6750 in the head, RFC 9457 in the body.

use std::fmt;

use selvedge_agent::{Finding, Verdict};
use selvedge_config::auth::Settings;

use super::{api_keys::KeyRefused, credentials::Unclear, issuers::TokenRefused};
use crate::problem::{CONTENT_TYPE, Details, Problem};

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
        let problem = self.problem(refusal);
        let detail = refusal.to_string();
        let told = Details { detail: &sentence(&detail), trace: Some(trace), more: () };
        let verdict = Verdict::block(problem.status)
            .header("content-type", CONTENT_TYPE)
            .body(problem.body(told))
            .reason(&*detail)
            .finding(Finding::new(problem.code).tag("auth").detail(detail));
        let verdict = match refusal {
            Refusal::NoKeys => verdict.header("retry-after", RETRY_AFTER),
            _ => verdict,
        };
        let challenges = self.challenges(refusal).into_iter();
        challenges.fold(verdict, |verdict, challenge| verdict.header("www-authenticate", challenge))
    }

    /// The short name of what keeps somebody out.
    pub(super) fn code(&self, refusal: &Refusal) -> &'static str {
        self.problem(refusal).code
    }

    fn problem(&self, refusal: &Refusal) -> Problem {
        match refusal {
            // A challenge that names no scheme is none (RFC 9110, section 11.6.1).
            Refusal::Nobody if !self.has_tokens && !self.has_keys => Problem::AUTH_CERTIFICATE,
            Refusal::Nobody => Problem::AUTH_CREDENTIALS,
            Refusal::Unclear(_) => Problem::AUTH_REQUEST,
            Refusal::Token(_) => Problem::AUTH_TOKEN,
            Refusal::Key(_) => Problem::AUTH_KEY,
            Refusal::Rights { .. } => Problem::AUTH_RIGHTS,
            Refusal::NoKeys => Problem::AUTH_UNAVAILABLE,
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

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[track_caller]
    fn check(answers: &Answers, refusal: &Refusal, expected: Expect) {
        let verdict = answers.verdict(refusal, TRACE);
        assert_eq!(verdict.flaw(), None);
        let Decision::Block(answer) = verdict.decision() else { panic!("it blocks") };
        let problem = answers.problem(refusal);
        let detail = sentence(&refusal.to_string());
        let told = Details { detail: &detail, trace: Some(TRACE), more: () };
        assert_eq!((answer.status, &*answer.body), (problem.status, problem.body(told).as_bytes()));
        assert_eq!(verdict.findings()[0].rule, problem.code);
        let fields = answer
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        let Problem { status, code, title, .. } = problem;
        expected.assert_eq(&format!(
            "{status} {code}: {title}\n{}{detail}\n",
            fields.collect::<String>()
        ));
    }

    #[test]
    fn no_error_is_named_to_those_who_showed_nothing() {
        check(
            &answers(true, true),
            &Refusal::Nobody,
            expect![[r#"
            401 auth/credentials: Credentials required
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\""
            www-authenticate: ApiKey realm="the \"api\""
            The request has no credentials that count here.
        "#]],
        );
        check(
            &answers(false, false),
            &Refusal::Nobody,
            expect![[r#"
            403 auth/certificate: Client certificate required
            content-type: application/problem+json
            The request has no credentials that count here.
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
            401 auth/token: Token refused
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="invalid_token", error_description="the signature of the token is not valid"
            www-authenticate: ApiKey realm="the \"api\""
            The signature of the token is not valid.
        "#]],
        );
        check(
            &all,
            &Refusal::Unclear(Unclear::Several),
            expect![[r#"
            400 auth/request: Unclear credentials
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="invalid_request", error_description="the request has more than one credential"
            www-authenticate: ApiKey realm="the \"api\""
            The request has more than one credential.
        "#]],
        );
        check(
            &all,
            &Refusal::Key(KeyRefused::Expired),
            expect![[r#"
            401 auth/key: API key refused
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\""
            www-authenticate: ApiKey realm="the \"api\""
            The API key has expired.
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
            403 auth/rights: Not permitted
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="insufficient_scope", error_description="more rights are needed here", scope="read write"
            More rights are needed here.
        "#]],
        );
        check(
            &answers(true, true),
            &rights(Means::Key),
            expect![[r#"
            403 auth/rights: Not permitted
            content-type: application/problem+json
            More rights are needed here.
        "#]],
        );
        let roles = Refusal::Rights { means: Means::Token, scopes: Vec::new() };
        check(
            &answers(true, false),
            &roles,
            expect![[r#"
            403 auth/rights: Not permitted
            content-type: application/problem+json
            www-authenticate: Bearer realm="the \"api\"", error="insufficient_scope", error_description="more rights are needed here"
            More rights are needed here.
        "#]],
        );
    }

    #[test]
    fn who_cannot_be_verified_is_to_come_again() {
        check(
            &answers(true, false),
            &Refusal::NoKeys,
            expect![[r#"
            503 auth/unavailable: Tokens cannot be verified
            content-type: application/problem+json
            retry-after: 5
            The keys that verify the token are not available.
        "#]],
        );
    }
}
