//! Types of bodies, and what can be made of a body of each.

/// A media type or a range of them, in lower case: `application/json`, `text/*`, `application/*+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaRange {
    essence: String,
    /// Parameters that have to be there, as `name=value`.
    parameters: Vec<String>,
}

/// The `Content-Type` of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaType {
    /// In lower case.
    pub(super) essence: String,
    parameters: Vec<String>,
}

/// What can be made of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    Text,
    /// Bytes that are not looked into.
    Opaque,
}

impl MediaRange {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let MediaType { essence, parameters } = MediaType::parse(text)?;
        Some(Self { essence, parameters })
    }

    /// Whether `media` is in the range, and how closely it was meant; more is closer.
    pub(super) fn matches(&self, media: &MediaType) -> Option<usize> {
        if !self.parameters.iter().all(|own| media.parameters.contains(own)) {
            return None;
        }
        let closeness = self.essence.len() + self.parameters.len();
        if self.is_exact() {
            return (self.essence == media.essence).then_some(1000 + closeness);
        }
        let (kind, subtype) = media.essence.split_once('/')?;
        let (own_kind, own_subtype) = self.essence.split_once('/')?;
        let fits = |own: &str, text: &str| match own.split_once('*') {
            None => own == text,
            Some((before, after)) => {
                let rest = text.strip_prefix(before);
                rest.is_some_and(|rest| rest.len() > after.len() && rest.ends_with(after))
            }
        };
        (fits(own_kind, kind) && fits(own_subtype, subtype)).then_some(closeness)
    }

    /// Whether it names one type.
    pub(super) fn is_exact(&self) -> bool {
        !self.essence.contains('*')
    }

    /// What it is, if it names one type.
    pub(super) fn kind(&self) -> Kind {
        kind(&self.essence)
    }

    pub(super) fn essence(&self) -> &str {
        &self.essence
    }
}

impl MediaType {
    /// Reads a `Content-Type` (RFC 9110 §8.3).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = parts(text).into_iter();
        let essence = parts.next()?.to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            parameters.push(format!(
                "{}={}",
                name.to_ascii_lowercase(),
                value.to_ascii_lowercase()
            ));
        }
        Some(Self { essence, parameters })
    }

    /// What can be made of it.
    pub(super) fn kind(&self) -> Kind {
        kind(&self.essence)
    }

    /// Whether text of it is in an encoding other than UTF-8, as far as it says.
    pub(super) fn is_foreign_text(&self) -> bool {
        let charset = self.parameters.iter().find_map(|own| own.strip_prefix("charset="));
        charset.is_some_and(|charset| !matches!(charset, "utf-8" | "utf8" | "us-ascii"))
    }
}

fn kind(essence: &str) -> Kind {
    let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
    match (kind, subtype) {
        _ if subtype == "json" || subtype.ends_with("+json") => Kind::Json,
        ("application", "x-www-form-urlencoded") => Kind::Form,
        ("text", subtype) if subtype != "xml" && !subtype.ends_with("+xml") => Kind::Text,
        _ => Kind::Opaque,
    }
}

fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// The parts between semicolons, those in quotes aside.
fn parts(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    let parts = text.split(|char| {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' => return !quoted,
            _ => {}
        }
        false
    });
    parts.map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &str, media: &str, expected: bool) {
        let matches = MediaRange::parse(range).unwrap().matches(&MediaType::parse(media).unwrap());
        assert_eq!(matches.is_some(), expected, "{range} {media}");
    }

    #[test]
    fn types_are_in_ranges() {
        check("application/json", "Application/JSON", true);
        check("application/json", "application/json; charset=utf-8", true);
        check("application/json", "application/jsonp", false);
        check("application/json; v=1", "application/json", false);
        check("application/json; v=1", "application/json;charset=utf-8; V=\"1\"", true);
        check("text/*", "text/plain", true);
        check("text/*", "textual/plain", false);
        check("application/*+json", "application/problem+json", true);
        check("application/*+json", "application/json", false);
        check("application/*+json", "application/+json", false);
        check("*/*", "a/b", true);
        check("*/*+json", "a/b+json", true);
    }

    #[test]
    fn the_closest_range_is_meant() {
        let media = MediaType::parse("application/vnd.a+json; v=2").unwrap();
        let fit = |range: &str| MediaRange::parse(range).unwrap().matches(&media).unwrap();
        let order = [
            "*/*",
            "application/*",
            "application/*+json",
            "application/vnd.a+json",
            "application/vnd.a+json;v=2",
        ];
        assert!(order.windows(2).all(|pair| fit(pair[0]) < fit(pair[1])));
    }

    #[test]
    fn what_is_no_type() {
        for text in ["", "json", "application/", "/json", "a b/c", "a/b/c", "a/b; c", "a/b, c/d"] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
        assert!(MediaType::parse("a/b;").is_some());
        assert!(MediaType::parse("a/b; c=\"d;e\"; f=g").is_some());
    }

    #[track_caller]
    fn check_kind(media: &str, expected: Kind) {
        assert_eq!(MediaType::parse(media).unwrap().kind(), expected, "{media}");
    }

    #[test]
    fn kinds() {
        check_kind("application/json", Kind::Json);
        check_kind("text/json", Kind::Json);
        check_kind("application/merge-patch+JSON", Kind::Json);
        check_kind("application/x-www-form-urlencoded", Kind::Form);
        check_kind("text/plain; charset=utf-8", Kind::Text);
        check_kind("text/xml", Kind::Opaque);
        check_kind("application/xml", Kind::Opaque);
        check_kind("multipart/form-data; boundary=x", Kind::Opaque);
        check_kind("application/x-ndjson", Kind::Opaque);
        check_kind("application/json-seq", Kind::Opaque);
    }

    #[test]
    fn text_is_utf_8() {
        let foreign = |media: &str| MediaType::parse(media).unwrap().is_foreign_text();
        assert!(!foreign("text/plain") && !foreign("text/plain; charset=UTF-8"));
        assert!(foreign("text/plain; charset=\"utf-16\""));
    }
}
