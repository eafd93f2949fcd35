//! Content types: what a stream's bytes are, and how live readers get them (Durable Streams, section 9).

use serde::{Deserialize, Serialize};

/// The content type of a stream, as its creator spelled it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ContentType(String);

/// What a content type means for reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/json`: records are values.
    Json,
    /// `text/*`: live readers get it as it is.
    Text,
    /// Anything else: live readers get Base64.
    Binary,
}

impl ContentType {
    /// What a stream has whose creator said nothing.
    pub(crate) fn unsaid() -> ContentType {
        ContentType("application/octet-stream".to_owned())
    }

    /// Reads a header: a type, a slash, a subtype, and perhaps parameters (RFC 9110, section 8.3.1).
    pub(crate) fn parse(text: &str) -> Option<ContentType> {
        let (kind, subtype) = essence(text).split_once('/')?;
        let sound = is_token(kind) && is_token(subtype) && text.len() <= 255;
        sound.then(|| ContentType(text.trim().to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn kind(&self) -> Kind {
        let essence = essence(&self.0);
        if essence.eq_ignore_ascii_case("application/json") {
            Kind::Json
        } else if essence.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("text/")) {
            Kind::Text
        } else {
            Kind::Binary
        }
    }
}

impl PartialEq for ContentType {
    /// Types are compared without case and without parameters.
    fn eq(&self, other: &ContentType) -> bool {
        essence(&self.0).eq_ignore_ascii_case(essence(&other.0))
    }
}

impl Eq for ContentType {}

fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Kind>) {
        assert_eq!(ContentType::parse(text).map(|content| content.kind()), expected, "{text:?}");
    }

    #[test]
    fn types_have_a_kind() {
        check("application/json", Some(Kind::Json));
        check("Application/JSON; charset=utf-8", Some(Kind::Json));
        check("application/ndjson", Some(Kind::Binary));
        check("TEXT/plain", Some(Kind::Text));
        check("text/event-stream", Some(Kind::Text));
        check("image/png", Some(Kind::Binary));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "json", "/json", "text/", "te xt/plain", "text/pl\u{e4}in", "a/b/c"] {
            check(text, None);
        }
        check(&format!("text/{}", "x".repeat(300)), None);
    }

    #[test]
    fn parameters_and_case_make_no_other_type() {
        let plain = ContentType::parse("text/plain").unwrap();
        assert_eq!(plain, ContentType::parse("Text/Plain; charset=utf-8").unwrap());
        assert_ne!(plain, ContentType::unsaid());
    }
}
