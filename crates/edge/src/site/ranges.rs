//! Byte ranges (RFC 9110 §14).

use std::ops::Range;

use bytes::Bytes;

use super::{
    SiteRequest, Slice, conditions,
    page::{Page, Representation},
};

/// Ranges answered in one response; a request for more gets the whole file.
pub(crate) const RANGES_MAX: usize = 8;

/// Which part of a representation is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    One(Range<u64>),
    /// Two or more, in the order asked for.
    Several(Vec<Range<u64>>),
    /// 416.
    Unsatisfiable,
}

/// What a request selects. Ranges are for `GET` alone, and only of the version the client knows.
pub(super) fn select(request: &SiteRequest<'_>, chosen: &Representation) -> Selection {
    let Some(range) = request.range.filter(|_| request.method == "GET") else {
        return Selection::Whole;
    };
    match request.if_range {
        Some(if_range) if !conditions::is_same_version(if_range, chosen) => Selection::Whole,
        _ => selection(range, chosen.len),
    }
}

/// What a `Range` selects of `len` bytes. One that is malformed, of another unit, or that asks for
/// more pieces or bytes than is reasonable is ignored, as it may be.
fn selection(field: &[u8], len: u64) -> Selection {
    let Some(specs) = byte_ranges(field) else { return Selection::Whole };
    let specs = specs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let specs: Vec<_> = specs.filter(|spec| !spec.is_empty()).take(RANGES_MAX + 1).collect();
    if specs.is_empty() || specs.len() > RANGES_MAX {
        return Selection::Whole;
    }
    let mut ranges = Vec::with_capacity(specs.len());
    for spec in specs {
        match Spec::parse(spec) {
            None => return Selection::Whole,
            // No Content-Range can name a part of nothing.
            Some(Spec::Last(1..)) if len == 0 => return Selection::Whole,
            Some(spec) => ranges.extend(spec.within(len)),
        }
    }
    let bytes = ranges.iter().map(|range| range.end - range.start).fold(0, u64::saturating_add);
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges.remove(0)),
        _ if bytes > len => Selection::Whole,
        _ => Selection::Several(ranges),
    }
}

/// `bytes=0-1,5-` → `0-1,5-`.
fn byte_ranges(field: &[u8]) -> Option<&[u8]> {
    let (unit, specs) = field.trim_ascii().split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(specs)
}

/// One range as asked for.
enum Spec {
    /// From the first to the last byte, both included.
    FromTo(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', text)?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => number(last).map(Self::Last),
            (false, true) => Some(Self::FromTo(number(first)?, u64::MAX)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// The part of `len` bytes, `None` when it is empty.
    fn within(&self, len: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::FromTo(first, last) => first..last.saturating_add(1).min(len),
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Digits; too many of them are merely large.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => Some(sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
        _ => None,
    })
}

/// `bytes 0-1/10`.
pub(super) fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

/// A `multipart/byteranges` body (RFC 9110 §14.6).
pub(super) fn multipart(
    ranges: &[Range<u64>],
    page: &Page,
    chosen: &Representation,
    boundary: &str,
) -> Vec<Slice> {
    let content_type = page.content_type.to_str().expect("media types are visible ASCII");
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let content_range = content_range(range, chosen.len);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
        );
        parts.push(Slice::Bytes(Bytes::from(head)));
        parts.push(chosen.slice(range.clone()));
    }
    parts.push(Slice::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Selection::*, *};

    #[track_caller]
    fn check(field: &str, len: u64, expected: Selection) {
        assert_eq!(selection(field.as_bytes(), len), expected, "{field} of {len}");
    }

    #[test]
    fn one_range() {
        check("bytes=0-0", 10, One(0..1));
        check("bytes=0-9", 10, One(0..10));
        check("bytes=2-5", 10, One(2..6));
        check("bytes=9-", 10, One(9..10));
        check("bytes=0-", 10, One(0..10));
        check("bytes=5-99", 10, One(5..10));
        check("bytes=-3", 10, One(7..10));
        check("bytes=-99", 10, One(0..10));
        check("bytes=,2-5, ,", 10, One(2..6));
        check("BYTES= 2-5 ", 10, One(2..6));
        check("bytes=5-99999999999999999999999999", 10, One(5..10));
        check("bytes=0-18446744073709551615", 10, One(0..10));
    }

    #[test]
    fn beyond_the_end() {
        check("bytes=10-", 10, Unsatisfiable);
        check("bytes=10-20", 10, Unsatisfiable);
        check("bytes=-0", 10, Unsatisfiable);
        check("bytes=10-,20-30", 10, Unsatisfiable);
        check("bytes=99999999999999999999999999-", 10, Unsatisfiable);
        check("bytes=0-", 0, Unsatisfiable);
        check("bytes=-0", 0, Unsatisfiable);
        check("bytes=-5", 0, Whole);
    }

    #[test]
    fn ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes 1-2",
            "items=0-1",
            "bytes=,",
            "bytes=0-1,x",
            "bytes=--1",
        ] {
            check(field, 10, Whole);
        }
    }

    #[test]
    fn several_ranges() {
        check("bytes=0-1,4-5", 10, Several(vec![0..2, 4..6]));
        check("bytes=-2, 0-1", 10, Several(vec![8..10, 0..2]));
        check("bytes=0-1,50-", 10, One(0..2));
        check("bytes=0-1,1-2", 10, Several(vec![0..2, 1..3]));
    }

    #[test]
    fn greed_gets_the_whole() {
        check("bytes=0-,0-", 10, Whole);
        check("bytes=0-9,0-0", 10, Whole);
        let specs = |count| vec!["0-0"; count].join(",");
        check(&format!("bytes={}", specs(RANGES_MAX)), 10, Several(vec![0..1; RANGES_MAX]));
        check(&format!("bytes={}", specs(RANGES_MAX + 1)), 10, Whole);
    }

    proptest! {
        #[test]
        fn ranges_lie_within(field in "bytes=[0-9,-]{0,24}", len in 0u64..1000) {
            let ranges = match selection(field.as_bytes(), len) {
                One(range) => vec![range],
                Several(ranges) => ranges,
                Whole | Unsatisfiable => vec![],
            };
            prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= len));
        }
    }
}
