//! Plain values: what groups are named by and aggregates are made of.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// A plain value. Fractions are kept by their bits, so that what was stored is what was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scalar {
    #[serde(rename = "n")]
    Null,
    #[serde(rename = "b")]
    Switch(bool),
    #[serde(rename = "i")]
    Integer(i64),
    /// Bits of a number that is no integer of 64 bits.
    #[serde(rename = "f")]
    Fraction(u64),
    #[serde(rename = "t")]
    Text(String),
}

impl Scalar {
    /// Reads a value of JSON; an array or object is none.
    pub(crate) fn of(value: &Value) -> Option<Scalar> {
        match value {
            Value::Null => Some(Scalar::Null),
            Value::Bool(value) => Some(Scalar::Switch(*value)),
            Value::Number(number) => Some(Scalar::of_number(number)),
            Value::String(text) => Some(Scalar::Text(text.clone())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_number(number: &Number) -> Scalar {
        match number.as_i64() {
            Some(integer) => Scalar::Integer(integer),
            None => Scalar::of_fraction(number.as_f64().unwrap_or(f64::MAX)),
        }
    }

    /// `1.0` is `1`: they are one number in JSON, and one group.
    pub(crate) fn of_fraction(fraction: f64) -> Scalar {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if fraction.fract() == 0.0 && fraction.abs() <= EXACT {
            return Scalar::Integer(fraction as i64);
        }
        Scalar::Fraction(fraction.to_bits())
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Scalar::Null
    }

    /// Its number as a fraction, if it is a number.
    pub(crate) fn fraction(&self) -> Option<f64> {
        match self {
            Scalar::Integer(integer) => Some(*integer as f64),
            Scalar::Fraction(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// Bytes of memory that it holds beside itself.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Scalar::Text(text) => text.len(),
            _ => 0,
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Scalar::Null => Value::Null,
            Scalar::Switch(value) => Value::Bool(*value),
            Scalar::Integer(integer) => Value::from(*integer),
            Scalar::Fraction(bits) => Value::from(f64::from_bits(*bits)),
            Scalar::Text(text) => Value::from(text.as_str()),
        }
    }

    /// Compares values of one kind; numbers are one kind, and so are texts.
    pub(crate) fn compare(&self, other: &Scalar) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Switch(one), Scalar::Switch(other)) => Some(one.cmp(other)),
            (Scalar::Integer(one), Scalar::Integer(other)) => Some(one.cmp(other)),
            (Scalar::Text(one), Scalar::Text(other)) => Some(one.cmp(other)),
            _ => self.fraction()?.partial_cmp(&other.fraction()?),
        }
    }

    /// A total order: numbers before texts.
    pub(crate) fn rank(&self, other: &Scalar) -> Ordering {
        let kind = |scalar: &Scalar| match scalar {
            Scalar::Null => 0,
            Scalar::Switch(_) => 1,
            Scalar::Integer(_) | Scalar::Fraction(_) => 2,
            Scalar::Text(_) => 3,
        };
        self.compare(other).unwrap_or_else(|| kind(self).cmp(&kind(other)))
    }
}

/// How a row is named: its group's values as one array of JSON.
pub(crate) fn key(values: &[Scalar]) -> String {
    Value::Array(values.iter().map(Scalar::json).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_number_has_one_spelling() {
        let spellings = [json!(1), json!(1.0), json!(1e0)];
        for spelling in spellings {
            assert_eq!(Scalar::of(&spelling), Some(Scalar::Integer(1)), "{spelling}");
        }
        assert_eq!(key(&[Scalar::of_fraction(-0.0), Scalar::Text("a\"b".into())]), r#"[0,"a\"b"]"#);
        assert_eq!(Scalar::of(&json!([1])), None);
    }

    #[test]
    fn what_was_stored_comes_back_bit_by_bit() {
        for bits in [0.1_f64.to_bits(), f64::MAX.to_bits(), 5e-324_f64.to_bits()] {
            let scalar = Scalar::Fraction(bits);
            let stored = serde_json::to_string(&scalar).unwrap();
            assert_eq!(serde_json::from_str::<Scalar>(&stored).unwrap(), scalar);
        }
    }

    #[test]
    fn kinds_do_not_compare_but_rank() {
        let (one, text) = (Scalar::Integer(1), Scalar::Text("0".into()));
        assert_eq!(one.compare(&text), None);
        assert_eq!(one.rank(&text), Ordering::Less);
        assert_eq!(one.compare(&Scalar::of_fraction(0.5)), Some(Ordering::Greater));
    }
}
