//! JSON mode: a message is a value, and what is appended may be an array of them (Durable Streams, section 9.1).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer as _,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};

/// Why a body was not cut into messages.
#[derive(Debug)]
pub(crate) enum Uncut {
    /// It is not one JSON value in UTF-8; the error names line and column.
    Json(serde_json::Error),
    /// There is more than is taken.
    Full,
}

/// Cuts what was appended into messages: the elements of an array, or the one value that is none. Each goes to `take`, which
/// says whether it had room; nothing else holds them.
///
/// Messages keep the spelling they came with; a value nested deeper than 128 is refused.
///
/// # Errors
/// Also after some messages were taken.
pub(crate) fn messages<'b>(
    body: &'b [u8],
    mut take: impl FnMut(&'b [u8]) -> bool,
) -> Result<(), Uncut> {
    let array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let mut is_full = false;
    let mut took = |message: &'b RawValue| {
        is_full = !take(message.get().as_bytes());
        !is_full
    };
    let mut parser = Deserializer::from_slice(body);
    let read = match array {
        true => parser.deserialize_seq(Elements(&mut took)),
        false => <&RawValue>::deserialize(&mut parser).map(|message| _ = took(message)),
    };
    match read.and_then(|()| parser.end()) {
        _ if is_full => Err(Uncut::Full),
        read => read.map_err(Uncut::Json),
    }
}

/// Gives each element of an array away until there is no room.
struct Elements<F>(F);

impl<'b, F: FnMut(&'b RawValue) -> bool> Visitor<'b> for Elements<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !(self.0)(element) {
                return Err(A::Error::custom("there is no room"));
            }
        }
        Ok(())
    }
}

/// Puts messages into one array.
pub(crate) fn array<'a>(messages: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let length: usize = messages.clone().map(|message| message.len() + 1).sum();
    let mut array = BytesMut::with_capacity(length + 2);
    array.put_u8(b'[');
    for (nth, message) in messages.enumerate() {
        if nth > 0 {
            array.put_u8(b',');
        }
        array.put_slice(message);
    }
    array.put_u8(b']');
    array.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a body, of which no more than `max` are taken.
    fn cut(body: &[u8], max: usize) -> (Vec<&str>, Result<(), Uncut>) {
        let mut found = Vec::new();
        let cut = messages(body, |message| {
            let has_room = found.len() < max;
            found.extend(has_room.then(|| std::str::from_utf8(message).unwrap()));
            has_room
        });
        (found, cut)
    }

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let (found, cut) = cut(body.as_bytes(), usize::MAX);
        assert!(cut.is_ok(), "{cut:?}");
        assert_eq!(found, expected);
    }

    #[test]
    fn one_level_of_arrays_is_a_batch() {
        check(r#"{"event": "created"}"#, &[r#"{"event": "created"}"#]);
        check(r#" [ {"a":1} , {"b":2} ] "#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("[[1,2], [3,4]]", &["[1,2]", "[3,4]"]);
        check("[[[1,2,3]]]", &["[[1,2,3]]"]);
        check("[]", &[]);
        check("1e400", &["1e400"]);
        check("\"x\\ny\"", &["\"x\\ny\""]);
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for body in ["", "{", "1 2", "[1,]", "nope", "[1] x", "\u{feff}1"] {
            assert_refused(body.as_bytes());
        }
        assert_refused(b"\"\xff\"");
        assert_refused("[".repeat(100_000).as_bytes());
    }

    #[track_caller]
    fn assert_refused(body: &[u8]) {
        let (_, cut) = cut(body, usize::MAX);
        assert!(matches!(cut, Err(Uncut::Json(_))), "{body:?}: {cut:?}");
    }

    #[test]
    fn what_is_more_than_is_taken_is_not_read_on() {
        // It would not be JSON further on.
        for body in ["[1,2,3,4", "[1,2,3]", "[1,2, 3 ]x"] {
            let (found, cut) = cut(body.as_bytes(), 2);
            assert_eq!(found, ["1", "2"], "{body:?}");
            assert!(matches!(cut, Err(Uncut::Full)), "{body:?}: {cut:?}");
        }
        assert!(matches!(cut(b"1", 0), (_, Err(Uncut::Full))));
        assert!(matches!(cut(b"[]", 0), (_, Ok(()))));
    }

    #[test]
    fn messages_are_read_as_an_array() {
        let read = [Bytes::from_static(b"1"), Bytes::from_static(b"{\"a\": 2}")];
        assert_eq!(array(read.iter()), Bytes::from_static(b"[1,{\"a\": 2}]"));
        assert_eq!(array([].iter()), Bytes::from_static(b"[]"));
    }
}
