//! Fields of events, by their path.

use serde_json::Value;

use super::scalar::Scalar;

/// An event as a view sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'e> {
    /// Its number in the stream.
    pub(crate) seq: u64,
    /// When it was appended, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// What was appended.
    pub(crate) bytes: &'e [u8],
}

/// Where in an event a value lies: `customer.country`, `lines.0.price`, `@time`, `@seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Time,
    Seq,
    Path(Vec<String>),
}

impl Field {
    /// Reads a path; text that begins with `@` and is not known is a name like any other.
    pub(crate) fn parse(text: &str) -> Field {
        match text {
            "@time" => Field::Time,
            "@seq" => Field::Seq,
            path => Field::Path(path.split('.').map(str::to_owned).collect()),
        }
    }

    /// The value there. What is missing is null.
    ///
    /// # Errors
    /// If it is an array or an object.
    pub(crate) fn of(&self, event: &Event<'_>, json: &Value) -> Result<Scalar, &'static str> {
        let number = |number: u64| Scalar::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        match self {
            Field::Time => Ok(number(event.time_ms)),
            Field::Seq => Ok(number(event.seq)),
            Field::Path(names) => {
                let value = names.iter().try_fold(json, |value, name| step(value, name));
                let scalar = value.map_or(Some(Scalar::Null), Scalar::of);
                scalar.ok_or("is an array or an object where a plain value belongs")
            }
        }
    }

    /// Whether anything but null is there.
    pub(crate) fn is_there(&self, json: &Value) -> bool {
        match self {
            Field::Time | Field::Seq => true,
            Field::Path(names) => names
                .iter()
                .try_fold(json, |value, name| step(value, name))
                .is_some_and(|value| !value.is_null()),
        }
    }
}

fn step<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(values) => values.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        let event = Event { seq: 7, time_ms: 9, bytes: b"" };
        let json = json!({ "a": { "b": [10, { "c": "x" }] }, "n": null });
        let of = |path: &str| Field::parse(path).of(&event, &json);
        assert_eq!(of("a.b.1.c"), Ok(Scalar::Text("x".into())));
        assert_eq!(of("a.b.0"), Ok(Scalar::Integer(10)));
        assert_eq!(of("a.b.9"), Ok(Scalar::Null));
        assert_eq!(of("n.x"), Ok(Scalar::Null));
        assert_eq!(of("@time"), Ok(Scalar::Integer(9)));
        assert_eq!(of("@seq"), Ok(Scalar::Integer(7)));
        assert!(of("a").is_err());
        assert!(Field::parse("a").is_there(&json) && !Field::parse("n").is_there(&json));
    }
}
