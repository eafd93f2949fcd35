//! Conditional requests (RFC 9110 §13).

use std::time::UNIX_EPOCH;

use super::{SiteRequest, page::Representation};

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates in the order of RFC 9110 §13.2.2; ranges come after.
pub(super) fn evaluate(request: &SiteRequest<'_>, chosen: &Representation) -> Verdict {
    evaluate_validators(request, chosen.etag.as_bytes(), chosen.modified)
}

fn evaluate_validators(request: &SiteRequest<'_>, etag: &[u8], modified: u64) -> Verdict {
    let holds = match (request.if_match, request.if_unmodified_since.and_then(http_date)) {
        (Some(tags), _) => lists(tags, etag, Comparison::Strong),
        (None, Some(date)) => modified <= date,
        (None, None) => true,
    };
    if !holds {
        return Verdict::Failed;
    }
    let is_known = match (request.if_none_match, request.if_modified_since.and_then(http_date)) {
        (Some(tags), _) => lists(tags, etag, Comparison::Weak),
        (None, Some(date)) => modified <= date,
        (None, None) => false,
    };
    if is_known { Verdict::NotModified } else { Verdict::Proceed }
}

/// Whether the client's part is of this representation (`If-Range`, RFC 9110 §13.1.5). Only a
/// strong validator says so.
pub(super) fn is_same_version(if_range: &[u8], chosen: &Representation) -> bool {
    let if_range = if_range.trim_ascii();
    match if_range.first() {
        Some(b'"') => if_range == chosen.etag.as_bytes(),
        _ => chosen.is_settled && http_date(if_range) == Some(chosen.modified),
    }
}

/// How tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags, or `*`, holds ours, which is strong. What follows a malformed member
/// is not read.
fn lists(tags: &[u8], etag: &[u8], comparison: Comparison) -> bool {
    let mut rest = tags.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while let Some((tag, is_weak, after)) = next_tag(rest) {
        if tag == etag && !(is_weak && comparison == Comparison::Strong) {
            return true;
        }
        rest = after;
    }
    false
}

/// The first tag with its quotes, whether it is weak, and what follows it.
fn next_tag(list: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let start = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
    let list = &list[start..];
    let (is_weak, quoted) = match list.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, list),
    };
    let inner = quoted.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', inner)? + 2;
    Some((&quoted[..end], is_weak, &quoted[end..]))
}

/// Seconds since 1970 of an HTTP-date in any of its three forms.
fn http_date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    /// 1994-11-15T12:45:26Z.
    const MODIFIED: u64 = 784_903_526;
    const SAME: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
    const BEFORE: &str = "Tue, 15 Nov 1994 12:45:25 GMT";
    const AFTER: &str = "Tuesday, 15-Nov-94 12:45:27 GMT";

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Verdict) {
        let mut request = SiteRequest::default();
        for &(name, value) in fields {
            let slot = match name {
                "match" => &mut request.if_match,
                "none-match" => &mut request.if_none_match,
                "modified" => &mut request.if_modified_since,
                "unmodified" => &mut request.if_unmodified_since,
                _ => panic!("{name}"),
            };
            *slot = Some(value.as_bytes());
        }
        assert_eq!(evaluate_validators(&request, b"\"v1\"", MODIFIED), expected, "{fields:?}");
    }

    #[test]
    fn one_condition() {
        check(&[], Proceed);
        check(&[("match", "\"v1\"")], Proceed);
        check(&[("match", "*")], Proceed);
        check(&[("match", "\"v0\", \"v1\"")], Proceed);
        check(&[("match", "\"v0\"")], Failed);
        check(&[("match", "W/\"v1\"")], Failed);
        check(&[("match", "v1")], Failed);
        check(&[("none-match", "\"v1\"")], NotModified);
        check(&[("none-match", "W/\"v1\"")], NotModified);
        check(&[("none-match", "*")], NotModified);
        check(&[("none-match", "\"a,b\" ,, W/\"c\",\"v1\"")], NotModified);
        check(&[("none-match", "\"v0\"")], Proceed);
        check(&[("none-match", "\"v0\" junk \"v1\"")], Proceed);
        check(&[("none-match", "\"v1")], Proceed);
        check(&[("modified", SAME)], NotModified);
        check(&[("modified", AFTER)], NotModified);
        check(&[("modified", BEFORE)], Proceed);
        check(&[("modified", "yesterday")], Proceed);
        check(&[("unmodified", SAME)], Proceed);
        check(&[("unmodified", AFTER)], Proceed);
        check(&[("unmodified", BEFORE)], Failed);
        check(&[("unmodified", "yesterday")], Proceed);
    }

    #[test]
    fn the_order_of_conditions() {
        check(&[("match", "\"v1\""), ("unmodified", BEFORE)], Proceed);
        check(&[("match", "\"v0\""), ("unmodified", AFTER)], Failed);
        check(&[("none-match", "\"v0\""), ("modified", AFTER)], Proceed);
        check(&[("none-match", "\"v1\""), ("modified", BEFORE)], NotModified);
        check(&[("match", "\"v0\""), ("none-match", "\"v1\"")], Failed);
        check(&[("match", "\"v1\""), ("none-match", "\"v1\"")], NotModified);
        check(&[("unmodified", BEFORE), ("modified", AFTER)], Failed);
        check(&[("unmodified", SAME), ("modified", SAME)], NotModified);
    }
}
