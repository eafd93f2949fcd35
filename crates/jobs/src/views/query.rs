//! What a reader asks of a view.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scalar::Scalar;

/// Rows of one answer.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Conditions of one question.
const CONDITIONS_MAX: usize = 8;
/// Parts of a key; more than a config takes.
const KEYS_MAX: usize = 16;
/// Bytes of a parameter.
const PARAMETER_BYTES_MAX: usize = 4 << 10;

/// What a reader asks of a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    /// The values of a row's key, in order, as text.
    pub(crate) keys: Vec<String>,
    /// How the first value of the key begins.
    pub(crate) prefix: Option<String>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) order: Option<Order>,
    pub(crate) limit: usize,
    pub(crate) after: Option<After>,
}

/// A field of a row and what it must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) field: String,
    /// As SQL spells it; one of [`OPERATORS`].
    pub(crate) operator: &'static str,
    pub(crate) value: Scalar,
}

/// By which field rows are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) field: String,
    pub(crate) descending: bool,
}

/// The last row of the page before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct After {
    #[serde(rename = "k")]
    pub(crate) key: String,
    /// What it was sorted by.
    #[serde(rename = "v")]
    pub(crate) value: Option<Scalar>,
}

/// Why a question is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadQuery(pub(crate) String);

/// Two characters before one, so that `<=` is not `<` and a value that begins with `=`.
const OPERATORS: [(&str, &str); 6] =
    [("<=", "<="), (">=", ">="), ("!=", "<>"), ("<", "<"), (">", ">"), ("=", "=")];

impl Default for Query {
    fn default() -> Self {
        Query {
            keys: Vec::new(),
            prefix: None,
            conditions: Vec::new(),
            order: None,
            limit: LIMIT,
            after: None,
        }
    }
}

impl Query {
    /// Reads parameters; those of others are left alone, and returned.
    ///
    /// # Errors
    /// If one says what it must not.
    pub(crate) fn parse(
        parameters: impl Iterator<Item = (String, String)>,
    ) -> Result<(Query, Vec<(String, String)>), BadQuery> {
        let mut query = Query::default();
        let mut others = Vec::new();
        for (name, value) in parameters {
            if value.len() > PARAMETER_BYTES_MAX {
                return Err(bad(format!("`{name}` is longer than {PARAMETER_BYTES_MAX} bytes")));
            }
            match name.as_str() {
                "key" => query.keys.push(value),
                "prefix" => query.prefix = Some(value),
                "where" => query.conditions.push(condition(&value)?),
                "order" => query.order = Some(order(&value)?),
                "limit" => query.limit = limit(&value)?,
                "after" => query.after = Some(After::parse(&value)?),
                _ => others.push((name, value)),
            }
        }
        query.bound()?;
        Ok((query, others))
    }

    fn bound(&self) -> Result<(), BadQuery> {
        if self.conditions.len() > CONDITIONS_MAX {
            return Err(bad(format!("there are more than {CONDITIONS_MAX} `where`")));
        }
        if self.keys.len() > KEYS_MAX {
            return Err(bad(format!("there are more than {KEYS_MAX} `key`")));
        }
        if !self.keys.is_empty() && self.prefix.is_some() {
            return Err(bad("`key` names a row, and `prefix` many; ask for one of them"));
        }
        match &self.after {
            Some(after) if after.value.is_some() != self.order.is_some() => {
                Err(bad("`after` comes from an answer with another `order`"))
            }
            _ => Ok(()),
        }
    }
}

fn bad(reason: impl Into<String>) -> BadQuery {
    BadQuery(reason.into())
}

/// `revenue>=100`, `country=DE`, `zip="01"`.
fn condition(text: &str) -> Result<Condition, BadQuery> {
    let at = text.find(['<', '>', '!', '=']).filter(|at| *at > 0);
    let split = at.and_then(|at| {
        let (field, rest) = text.split_at(at);
        let known = OPERATORS.iter().find_map(|(sign, sql)| Some((*sql, rest.strip_prefix(sign)?)));
        known.map(|(operator, value)| (field, operator, value))
    });
    let Some((field, operator, value)) = split else {
        return Err(bad(format!(
            "`where={text}` is no condition; write it like `where=revenue>=100`"
        )));
    };
    Ok(Condition { field: field.to_owned(), operator, value: literal(value) })
}

/// A number, true, false or null as JSON has them; text in quotes or without.
fn literal(text: &str) -> Scalar {
    let json = serde_json::from_str::<Value>(text).ok();
    json.as_ref().and_then(Scalar::of).unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

/// All values that a part of a key may mean: `1` is a number or a text.
pub(crate) fn meanings(text: &str) -> Vec<Scalar> {
    let as_text = Scalar::Text(text.to_owned());
    match literal(text) {
        json if json == as_text => vec![as_text],
        json => vec![as_text, json],
    }
}

fn order(text: &str) -> Result<Order, BadQuery> {
    let (field, descending) = match text.strip_prefix('-') {
        Some(field) => (field, true),
        None => (text, false),
    };
    match field.is_empty() {
        true => Err(bad("`order` names a field, such as `order=-revenue`")),
        false => Ok(Order { field: field.to_owned(), descending }),
    }
}

fn limit(text: &str) -> Result<usize, BadQuery> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad(format!("`limit` is a number from 1 to {LIMIT_MAX}")))
}

impl After {
    fn parse(text: &str) -> Result<After, BadQuery> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let after = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        after.ok_or_else(|| bad("`after` is none that an answer gave as `next`"))
    }

    pub(crate) fn token(&self) -> String {
        let json = serde_json::to_vec(self).expect("a key and a value have a spelling in JSON");
        BASE64URL_NOPAD.encode(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, BadQuery> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Query::parse(pairs).map(|(query, _)| query)
    }

    #[track_caller]
    fn check(text: &str, field: &str, operator: &str, value: Scalar) {
        let condition = condition(text).unwrap();
        assert_eq!((condition.field.as_str(), condition.operator), (field, operator), "{text}");
        assert_eq!(condition.value, value, "{text}");
    }

    #[test]
    fn conditions_are_a_field_a_sign_and_a_value() {
        check("revenue>=100", "revenue", ">=", Scalar::Integer(100));
        check("a<=b", "a", "<=", Scalar::Text("b".into()));
        check("a!=true", "a", "<>", Scalar::Switch(true));
        check("a=<b", "a", "=", Scalar::Text("<b".into()));
        check("a.b=\"01\"", "a.b", "=", Scalar::Text("01".into()));
        check("a=", "a", "=", Scalar::Text(String::new()));
        for text in ["", "a", "=1", "a!1", ">"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_and_contradictions() {
        for text in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "order=",
            "order=-",
            "key=a&prefix=b",
            "after=%",
            "after=e30",
            "where=a=1&where=a=1&where=a=1&where=a=1&where=a=1&where=a=1&where=a=1&where=a=1&where=a=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let after = After { key: "[1]".into(), value: None };
        let text = format!("after={}", after.token());
        assert_eq!(parse(&text).unwrap().after, Some(after));
        assert!(parse(&format!("{text}&order=a")).is_err(), "a page of another order");
        assert_eq!(parse("order=-a&limit=7").unwrap().limit, 7);
    }
}
