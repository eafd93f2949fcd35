//! Whether the items of an array differ, in time that a hostile body cannot stretch.
//!
//! Hashing would be faster and can be led astray: nested arrays flatten to the same hash, numbers that
//! round alike share one. Sorting has no bad case.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::metered::Budget;

/// Whether no two of `items` are equal; numbers are by their value, so that 1 and 1.0 are.
pub(super) fn is_unique(items: &[Value], budget: &Budget) -> bool {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_unstable_by(|a, b| order(a, b, budget));
    sorted.windows(2).all(|pair| order(pair[0], pair[1], budget).is_ne())
}

/// An order of all values in which those are equal that JSON Schema calls equal.
fn order(a: &Value, b: &Value, budget: &Budget) -> Ordering {
    budget.pay(1);
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b),
        (Value::String(a), Value::String(b)) => order_texts(a, b, budget),
        (Value::Array(a), Value::Array(b)) => a
            .len()
            .cmp(&b.len())
            .then_with(|| first_difference(a.iter().zip(b).map(|(a, b)| order(a, b, budget)))),
        (Value::Object(a), Value::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            // Keys come sorted out of the map.
            first_difference(a.iter().zip(b).map(|((key_a, a), (key_b, b))| {
                order_texts(key_a, key_b, budget).then_with(|| order(a, b, budget))
            }))
        }),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn order_texts(a: &str, b: &str, budget: &Budget) -> Ordering {
    budget.pay(1 + a.len().min(b.len()) as u64 / 64);
    a.cmp(b)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn order_numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => order_mixed(a, double(b)),
        (None, Some(b)) => order_mixed(b, double(a)).reverse(),
        (None, None) => double(a).partial_cmp(&double(b)).unwrap_or(Ordering::Equal),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Compares exactly; an integer of more than 53 bits is not rounded.
fn order_mixed(integer: i128, double: f64) -> Ordering {
    // Saturates, far beyond every 64-bit integer.
    let whole = double.trunc() as i128;
    integer.cmp(&whole).then_with(|| 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use jsonschema::json::cmp;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn plenty() -> Budget {
        Budget::new(u64::MAX, u64::MAX)
    }

    #[track_caller]
    fn check(items: &Value, expected: bool) {
        assert_eq!(is_unique(items.as_array().unwrap(), &plenty()), expected, "{items}");
    }

    #[test]
    fn equality_of_json_schema() {
        check(&json!([]), true);
        check(&json!([1, 1.0]), false);
        check(&json!([0, -0.0]), false);
        check(&json!([1, true, "1", null, [1], {"1": 1}]), true);
        check(&json!([9_007_199_254_740_993_u64, 9_007_199_254_740_992.0]), true);
        check(&json!([u64::MAX, 18_446_744_073_709_551_616.0]), true);
        check(&json!([-1, -1.5, 1e300, -1e300, 1.5]), true);
        check(&json!([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]), false);
        check(&json!([{"a": 1}, {"b": 1}, {"a": 2}]), true);
        check(&json!([[], [[]], [[], []], [[[]]]]), true);
        check(&json!([[1, 2], [2, 1], [1, 2]]), false);
    }

    #[test]
    fn keys_of_objects_come_sorted() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"a":2,"b":1}"#);
    }

    fn numbers() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-3_i32..3).prop_map(|n| json!(f64::from(n) / 2.0)),
            any::<u64>().prop_map(|n| json!(n as f64)),
            (-3_i32..3).prop_map(Value::from),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            numbers(),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_order_that_agrees_with_the_validator(a in values(), b in values(), c in values()) {
            let order = |a, b| order(a, b, &plenty());
            prop_assert_eq!(order(&a, &b).is_eq(), cmp::equal(&a, &b));
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                prop_assert!(order(&a, &c).is_le());
            }
        }
    }
}
