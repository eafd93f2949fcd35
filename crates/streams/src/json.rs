//! JSON mode: a message is a value, and what is appended may be an array of them (Durable Streams, section 9.1).

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

/// Cuts what was appended into messages: the elements of an array, or the one value that is none.
///
/// Messages keep the spelling they came with; a value nested deeper than 128 is refused.
///
/// # Errors
/// If it is not one JSON value in UTF-8; the error names line and column.
pub(crate) fn messages(body: &Bytes) -> Result<Vec<Bytes>, serde_json::Error> {
    let array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let elements: Vec<&RawValue> =
        if array { serde_json::from_slice(body)? } else { vec![serde_json::from_slice(body)?] };
    Ok(elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
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

    #[track_caller]
    fn check(body: &'static str, expected: &[&str]) {
        let found = messages(&Bytes::from_static(body.as_bytes())).unwrap();
        assert_eq!(
            found,
            expected.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect::<Vec<_>>()
        );
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
            assert!(messages(&Bytes::from_static(body.as_bytes())).is_err(), "{body:?}");
        }
        assert!(messages(&Bytes::from_static(b"\"\xff\"")).is_err());
        assert!(messages(&Bytes::from("[".repeat(100_000))).is_err());
    }

    #[test]
    fn messages_are_read_as_an_array() {
        let read = [Bytes::from_static(b"1"), Bytes::from_static(b"{\"a\": 2}")];
        assert_eq!(array(read.iter()), Bytes::from_static(b"[1,{\"a\": 2}]"));
        assert_eq!(array([].iter()), Bytes::from_static(b"[]"));
    }
}
