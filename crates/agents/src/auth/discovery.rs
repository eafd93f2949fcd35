//! Where an issuer's keys are, by what it says of itself (OpenID Connect Discovery 1.0, section 4).

use std::{error::Error, fmt};

use serde_json::Value;

use super::json;

/// Why a document leads to no keys.
#[derive(Debug)]
pub(super) enum DiscoveryError {
    /// Not one JSON object without repeated names.
    Json(serde_json::Error),
    /// It speaks for another issuer, or for none.
    Issuer(Option<String>),
    /// No `jwks_uri`.
    NoKeys,
}

/// The URL of the document of `issuer`.
pub(super) fn document_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The `jwks_uri` in a document, if that speaks for `issuer` to the letter.
pub(super) fn keys_url(document: &[u8], issuer: &str) -> Result<String, DiscoveryError> {
    let document = json::object(document).map_err(DiscoveryError::Json)?;
    let own = document.get("issuer").and_then(Value::as_str);
    if own != Some(issuer) {
        return Err(DiscoveryError::Issuer(own.map(|own| own.chars().take(200).collect())));
    }
    let url = document.get("jwks_uri").and_then(Value::as_str);
    url.map(str::to_owned).ok_or(DiscoveryError::NoKeys)
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the discovery document is no JSON object: {error}"),
            Self::Issuer(Some(own)) => write!(f, "the discovery document speaks for {own:?}"),
            Self::Issuer(None) => f.write_str("the discovery document names no issuer"),
            Self::NoKeys => f.write_str("the discovery document has no jwks_uri"),
        }
    }
}

impl Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Issuer(_) | Self::NoKeys => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: Result<&str, &str>) {
        let found = keys_url(document.as_bytes(), "https://id.example/realms/a");
        assert_eq!(
            found.map_err(|e| e.to_string()).as_deref(),
            expected.map_err(str::to_owned).as_ref().copied()
        );
    }

    #[test]
    fn the_document_lies_below_the_issuer() {
        for (issuer, url) in [
            ("https://id.example", "https://id.example/.well-known/openid-configuration"),
            ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
            ("https://id.example/a/b", "https://id.example/a/b/.well-known/openid-configuration"),
        ] {
            assert_eq!(document_url(issuer), url);
        }
    }

    #[test]
    fn a_document_speaks_for_its_issuer_alone() {
        let own =
            r#"{"issuer": "https://id.example/realms/a", "jwks_uri": "https://id.example/k"}"#;
        check(own, Ok("https://id.example/k"));
        check(
            r#"{"issuer": "https://id.example/realms/a/", "jwks_uri": "https://id.example/k"}"#,
            Err(r#"the discovery document speaks for "https://id.example/realms/a/""#),
        );
        check(r#"{"jwks_uri": "x"}"#, Err("the discovery document names no issuer"));
        check(
            r#"{"issuer": "https://id.example/realms/a"}"#,
            Err("the discovery document has no jwks_uri"),
        );
        check("[]", Err("the discovery document is no JSON object: not an object"));
    }
}
