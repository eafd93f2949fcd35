//! Values on their way over the boundary.

use std::borrow::Cow;

use js_sys::Uint8Array;
use selvedge_crdt::Value;
use wasm_bindgen::prelude::*;

/// Up to here, and down to the same below zero, JavaScript's numbers have every whole number.
const SAFE: i64 = (1 << 53) - 1;

#[wasm_bindgen(raw_module = "./values.js")]
extern "C" {
    /// A value of a type that only a later version knows.
    #[wasm_bindgen(js_name = unknown)]
    fn unknown(payload: Uint8Array) -> JsValue;
}

/// A value as JavaScript has it. Whole numbers that its numbers do not hold are big ones.
pub fn to_js(value: &Value<'_>) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(value) => JsValue::from_bool(*value),
        Value::Int(value) => int(*value),
        Value::Float(value) => JsValue::from_f64(*value),
        Value::Text(text) => JsValue::from_str(text),
        Value::Bytes(bytes) => Uint8Array::from(&**bytes).into(),
        Value::Other(payload) => unknown(Uint8Array::from(&**payload)),
    }
}

/// A whole number, as a number where that is exact.
pub fn int(value: i64) -> JsValue {
    if is_safe(value) { JsValue::from_f64(value as f64) } else { JsValue::from(value) }
}

/// Returns whether a number of JavaScript's holds this exactly.
pub fn is_safe(value: i64) -> bool {
    (-SAFE..=SAFE).contains(&value)
}

/// What a number of JavaScript's is where nothing says what it should be: whole if it is exactly that.
pub fn number(value: f64) -> Value<'static> {
    let whole = value as i64;
    let is_whole = is_safe(whole) && (whole as f64).to_bits() == value.to_bits();
    if is_whole { Value::Int(whole) } else { Value::Float(value) }
}

/// A number that is compared with `there`, the extreme so far, as people compare numbers: so it takes
/// that one's type, which would otherwise decide alone. `wins` says of two whether the first beats the second.
pub fn comparable(
    value: f64,
    there: Option<&Value<'_>>,
    wins: fn(f64, f64) -> bool,
) -> Value<'static> {
    match (number(value), there) {
        (Value::Int(_), Some(Value::Float(_))) => Value::Float(value),
        (Value::Float(_), Some(Value::Int(known))) if !wins(value, *known as f64) => {
            Value::Int(*known)
        }
        (plain, _) => plain,
    }
}

/// A payload of a type that this version does not know, on its way back.
pub fn other(payload: &[u8]) -> Value<'_> {
    match Value::decode(payload) {
        Value::Other(_) => Value::Other(Cow::Borrowed(payload)),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, expected: impl Into<Value<'static>>) {
        let (found, expected) = (number(value), expected.into());
        assert_eq!(found.order(&expected), std::cmp::Ordering::Equal, "{found:?} {expected:?}");
    }

    #[test]
    fn numbers_are_whole_where_they_are() {
        check(5.0, 5);
        check(-9_007_199_254_740_991.0, -SAFE);
        check(9_007_199_254_740_992.0, 9_007_199_254_740_992.0);
        check(0.0, 0);
        check(-0.0, -0.0);
        check(0.5, 0.5);
        check(f64::NAN, f64::NAN);
        check(f64::INFINITY, f64::INFINITY);
    }

    #[track_caller]
    fn check_raise(
        value: f64,
        there: impl Into<Value<'static>>,
        expected: impl Into<Value<'static>>,
    ) {
        let found = comparable(value, Some(&there.into()), |a, b| a > b);
        assert_eq!(found.order(&expected.into()), std::cmp::Ordering::Equal, "{found:?}");
    }

    #[test]
    fn extremes_are_compared_as_numbers() {
        check_raise(6.0, 5, 6);
        check_raise(6.0, 5.5, 6.0);
        check_raise(5.5, 10, 10);
        check_raise(10.5, 10, 10.5);
        check_raise(1.0, "text", 1);
    }
}
