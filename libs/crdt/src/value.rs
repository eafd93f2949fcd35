//! Values of fields and elements of sets, and their bytes.

use std::{borrow::Cow, cmp::Ordering};

use crate::wire::{Reader, put_varint, unzigzag, zigzag};

const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const TEXT: u8 = 4;
const BYTES: u8 = 5;

/// The one not-a-number that is written.
const NAN: u64 = 0x7ff8_0000_0000_0000;

/// A value as it lies in a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing, said on purpose.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; all that are none are one.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A payload of a type that this version does not know, as it is.
    Other(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Reads a payload. What is no value in its one spelling is [`Value::Other`].
    pub fn decode(payload: &'a [u8]) -> Self {
        Self::known(payload).unwrap_or(Value::Other(Cow::Borrowed(payload)))
    }

    fn known(payload: &'a [u8]) -> Option<Self> {
        let (tag, content) = payload.split_first()?;
        let mut reader = Reader::new(content);
        let value = match *tag {
            NULL => Value::Null,
            BOOL => Value::Bool(bool_of(reader.byte().ok()?)?),
            INT => Value::Int(unzigzag(reader.varint().ok()?)),
            FLOAT => Value::Float(float_of(u64::from_be_bytes(reader.array().ok()?))?),
            TEXT => return Some(Value::Text(Cow::Borrowed(str::from_utf8(content).ok()?))),
            BYTES => return Some(Value::Bytes(Cow::Borrowed(content))),
            _ => return None,
        };
        reader.finish().ok().map(|()| value)
    }

    /// Appends the payload that says this.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.push(NULL),
            Value::Bool(value) => out.extend([BOOL, u8::from(*value)]),
            Value::Int(value) => {
                out.push(INT);
                put_varint(out, zigzag(*value));
            }
            Value::Float(value) => {
                let bits = if value.is_nan() { NAN } else { value.to_bits() };
                out.push(FLOAT);
                out.extend(bits.to_be_bytes());
            }
            Value::Text(text) => {
                out.push(TEXT);
                out.extend(text.as_bytes());
            }
            Value::Bytes(bytes) => {
                out.push(BYTES);
                out.extend(&**bytes);
            }
            Value::Other(payload) => out.extend(&**payload),
        }
    }

    /// This value with bytes of its own.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Float(value) => Value::Float(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Other(payload) => Value::Other(Cow::Owned(payload.into_owned())),
        }
    }

    /// The byte that a payload of this type begins with.
    pub fn tag(&self) -> u8 {
        match self {
            Value::Null => NULL,
            Value::Bool(_) => BOOL,
            Value::Int(_) => INT,
            Value::Float(_) => FLOAT,
            Value::Text(_) => TEXT,
            Value::Bytes(_) => BYTES,
            Value::Other(payload) => payload.first().copied().unwrap_or_default(),
        }
    }

    /// Numbers as numbers, text and bytes as bytes, and different types by their tags.
    pub fn order(&self, other: &Value<'_>) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => canonical(*a).total_cmp(&canonical(*b)),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Other(a), Value::Other(b)) => a.cmp(b),
            (a, b) => (a.tag(), a.is_other()).cmp(&(b.tag(), b.is_other())),
        }
    }

    fn is_other(&self) -> bool {
        matches!(self, Value::Other(_))
    }
}

fn bool_of(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn float_of(bits: u64) -> Option<f64> {
    let value = f64::from_bits(bits);
    (!value.is_nan() || bits == NAN).then_some(value)
}

fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NAN) } else { value }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Value::Bytes(Cow::Borrowed(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: impl Into<Value<'static>>, expected: &[u8]) {
        let (value, mut payload) = (value.into(), Vec::new());
        value.encode(&mut payload);
        assert_eq!(payload, expected);
        assert_eq!(Value::decode(&payload).order(&value), Ordering::Equal);
    }

    #[test]
    fn payloads() {
        check(Value::Null, &[0]);
        check(true, &[1, 1]);
        check(-1, &[2, 1]);
        check(i64::MIN, &[2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        check(-0.0, &[3, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        check(-f64::NAN, &[3, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
        check("né", b"\x04n\xc3\xa9");
        check(&b"\x00\xff"[..], &[5, 0, 255]);
    }

    #[track_caller]
    fn check_other(payload: &[u8]) {
        let value = Value::decode(payload);
        assert!(value.is_other(), "{value:?}");
        let mut again = Vec::new();
        value.encode(&mut again);
        assert_eq!(again, payload);
    }

    #[test]
    fn what_is_not_understood_passes_through() {
        check_other(&[]);
        check_other(&[77, 1, 2]);
        check_other(&[0, 0]); // null has no content
        check_other(&[1, 2]); // neither yes nor no
        check_other(&[2, 0x80, 0]); // a number with a needless group
        check_other(&[3, 0xff, 0xf8, 0, 0, 0, 0, 0, 0]); // another not-a-number
        check_other(&[4, 0xff]); // not UTF-8
    }

    #[test]
    fn values_are_in_a_total_order() {
        let ascending: Vec<Value<'_>> = vec![
            Value::Null,
            false.into(),
            true.into(),
            i64::MIN.into(),
            3.into(),
            f64::NEG_INFINITY.into(),
            (-0.0).into(),
            0.0.into(),
            f64::NAN.into(),
            "a".into(),
            "b".into(),
            Value::Other(Cow::Borrowed(&[4, 0xff])),
            (&b"a"[..]).into(),
            Value::Other(Cow::Borrowed(&[77])),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }
}
