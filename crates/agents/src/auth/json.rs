//! JSON objects in which no name occurs twice, so that two readers cannot understand two things.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Error, Map, Value};

/// Reads the one object that `text` is. A repeated name at any depth is an error (RFC 7515,
/// section 4; RFC 7519, section 4), as is anything after the object.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut reading = serde_json::Deserializer::from_slice(text);
    let value = Unrepeated.deserialize(&mut reading)?;
    reading.end()?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::custom("not an object")),
    }
}

/// A value all of whose objects have distinct names. serde_json bounds the depth.
struct Unrepeated;

impl<'de> DeserializeSeed<'de> for Unrepeated {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reading: D) -> Result<Value, D::Error> {
        reading.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let read = object(text.as_bytes()).map(Value::Object).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(text).unwrap());
    }

    #[track_caller]
    fn check_wrong(text: &str, why: &str) {
        let error = object(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn objects_are_read() {
        check("{}");
        check(r#" {"a": [null, true, -1, 18446744073709551615, 1.5, "ü\u0000"], "b": {"a": {}}} "#);
        check(r#"{"a": {"x": 1}, "b": {"x": 1}}"#);
    }

    #[test]
    fn a_repeated_name_is_an_error() {
        check_wrong(r#"{"sub": "a", "sub": "a"}"#, "twice");
        check_wrong(r#"{"sub": "a", "\u0073ub": "b"}"#, "twice");
        check_wrong(r#"{"a": [{"b": {"c": 1, "c": 2}}]}"#, "twice");
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        check_wrong("[]", "not an object");
        check_wrong("{} {}", "trailing");
        check_wrong("", "EOF");
        check_wrong(r#"{"a": 1e999}"#, "out of range");
        check_wrong(r#"{"a": "\ud800"}"#, "hex escape");
        check_wrong(&"[".repeat(10_000), "recursion");
        assert!(object(b"{\"a\": \"\xff\"}").is_err());
    }
}
