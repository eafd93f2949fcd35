//! What a verified token says, and how it reads in a request field.

use std::{error::Error, fmt};

use serde_json::{Map, Value};

use super::json;

/// Bytes of one field or value made of claims at most.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claims(Map<String, Value>);

/// A claim that cannot be passed on in a field without meaning something else there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

impl Claims {
    /// Reads a token's payload.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        json::object(payload).map(Self)
    }

    /// The claim of this very name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The claim of this very name, or else the one to which its dots lead. `null` is none.
    pub(super) fn find(&self, path: &str) -> Option<&Value> {
        let found = self.0.get(path).or_else(|| {
            let mut steps = path.split('.');
            let first = self.0.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        });
        found.filter(|value| !value.is_null())
    }
}

/// The value of a field: a text, a number, a truth value, or a list of such joined by commas. None
/// for an object, and for what has no text at all.
pub(super) fn text(value: &Value) -> Result<Option<String>, Unfit> {
    let text = match value {
        Value::Array(items) if !items.is_empty() => joined(&list(items)?, ",")?,
        Value::Array(_) => return Ok(None),
        single => match scalar(single) {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    passable(&text)?;
    Ok((!text.is_empty()).then_some(text))
}

/// The names in a claim that is a list of texts, or one text.
pub(super) fn names(value: &Value) -> Result<Vec<String>, Unfit> {
    match value {
        Value::Array(items) => list(items),
        Value::String(name) => list(std::slice::from_ref(&Value::String(name.clone()))),
        _ => Ok(Vec::new()),
    }
}

/// The scopes in a claim that is a list of texts, or one text of scopes parted by blanks.
pub(super) fn scopes(value: &Value) -> Result<Vec<String>, Unfit> {
    let scopes = match value {
        Value::String(text) => text.split(' ').map(str::to_owned).collect(),
        other => names(other)?,
    };
    let scopes: Vec<String> = scopes.into_iter().filter(|scope| !scope.is_empty()).collect();
    let is_one = |scope: &String| !scope.contains(|c: char| c.is_whitespace() || c.is_control());
    scopes.iter().all(is_one).then_some(scopes).ok_or(Unfit)
}

/// Puts names into one text, none of which holds the separator.
pub(super) fn joined(names: &[String], separator: &str) -> Result<String, Unfit> {
    let text = names.join(separator);
    (text.len() <= TEXT_BYTES_MAX).then_some(text).ok_or(Unfit)
}

/// Whether `text` arrives in a field as it is: no control characters, which end or hide fields, and
/// no blanks around it, which parsers take off.
pub(super) fn passable(text: &str) -> Result<(), Unfit> {
    let whole = text.trim() == text && !text.contains(char::is_control);
    (whole && text.len() <= TEXT_BYTES_MAX).then_some(()).ok_or(Unfit)
}

/// Items that stay apart when they are joined by commas.
fn list(items: &[Value]) -> Result<Vec<String>, Unfit> {
    let texts = items.iter().map(|item| {
        let text = scalar(item).ok_or(Unfit)?;
        passable(&text)?;
        (!text.contains(',')).then_some(text).ok_or(Unfit)
    });
    let texts = texts.collect::<Result<Vec<String>, Unfit>>()?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim of the token cannot be passed on")
    }
}

impl Error for Unfit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, path: &str, expected: Result<Option<&str>, Unfit>) {
        let claims = Claims::parse(json.as_bytes()).unwrap();
        let found = claims.find(path).map_or(Ok(None), text);
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
    }

    #[track_caller]
    fn check_scopes(json: &str, expected: Result<&[&str], Unfit>) {
        let found = scopes(&serde_json::from_str(json).unwrap());
        assert_eq!(found, expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect()));
    }

    #[test]
    fn paths_lead_to_claims() {
        check(r#"{"sub": "u-1"}"#, "sub", Ok(Some("u-1")));
        check(r#"{"a": {"b": {"c": "deep"}}}"#, "a.b.c", Ok(Some("deep")));
        check(r#"{"a.b": "flat", "a": {"b": "deep"}}"#, "a.b", Ok(Some("flat")));
        check(
            r#"{"https://example.com/roles": ["a"]}"#,
            "https://example.com/roles",
            Ok(Some("a")),
        );
        for path in ["", "a.", "a.b.c.d", "b", "a.x", "a..b"] {
            check(r#"{"a": {"b": {"c": "deep"}}}"#, path, Ok(None));
        }
        check(r#"{"a": null}"#, "a", Ok(None));
    }

    #[test]
    fn values_become_text() {
        check(r#"{"n": 42}"#, "n", Ok(Some("42")));
        check(r#"{"n": -1.5}"#, "n", Ok(Some("-1.5")));
        check(r#"{"b": true}"#, "b", Ok(Some("true")));
        check(r#"{"l": ["a", 1, false]}"#, "l", Ok(Some("a,1,false")));
        check(r#"{"l": []}"#, "l", Ok(None));
        check(r#"{"o": {"x": 1}}"#, "o", Ok(None));
        check(r#"{"s": ""}"#, "s", Ok(None));
        check(r#"{"s": "Dörte, Müller"}"#, "s", Ok(Some("Dörte, Müller")));
    }

    #[test]
    fn what_would_mean_something_else_in_a_field_is_unfit() {
        for text in
            ["a\\r\\nx-user-role: admin", "a\\u0000", "\\u007f", "\\u0085", "a\\t", " a", "a "]
        {
            check(&format!(r#"{{"s": "{text}"}}"#), "s", Err(Unfit));
            check(&format!(r#"{{"s": ["b", "{text}"]}}"#), "s", Err(Unfit));
        }
        check(r#"{"l": ["user,admin"]}"#, "l", Err(Unfit));
        check(r#"{"l": [["admin"]]}"#, "l", Err(Unfit));
        check(&format!(r#"{{"s": "{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1)), "s", Err(Unfit));
        let many = vec![r#""0123456789abcdef""#; 1024].join(",");
        check(&format!(r#"{{"l": [{many}]}}"#), "l", Err(Unfit));
    }

    #[test]
    fn scopes_come_in_one_text_or_in_a_list() {
        check_scopes(r#""openid read:all ""#, Ok(&["openid", "read:all"]));
        check_scopes(r#"["openid", "read:all"]"#, Ok(&["openid", "read:all"]));
        check_scopes(r#""""#, Ok(&[]));
        check_scopes("{}", Ok(&[]));
        check_scopes(r#"["a b"]"#, Err(Unfit));
        check_scopes(r#""a\tb""#, Err(Unfit));
    }
}
