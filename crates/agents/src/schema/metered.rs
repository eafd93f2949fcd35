//! JSON values as a validator sees them: each look at one is paid for.
//!
//! A schema that refers to itself from two branches can ask 2^depth questions of a small body. No
//! schema can ask one without looking at a value, so that is where a budget is kept. When it is spent,
//! the validation is unwound from where it stands: the validator has no other way out.

use std::{
    borrow::Cow,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use jsonschema::{
    JsonType,
    json::{Array, Json, Node, NodeIdentity, Object, cmp},
};
use serde_json::{Map, Number, Value, map};

use super::unique;

/// The representation of JSON whose nodes are [`Metered`] values.
pub(super) struct MeteredJson;

/// What one validation may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    steps: Cell<u64>,
    errors: Cell<u64>,
}

/// A budget was spent before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// Too many looks at values.
    Steps,
    /// Too many violations.
    Errors,
}

impl Budget {
    /// A budget of so many steps, a step being one look at a value or at 64 bytes of a text, and of so
    /// many violations.
    pub(super) fn new(steps: u64, errors: u64) -> Self {
        Self { steps: Cell::new(steps), errors: Cell::new(errors) }
    }

    /// Does `work`, which pays from `self` and stops when there is nothing left.
    ///
    /// It stops by unwinding, without a panic's message: `work` must leave nothing half done behind.
    pub(super) fn spend<T>(&self, work: impl FnOnce() -> T) -> Result<T, Exhausted> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast() {
            Ok(exhausted) => *exhausted,
            Err(panic) => resume_unwind(panic),
        })
    }

    /// Pays for `steps`.
    pub(super) fn pay(&self, steps: u64) {
        match self.steps.get().checked_sub(steps) {
            Some(left) => self.steps.set(left),
            None => stop(Exhausted::Steps),
        }
    }

    fn pay_for_error(&self) {
        match self.errors.get().checked_sub(1) {
            Some(left) => self.errors.set(left),
            None => stop(Exhausted::Errors),
        }
    }

    /// Steps that are left.
    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }
}

#[cold]
fn stop(exhausted: Exhausted) -> ! {
    resume_unwind(Box::new(exhausted))
}

/// Steps for going through a text.
fn length(text: &str) -> u64 {
    1 + text.len() as u64 / 64
}

/// A value and the budget that looks at it are paid from.
#[derive(Clone, Copy)]
pub(super) struct Metered<'a> {
    value: &'a Value,
    budget: &'a Budget,
}

impl<'a> Metered<'a> {
    pub(super) fn new(value: &'a Value, budget: &'a Budget) -> Self {
        Self { value, budget }
    }

    fn look(&self) -> &'a Value {
        self.budget.pay(1);
        self.value
    }
}

/// A name of a property as a value of its own, for `propertyNames`.
pub(super) struct Name {
    value: Value,
    budget: Budget,
}

/// A name has no parts, so its schemas are asked once each; this is for a schema that is hostile itself.
const NAME_STEPS: u64 = 100_000;

impl Default for Name {
    fn default() -> Self {
        Self { value: Value::Null, budget: Budget::new(NAME_STEPS, u64::MAX) }
    }
}

impl Json for MeteredJson {
    type Node<'a> = Metered<'a>;
    type PreparedKey = String;
    type StringBuffer = Name;

    // As for the `Map` underneath: a look-up costs about as much as stepping over two keys.
    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Name, string: &str, f: impl FnOnce(Metered<'_>) -> T) -> T {
        buffer.value = Value::String(string.to_owned());
        f(Metered::new(&buffer.value, &buffer.budget))
    }
}

impl<'a> Node<'a, MeteredJson> for Metered<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        let map = self.look().as_object()?;
        Some(Members { map, budget: self.budget })
    }

    fn as_array(&self) -> Option<Items<'a>> {
        let items = self.look().as_array()?;
        Some(Items { items, budget: self.budget })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.look().as_str()?;
        self.budget.pay(length(text));
        Some(Cow::Borrowed(text))
    }

    fn as_number(&self) -> Option<&'a Number> {
        self.look().as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        self.look().as_bool()
    }

    fn is_null(&self) -> bool {
        self.look().is_null()
    }

    fn json_type(&self) -> JsonType {
        match self.look() {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.budget.pay(weight(expected));
        cmp::equal(self.value, expected)
    }

    /// Short texts, and `null` in place of all else: the validator asks only when it reports a violation,
    /// keeps a copy for each branch that failed, and nothing is read of it but a property's name.
    fn to_value(&self) -> Cow<'a, Value> {
        self.budget.pay_for_error();
        let is_short = self.value.as_str().is_some_and(|text| text.len() <= SHORT);
        Cow::Borrowed(if is_short { self.value } else { &Value::Null })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.value) as usize))
    }
}

/// Bytes of a text that a violation keeps.
const SHORT: usize = 64;

/// Steps for a comparison with a value of a schema, which ends at the first difference.
fn weight(expected: &Value) -> u64 {
    match expected {
        Value::String(text) => length(text),
        Value::Array(items) => items.iter().map(weight).sum::<u64>() + 1,
        Value::Object(map) => map.values().map(weight).sum::<u64>() + 1,
        _ => 1,
    }
}

/// The members of an object.
pub(super) struct Members<'a> {
    map: &'a Map<String, Value>,
    budget: &'a Budget,
}

impl<'a> Object<'a, MeteredJson> for Members<'a> {
    type Node = Metered<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.map.len()
    }

    fn get(&self, key: &String) -> Option<Metered<'a>> {
        self.budget.pay(2);
        self.map.get(key).map(|value| Metered::new(value, self.budget))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter { members: self.map.iter(), budget: self.budget }
    }
}

/// See [`Members`].
pub(super) struct MembersIter<'a> {
    members: map::Iter<'a>,
    budget: &'a Budget,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Metered<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.members.next()?;
        self.budget.pay(length(name));
        Some((name, Metered::new(value, self.budget)))
    }
}

/// The items of an array.
pub(super) struct Items<'a> {
    items: &'a [Value],
    budget: &'a Budget,
}

impl<'a> Array<'a, MeteredJson> for Items<'a> {
    type Node = Metered<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter { items: self.items.iter(), budget: self.budget }
    }

    fn is_unique(&self) -> bool {
        unique::is_unique(self.items, self.budget)
    }
}

/// See [`Items`].
pub(super) struct ItemsIter<'a> {
    items: std::slice::Iter<'a, Value>,
    budget: &'a Budget,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Metered<'a>;

    fn next(&mut self) -> Option<Metered<'a>> {
        let value = self.items.next()?;
        self.budget.pay(1);
        Some(Metered::new(value, self.budget))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn validator(schema: &Value) -> jsonschema::Validator<MeteredJson> {
        jsonschema::options_for::<MeteredJson>().build(schema).unwrap()
    }

    /// Nested objects, `depth` of them.
    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn a_spent_budget_ends_what_would_take_forever() {
        let schema = json!({
            "type": "object",
            "oneOf": [
                {"properties": {"a": {"$ref": "#"}}, "required": ["b"]},
                {"properties": {"a": {"$ref": "#"}}, "required": ["c"]},
            ],
        });
        let validator = validator(&schema);
        let value = nested(64);
        let budget = Budget::new(100_000, u64::MAX);
        let outcome = budget.spend(|| validator.iter_errors(Metered::new(&value, &budget)).count());
        assert_eq!(outcome, Err(Exhausted::Steps));
    }

    #[test]
    fn violations_are_paid_for() {
        let validator = validator(&json!({"items": {"type": "string"}}));
        let value = json!(vec![0; 100]);
        let errors = |max| {
            let budget = Budget::new(u64::MAX, max);
            budget.spend(|| validator.iter_errors(Metered::new(&value, &budget)).count())
        };
        assert_eq!(errors(100), Ok(100));
        assert_eq!(errors(99), Err(Exhausted::Errors));
    }

    #[test]
    fn a_panic_is_not_taken_for_a_spent_budget() {
        let budget = Budget::new(0, 0);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            budget.spend(|| -> () { resume_unwind(Box::new("a fault")) })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a fault"));
    }

    #[track_caller]
    fn check_cost(schema: &Value, value: &Value, at_least: u64) {
        let budget = Budget::new(u64::MAX, u64::MAX);
        let _ = validator(schema).is_valid(Metered::new(value, &budget));
        let cost = u64::MAX - budget.steps();
        assert!(cost >= at_least, "{schema} cost {cost}");
    }

    #[test]
    fn every_keyword_pays_for_what_it_reads() {
        let text = json!("x".repeat(64_000));
        check_cost(&json!({"minLength": 1}), &text, 1000);
        check_cost(&json!({"pattern": "a$"}), &text, 1000);
        check_cost(&json!({"enum": ["x".repeat(64_000), 1]}), &text, 1000);
        check_cost(&json!({"const": [1, 2, 3]}), &json!([1, 2, 3]), 3);
        let items = json!((0..1000).collect::<Vec<_>>());
        check_cost(&json!({"items": {"type": "integer"}}), &items, 1000);
        check_cost(&json!({"contains": {"const": -1}}), &items, 1000);
        check_cost(&json!({"uniqueItems": true}), &items, 1000);
        let members: Map<_, _> = (0..1000).map(|key| (key.to_string(), json!(1))).collect();
        let members = Value::Object(members);
        check_cost(&json!({"additionalProperties": {"type": "integer"}}), &members, 1000);
        check_cost(&json!({"propertyNames": {"maxLength": 9}}), &members, 1000);
        check_cost(&json!({"patternProperties": {"^[a-z].$": false}}), &members, 1000);
        check_cost(&json!({"unevaluatedProperties": {"type": "integer"}}), &members, 1000);
    }
}
