//! What `selvedge doc set` is told: `title=Milk`, `tags+=red`, `counter:votes+=2`.

use std::{fmt, str::FromStr};

use selvedge_crdt::{Edit, EditError, Kind, Value};
use selvedge_crdt_text::{Position, Text, TextError};
use serde_json::{Number, Value as Json};

/// A change to one field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    /// As it was said.
    text: String,
    field: String,
    kind: Kind,
    change: Change,
    value: Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Put,
    Add,
    Remove,
}

/// What kinds are called here, beside their names in the format.
const PREFIXES: &[(&str, Kind)] = &[
    ("counter", Kind::COUNTER),
    ("max", Kind::MAX),
    ("min", Kind::MIN),
    ("multi", Kind::MULTI),
    ("grow", Kind::GROW_SET),
    ("set", Kind::OR_SET),
    ("text", Kind::TEXT),
];

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no change such as title=Milk, tags+=red, tags-=red, counter:votes+=2"
            )
        };
        let (left, value) = text.split_once('=').ok_or_else(wrong)?;
        let (left, change) = match left.strip_suffix('+') {
            Some(left) => (left, Change::Add),
            None => {
                left.strip_suffix('-').map_or((left, Change::Put), |left| (left, Change::Remove))
            }
        };
        let named = left.split_once(':').and_then(|(prefix, field)| Some((kind(prefix)?, field)));
        let (kind, field) = named.unwrap_or(match change {
            Change::Put => (Kind::LWW, left),
            Change::Add | Change::Remove => (Kind::OR_SET, left),
        });
        if field.is_empty() {
            return Err(wrong());
        }
        if is_beyond_integers(value) && kind != Kind::TEXT {
            return Err(format!(
                "{value} is no integer of 64 bits: write it as 1.0e19 for a rounded number, or in quotes for text"
            ));
        }
        let is_meant = |json: &Json| kind != Kind::TEXT || json.is_string();
        let value =
            serde_json::from_str(value).ok().filter(is_meant).unwrap_or_else(|| value.into());
        let (text, field) = (text.to_owned(), field.to_owned());
        let assignment = Assignment { text, field, kind, change, value };
        if assignment.makes_sense() { Ok(assignment) } else { Err(assignment.misfit()) }
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether it is digits that would be rounded.
fn is_beyond_integers(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && value.parse::<i64>().is_err()
}

fn kind(prefix: &str) -> Option<Kind> {
    PREFIXES.iter().find(|(name, _)| *name == prefix).map(|(_, kind)| *kind)
}

impl Assignment {
    fn makes_sense(&self) -> bool {
        let scalar = !matches!(self.value, Json::Array(_) | Json::Object(_));
        scalar
            && match (self.kind, self.change) {
                (Kind::COUNTER, Change::Add | Change::Remove) => self.value.as_i64().is_some(),
                (Kind::OR_SET, Change::Add | Change::Remove) | (Kind::GROW_SET, Change::Add) => {
                    true
                }
                (Kind::TEXT, Change::Put | Change::Add) => true,
                (Kind::LWW | Kind::MULTI | Kind::MAX | Kind::MIN, Change::Put) => true,
                _ => false,
            }
    }

    fn misfit(&self) -> String {
        let operator = match self.change {
            Change::Put => "=",
            Change::Add => "+=",
            Change::Remove => "-=",
        };
        format!("a field of kind {} takes no `{operator}` with {}", self.kind, self.value)
    }

    /// Makes the change.
    pub(crate) fn write(&self, edit: &mut Edit<'_>, entity: &str) -> Result<(), WriteError> {
        let (field, value) = (self.field.as_str(), value_of(&self.value));
        match (self.kind, self.change) {
            (Kind::COUNTER, change) => {
                let by = self.value.as_i64().unwrap_or_default();
                let by = if change == Change::Remove { by.saturating_neg() } else { by };
                edit.increment(entity, field, by)?;
            }
            (Kind::OR_SET, Change::Remove) => edit.remove(entity, field, value)?,
            (Kind::OR_SET, _) => edit.add(entity, field, value)?,
            (Kind::GROW_SET, _) => edit.include(entity, field, value)?,
            (Kind::TEXT, change) => {
                let said = self.value.as_str().unwrap_or_default();
                write_text(edit, (entity, field), said, change == Change::Add)?;
            }
            (Kind::MAX, _) => edit.raise(entity, field, value)?,
            (Kind::MIN, _) => edit.lower(entity, field, value)?,
            (Kind::MULTI, _) => edit.assign(entity, field, value)?,
            _ => edit.set(entity, field, value)?,
        }
        Ok(())
    }
}

/// Why a change is not made.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The document does not take it.
    Edit(EditError),
    /// The text does not.
    Text(TextError),
}

impl From<TextError> for WriteError {
    fn from(error: TextError) -> Self {
        WriteError::Text(error)
    }
}

impl From<EditError> for WriteError {
    fn from(error: EditError) -> Self {
        WriteError::Edit(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Edit(error) => write!(f, "{error}"),
            WriteError::Text(error) => write!(f, "{error}"),
        }
    }
}

/// Changes a text as little as it takes, so that what others write at the same time stays.
fn write_text(
    edit: &mut Edit<'_>,
    (entity, field): (&str, &str),
    said: &str,
    is_appended: bool,
) -> Result<(), TextError> {
    let mut text = Text::open(edit, entity, field);
    if is_appended {
        let end = text.as_str().chars().count();
        text.insert(Position::Chars(end), said)?;
    } else {
        text.set(said)?;
    }
    text.commit(edit)
}

fn value_of(json: &Json) -> Value<'_> {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number_of(number),
        Json::String(text) => text.as_str().into(),
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Null,
    }
}

fn number_of(number: &Number) -> Value<'static> {
    match number.as_i64() {
        Some(value) => Value::Int(value),
        None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_crdt::{Document, ReplicaId, Writer};
    use serde_json::json;

    use super::*;
    use crate::doc::as_json;

    #[track_caller]
    fn check(texts: &[&str], expected: serde_json::Value) {
        let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
        for text in texts {
            let assignment: Assignment = text.parse().expect(text);
            let mut edit = writer.edit(&mut document, 1_000);
            assignment.write(&mut edit, "n").unwrap_or_else(|error| panic!("{error}"));
        }
        let entity = document.entity("n").expect("it was written to");
        assert_eq!(as_json::entity(&document, entity), expected);
    }

    #[test]
    fn changes_are_written() {
        check(&["title=Oat milk"], json!({ "title": "Oat milk" }));
        check(
            &["n=5", "f=0.5", "b=true", "s=\"5\"", "x=null"],
            json!({ "n": 5, "f": 0.5, "b": true, "s": "5", "x": null }),
        );
        check(&["title=a=b"], json!({ "title": "a=b" }));
        check(&["text:t=1e3", "text:t+= true", "text:t+=\"!\""], json!({ "t": "1e3 true!" }));
        check(&["text:t=12345678901234567890123"], json!({ "t": "12345678901234567890123" }));
        check(&["n=-9223372036854775808"], json!({ "n": i64::MIN }));
        for text in ["n=9223372036854775808", "tags+=12345678901234567890123"] {
            let refused = text.parse::<Assignment>().unwrap_err();
            assert!(refused.contains("no integer of 64 bits"), "{refused}");
        }
        check(&["tags+=red", "tags+=blue", "tags-=red"], json!({ "tags": ["blue"] }));
        check(&["counter:votes+=3", "counter:votes-=1"], json!({ "votes": 2 }));
        check(
            &["max:high=3", "max:high=2", "min:low=3", "min:low=2"],
            json!({ "high": 3, "low": 2 }),
        );
        check(&["multi:names=ann", "grow:seen+=ann"], json!({ "names": ["ann"], "seen": ["ann"] }));
        check(&["text:body=Hello", "text:body+=, you"], json!({ "body": "Hello, you" }));
        check(&["a:b=c"], json!({ "a:b": "c" }));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "title",
            "=x",
            "+=x",
            "counter:votes=3",
            "counter:votes+=x",
            "max:high+=3",
            "grow:seen-=x",
            "x=[1]",
            "x={}",
        ] {
            assert!(text.parse::<Assignment>().is_err(), "{text}");
        }
    }
}
