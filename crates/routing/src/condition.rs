//! Whether one condition of a route holds.

use regex::{Regex, RegexBuilder};
use selvedge_config::{HostPattern, Matches, PathPattern, Pattern, ValueMatch};

use crate::request::{RequestView, find_parameter};

/// Whether `host` (lower case) fits.
pub(crate) fn host_holds(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(name) => name == host,
        HostPattern::Wildcard(parent) => host
            .strip_suffix(parent.as_str())
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
    }
}

/// Whether `path` (normalised) fits. Compiles a regex: the index is for requests, this for people.
pub(crate) fn path_holds(pattern: &PathPattern, path: &str) -> bool {
    match pattern {
        PathPattern::Exact(exact) => exact == path,
        PathPattern::Prefix(prefix) => prefix_holds(prefix, path),
        PathPattern::Regex(regex) => anchored(regex).is_match(path),
    }
}

/// Whether `path` begins with `prefix` and the prefix ends at the end of a segment.
pub(crate) fn prefix_holds(prefix: &str, path: &str) -> bool {
    path.starts_with(prefix) && is_boundary(path.as_bytes(), prefix.len())
}

/// Whether a prefix of `path` with this length ends at the end of a segment.
pub(crate) fn is_boundary(path: &[u8], length: usize) -> bool {
    length == path.len()
        || path.get(length) == Some(&b'/')
        || length.checked_sub(1).and_then(|last| path.get(last)) == Some(&b'/')
}

/// `pattern` for the whole of a text.
pub(crate) fn anchored(pattern: &Pattern) -> Regex {
    let text = anchored_text(pattern);
    unlimited(&text).expect("a pattern that compiles alone compiles between anchors")
}

/// A comment that ends a verbose pattern would hide the closing anchor; the line break ends it.
pub(crate) fn anchored_text(pattern: &Pattern) -> String {
    let text = pattern.as_str();
    let plain = format!(r"\A(?:{text})\z");
    if unlimited(&plain).is_ok() { plain } else { format!("\\A(?:{text}\n)\\z") }
}

/// The config has bounded the pattern already; two anchors and a group must not exceed the bound again.
fn unlimited(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(usize::MAX).nest_limit(1000).build()
}

/// Whether the conditions beyond host and path hold.
pub(crate) fn rest_holds(matches: &Matches, request: &RequestView<'_>) -> bool {
    method_holds(&matches.methods, request.method)
        && matches.headers.iter().all(|header| {
            request.headers.find(&header.name, &mut |value| value_holds(&header.value, value))
        })
        && matches.query.iter().all(|query| {
            find_parameter(request.query, &query.name, &mut |value| {
                value_holds(&query.value, value)
            })
        })
}

pub(crate) fn method_holds(methods: &[String], method: &str) -> bool {
    methods.is_empty() || methods.iter().any(|it| it == method)
}

/// Whether a value fits. A regex never fits what is not UTF-8.
pub(crate) fn value_holds(wanted: &ValueMatch, value: &[u8]) -> bool {
    match wanted {
        ValueMatch::Present => true,
        ValueMatch::Exact(text) => value == text.as_bytes(),
        ValueMatch::Prefix(text) => value.starts_with(text.as_bytes()),
        ValueMatch::Regex(regex) => std::str::from_utf8(value).is_ok_and(|it| regex.is_match(it)),
    }
}

/// Whether a route has conditions beyond host and path.
pub(crate) fn has_rest(matches: &Matches) -> bool {
    !(matches.methods.is_empty() && matches.headers.is_empty() && matches.query.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_with_a_segment() {
        let check = |prefix, path, holds| assert_eq!(prefix_holds(prefix, path), holds, "{path}");
        check("/api", "/api", true);
        check("/api", "/api/", true);
        check("/api", "/api/x", true);
        check("/api", "/apix", false);
        check("/api/", "/api/x", true);
        check("/api/", "/api", false);
        check("/", "/anything", true);
    }

    #[test]
    fn wildcards_want_a_label() {
        let check = |parent: &str, host, holds| {
            assert_eq!(host_holds(&HostPattern::Wildcard(parent.into()), host), holds, "{host}");
        };
        check("example.com", "a.example.com", true);
        check("example.com", "a.b.example.com", true);
        check("example.com", "example.com", false);
        check("example.com", ".example.com", false);
        check("example.com", "badexample.com", false);
    }

    #[test]
    fn regexes_hold_the_whole_path() {
        let check = |text: &str, path, holds| {
            let pattern = PathPattern::Regex(Pattern::try_new(text).unwrap());
            assert_eq!(path_holds(&pattern, path), holds, "{text} {path}");
        };
        check("/a|/ab", "/ab", true);
        check("/a", "/ab", false);
        check("a", "/a", false);
        check("(?x) /a # the letter", "/a", true);
        check("(?x) /a # the letter", "/ab", false);
        check("(?m)^/a$", "/a", true);
        check("/a.*", "/a/b", true);
        check(&format!("{}a{}", "(".repeat(240), ")".repeat(240)), "a", true);
    }

    #[test]
    fn values_that_are_not_text_fit_no_regex() {
        let regex = ValueMatch::Regex(Pattern::try_new(".").unwrap());
        assert!(value_holds(&regex, b"ab"));
        assert!(!value_holds(&regex, b"\xff"));
        assert!(value_holds(&ValueMatch::Present, b"\xff"));
    }
}
