//! JSON in its one canonical spelling (RFC 8785 for what entries have: no fractions, ASCII names).

use serde_json::{Map, Value};

/// The largest whole number that every JSON reader holds exactly.
pub(crate) const NUMBER_MAX: i64 = (1 << 53) - 1;

/// Whether every reader of JSON has this very number.
pub(crate) fn is_safe(number: i64) -> bool {
    (-NUMBER_MAX..=NUMBER_MAX).contains(&number)
}

/// Writes a value with sorted names and without spaces.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Reads a text that is in its canonical spelling; `None` for every other.
pub(crate) fn parse(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (!has_fraction(&value) && canonical(&value).as_bytes() == bytes).then_some(value)
}

/// Fractions have many spellings, and entries have none of them.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            let write_item = |item: &&Value, text: &mut String| write(item, text);
            separated('[', items.iter(), write_item, text);
            text.push(']');
        }
        Value::Object(fields) => {
            // Sorted here, and not by the map: a feature of serde_json would turn its order off.
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            separated('{', fields.into_iter(), write_field, text);
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn write_field((name, value): &(&String, &Value), text: &mut String) {
    text.push_str(&Value::from(name.as_str()).to_string());
    text.push(':');
    write(value, text);
}

fn separated<T>(
    open: char,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&T, &mut String),
    text: &mut String,
) {
    text.push(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(&item, text);
    }
}

/// The fields of an object, taken one by one, so that what nobody took is seen.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of `value`, if it is an object.
    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self(fields)),
            _ => None,
        }
    }

    /// Takes a field that may be missing.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Takes a text that must be there.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        text(self.take(name)?)
    }

    /// Takes a text that may be missing: `None` only for what is no text.
    pub(crate) fn optional_text(&mut self, name: &str) -> Option<Option<String>> {
        self.take(name).map_or(Some(None), |value| text(value).map(Some))
    }

    /// Takes a number that must be there.
    pub(crate) fn number(&mut self, name: &str) -> Option<u64> {
        self.take(name)?.as_u64().filter(|number| *number <= NUMBER_MAX as u64)
    }

    /// What nobody took.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a field that nobody took.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter()
    }
}

pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        let value = json!({"b": [1, true, null], "a": {"z": "\u{e9}\"\\\n\u{1}/", "": -7}});
        let text = canonical(&value);
        assert_eq!(
            text,
            "{\"a\":{\"\":-7,\"z\":\"\u{e9}\\\"\\\\\\n\\u0001/\"},\"b\":[1,true,null]}"
        );
        assert_eq!(parse(text.as_bytes()), Some(value));
        let other = [
            "{\"b\":1,\"a\":1}",
            "{ }",
            "{\"a\":1,\"a\":1}",
            "[1,]",
            "[1.0]",
            "[1e3]",
            "[-0]",
            "\"\\u0041\"",
            "\"\\/\"",
            "\"\\u000A\"",
            "{}\n",
            "",
            "[01]",
        ];
        for text in other {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
