//! The protocol's header fields, read once at the door.

use http::{HeaderMap, HeaderName};

pub(crate) const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
pub(crate) const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
pub(crate) const CLOSED: HeaderName = HeaderName::from_static("stream-closed");
pub(crate) const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
pub(crate) const TTL: HeaderName = HeaderName::from_static("stream-ttl");
pub(crate) const EXPIRES_AT: HeaderName = HeaderName::from_static("stream-expires-at");
pub(crate) const SEQ: HeaderName = HeaderName::from_static("stream-seq");
pub(crate) const SSE_ENCODING: HeaderName = HeaderName::from_static("stream-sse-data-encoding");
pub(crate) const FORKED_FROM: HeaderName = HeaderName::from_static("stream-forked-from");
pub(crate) const FORK_OFFSET: HeaderName = HeaderName::from_static("stream-fork-offset");
pub(crate) const FORK_SUB_OFFSET: HeaderName = HeaderName::from_static("stream-fork-sub-offset");
pub(crate) const PRODUCER_ID: HeaderName = HeaderName::from_static("producer-id");
pub(crate) const PRODUCER_EPOCH: HeaderName = HeaderName::from_static("producer-epoch");
pub(crate) const PRODUCER_SEQ: HeaderName = HeaderName::from_static("producer-seq");
pub(crate) const PRODUCER_EXPECTED: HeaderName = HeaderName::from_static("producer-expected-seq");
pub(crate) const PRODUCER_RECEIVED: HeaderName = HeaderName::from_static("producer-received-seq");

/// Header fields that browsers may send, and see.
pub(crate) const SENT: &str = "authorization, content-type, if-none-match, stream-ttl, stream-expires-at, stream-seq, stream-closed, \
    stream-forked-from, stream-fork-offset, stream-fork-sub-offset, producer-id, producer-epoch, producer-seq";
pub(crate) const SEEN: &str = "etag, location, retry-after, stream-next-offset, stream-up-to-date, stream-closed, stream-cursor, stream-ttl, \
    stream-expires-at, stream-sse-data-encoding, producer-epoch, producer-seq, producer-expected-seq, producer-received-seq";

/// The largest whole number that every client can hold.
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// The longest producer id and `Stream-Seq`, in bytes.
const TEXT_MAX: usize = 256;

/// Who appends, for recognising what was sent twice (section 5.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// A header field that says what it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) field: HeaderName,
    pub(crate) reason: &'static str,
}

/// Returns the field's value, if it came once.
///
/// # Errors
/// If it came twice, or holds bytes that are no text.
pub(crate) fn text<'h>(
    headers: &'h HeaderMap,
    field: &HeaderName,
) -> Result<Option<&'h str>, Unfit> {
    let mut values = headers.get_all(field).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unfit { field: field.clone(), reason: "came more than once" });
    }
    let unfit = |_| Unfit { field: field.clone(), reason: "is not visible ASCII" };
    value.to_str().map(|text| Some(text.trim())).map_err(unfit)
}

/// Whether `Stream-Closed` says `true`; any other value says nothing (section 4.1).
pub(crate) fn closed(headers: &HeaderMap) -> bool {
    headers.get(&CLOSED).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Reads the three fields of a producer.
///
/// # Errors
/// If some of them are missing, or are not what they should be.
pub(crate) fn producer(headers: &HeaderMap) -> Result<Option<Producer>, Unfit> {
    let parts = [
        text(headers, &PRODUCER_ID)?,
        text(headers, &PRODUCER_EPOCH)?,
        text(headers, &PRODUCER_SEQ)?,
    ];
    match parts {
        [None, None, None] => Ok(None),
        [Some(id), Some(epoch), Some(seq)] => Ok(Some(Producer {
            id: bounded(id, PRODUCER_ID)?.to_owned(),
            epoch: integer(epoch, PRODUCER_EPOCH)?,
            seq: integer(seq, PRODUCER_SEQ)?,
        })),
        _ => Err(Unfit {
            field: PRODUCER_ID,
            reason: "comes with Producer-Epoch and Producer-Seq, or not at all",
        }),
    }
}

/// Reads `Stream-Seq`.
///
/// # Errors
/// If it is empty or too long.
pub(crate) fn writer_seq(headers: &HeaderMap) -> Result<Option<&str>, Unfit> {
    text(headers, &SEQ)?.map(|seq| bounded(seq, SEQ)).transpose()
}

fn bounded(text: &str, field: HeaderName) -> Result<&str, Unfit> {
    match text.len() {
        0 => Err(Unfit { field, reason: "is empty" }),
        1..=TEXT_MAX => Ok(text),
        _ => Err(Unfit { field, reason: "is longer than 256 bytes" }),
    }
}

/// Reads a whole number of at most 2^53 - 1, without a sign.
pub(crate) fn integer(text: &str, field: HeaderName) -> Result<u64, Unfit> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number
        .filter(|number| *number <= INTEGER_MAX)
        .ok_or(Unfit { field, reason: "is not a whole number of 0 to 9007199254740991" })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let field = |&(name, value): &(&'static str, &'static [u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn producers_come_whole() {
        let whole = headers(&[
            ("producer-id", b"p"),
            ("producer-epoch", b"0"),
            ("producer-seq", b"9007199254740991"),
        ]);
        let expected = Producer { id: "p".to_owned(), epoch: 0, seq: INTEGER_MAX };
        assert_eq!(producer(&whole), Ok(Some(expected)));
        assert_eq!(producer(&HeaderMap::new()), Ok(None));
        for fields in [
            &[("producer-id", &b"p"[..])][..],
            &[("producer-epoch", b"0"), ("producer-seq", b"0")],
            &[("producer-id", b""), ("producer-epoch", b"0"), ("producer-seq", b"0")],
            &[("producer-id", b"p"), ("producer-epoch", b"-1"), ("producer-seq", b"0")],
            &[("producer-id", b"p"), ("producer-epoch", b"0"), ("producer-seq", b"1.5")],
            &[
                ("producer-id", b"p"),
                ("producer-epoch", b"0"),
                ("producer-seq", b"9007199254740992"),
            ],
            &[("producer-id", b"\xff"), ("producer-epoch", b"0"), ("producer-seq", b"0")],
            &[
                ("producer-id", b"p"),
                ("producer-id", b"q"),
                ("producer-epoch", b"0"),
                ("producer-seq", b"0"),
            ],
        ] {
            assert!(producer(&headers(fields)).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn only_true_closes() {
        for (value, expected) in
            [(&b"true"[..], true), (b"TRUE", true), (b"false", false), (b"1", false), (b"", false)]
        {
            assert_eq!(closed(&headers(&[("stream-closed", value)])), expected, "{value:?}");
        }
    }

    #[test]
    fn sequences_are_text_with_a_bound() {
        assert_eq!(writer_seq(&headers(&[("stream-seq", b"09")])), Ok(Some("09")));
        assert!(writer_seq(&headers(&[("stream-seq", b"")])).is_err());
        assert!(writer_seq(&headers(&[("stream-seq", &[b'x'; 257])])).is_err());
    }
}
