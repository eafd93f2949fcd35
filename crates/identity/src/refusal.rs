//! Why a caller is sent away, in the words of HTTP.

use std::fmt;

use axum_core::{body::Body, response::IntoResponse};
use http::{HeaderValue, Response, StatusCode, header};

use crate::{Codes, Problem};

/// Why a caller is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody said who it is.
    Unauthenticated,
    /// A token that is not known, or not whole.
    UnknownToken,
    /// A token that was revoked.
    RevokedToken,
    /// A token whose time is over.
    ExpiredToken,
    /// Credentials that cannot be read, or of which there are several.
    Credentials,
    /// What the edge says of the caller cannot be read: a fault between the two.
    Identity,
    /// Somebody who may not do this: the scope that it takes.
    Scope(String),
}

/// Every code with its status and what it means, for the page of codes.
pub const CODES: &Codes = &[
    (400, "core/identity", "What the edge says of the caller cannot be read"),
    (401, "core/unauthenticated", "Nobody said who the caller is"),
    (401, "core/credentials", "The credentials cannot be read"),
    (401, "core/token-unknown", "The token is not known"),
    (401, "core/token-revoked", "The token was revoked"),
    (401, "core/token-expired", "The token has expired"),
    (403, "core/scope", "The caller may not do this"),
];

impl Refusal {
    /// 400, 401 or 403.
    pub fn status(&self) -> StatusCode {
        self.problem().status
    }

    /// The stable code; `selvedge explain` has a page for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "core/unauthenticated",
            Self::UnknownToken => "core/token-unknown",
            Self::RevokedToken => "core/token-revoked",
            Self::ExpiredToken => "core/token-expired",
            Self::Credentials => "core/credentials",
            Self::Identity => "core/identity",
            Self::Scope(_) => "core/scope",
        }
    }

    fn problem(&self) -> Problem {
        Problem::new(CODES, self.code(), self.detail())
    }

    fn detail(&self) -> String {
        match self {
            Self::Unauthenticated => {
                "Send `Authorization: Bearer` with a token of `selvedge token create`, or let an agent \
                 of the edge say who you are."
                    .to_owned()
            }
            Self::UnknownToken => "Check that it was copied whole.".to_owned(),
            Self::RevokedToken | Self::ExpiredToken => {
                "Ask for a new one: `selvedge token create`.".to_owned()
            }
            Self::Credentials => "Send one `Authorization: Bearer TOKEN`.".to_owned(),
            Self::Identity => "An agent gave a name that is too long or not text.".to_owned(),
            Self::Scope(scope) => format!("It takes the scope `{scope}`."),
        }
    }

    /// RFC 6750 §3: which credentials are wanted, and what was wrong with those that came.
    fn challenge(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Unauthenticated => "Bearer realm=\"selvedge\"".to_owned(),
            Self::Credentials => "Bearer realm=\"selvedge\", error=\"invalid_request\"".to_owned(),
            Self::UnknownToken | Self::RevokedToken | Self::ExpiredToken => {
                "Bearer realm=\"selvedge\", error=\"invalid_token\"".to_owned()
            }
            Self::Scope(scope) => {
                format!(
                    "Bearer realm=\"selvedge\", error=\"insufficient_scope\", scope=\"{scope}\""
                )
            }
            Self::Identity => return None,
        };
        HeaderValue::try_from(text).ok()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail())
    }
}

impl std::error::Error for Refusal {}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = self.problem().response();
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_among_the_codes_with_its_status() {
        let all = [
            Refusal::Unauthenticated,
            Refusal::UnknownToken,
            Refusal::RevokedToken,
            Refusal::ExpiredToken,
            Refusal::Credentials,
            Refusal::Identity,
            Refusal::Scope("streams:read".to_owned()),
        ];
        for refusal in &all {
            assert!((400..=403).contains(&refusal.status().as_u16()), "{refusal}");
            let challenged = refusal.clone().into_response();
            let is_asked = challenged.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(is_asked, refusal.status() != 400, "{refusal}");
        }
        assert_eq!(all.len(), CODES.len());
    }
}
