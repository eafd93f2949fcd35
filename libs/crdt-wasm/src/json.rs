//! Entities as one text of JSON, which JavaScript reads faster than anything that crosses in pieces.
//!
//! What JSON does not have is a text that begins with U+0000 and a letter: `i` a whole number out of reach
//! of JavaScript's, `f` no number, or an endless one, `b` bytes in hexadecimal, `u` a payload of an unknown type in
//! hexadecimal; `s` a text that begins with U+0000 itself. The first character of the whole says whether there is
//! one: a line feed if so, otherwise a blank.

use std::fmt::Write;

use selvedge_crdt::{EntityRef, Field, Kind, Value};

use crate::value::is_safe;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    /// A number as text.
    #[wasm_bindgen(js_name = String)]
    fn text_of(value: f64) -> String;
}

/// A text of JSON that is being written.
#[derive(Default)]
pub struct Json {
    out: String,
    special: bool,
}

impl Json {
    /// The whole of one entity, or of many by their ids.
    pub fn finish(self) -> String {
        let first = if self.special { '\n' } else { ' ' };
        format!("{first}{}", self.out)
    }

    /// Writes an object of entities by their ids.
    pub fn entities<'a>(&mut self, entities: impl Iterator<Item = EntityRef<'a>>) {
        self.list(('{', '}'), entities, |json, entity| {
            json.text(entity.id());
            json.out.push(':');
            json.entity(entity);
        });
    }

    /// Writes a list in which each entity follows its id: unlike an object's, its order is that of the ids, whatever these are.
    pub fn list_of_entities<'a>(&mut self, entities: impl Iterator<Item = EntityRef<'a>>) {
        self.list(('[', ']'), entities, |json, entity| {
            json.text(entity.id());
            json.out.push(',');
            json.entity(entity);
        });
    }

    /// Writes an object of an entity's fields. Where two kinds have a name, the first kind has it; text, and kinds that
    /// are not known, are left out.
    pub fn entity(&mut self, entity: EntityRef<'_>) {
        let known = entity.fields().into_iter().filter(|field| field.kind() < Kind::TEXT);
        let first = |field: &&Field| {
            let mut before = (Kind::LWW.0..field.kind().0).map(Kind);
            !before.any(|kind| entity.blame(field.name(), kind).is_some())
        };
        self.list(('{', '}'), known.filter(first), |json, field| {
            json.text(field.name());
            json.out.push(':');
            json.field(entity, field);
        });
    }

    fn field(&mut self, entity: EntityRef<'_>, field: &Field) {
        let name = field.name();
        match field.kind() {
            Kind::COUNTER => self.value(&Value::Int(entity.count(name))),
            kind @ (Kind::GROW_SET | Kind::OR_SET | Kind::MULTI) => {
                let values = entity.values(name, kind).into_iter();
                self.list(('[', ']'), values, |json, value| json.value(&value));
            }
            kind => {
                let read = entity.blame(name, kind);
                self.value(&read.map_or(Value::Null, |written| written.value));
            }
        }
    }

    fn list<T>(
        &mut self,
        (open, close): (char, char),
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.out.push(open);
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        self.out.push(close);
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) if is_safe(*value) => self.push(value),
            Value::Int(value) => self.special('i', &value.to_string()),
            Value::Float(value) if value.is_nan() => self.special('f', "NaN"),
            Value::Float(f64::INFINITY) => self.special('f', "inf"),
            Value::Float(f64::NEG_INFINITY) => self.special('f', "-inf"),
            Value::Float(value) => self.out.push_str(&digits(*value)),
            Value::Text(text) if text.starts_with('\0') => self.special('s', text),
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => self.special('b', &hex(bytes)),
            Value::Other(payload) => self.special('u', &hex(payload)),
        }
    }

    fn push(&mut self, value: &i64) {
        write!(self.out, "{value}").expect("a string takes everything");
    }

    fn special(&mut self, letter: char, text: &str) {
        self.special = true;
        self.text(&format!("\0{letter}{text}"));
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte < b' ' || byte == b'"' || byte == b'\\' {
                self.out.push_str(&text[plain..at]);
                write!(self.out, "\\u{byte:04x}").expect("a string takes everything");
                plain = at + 1;
            }
        }
        self.out.push_str(&text[plain..]);
        self.out.push('"');
    }
}

/// A number as JavaScript writes it, which has the code for that, but not the sign of zero.
#[cfg(target_arch = "wasm32")]
fn digits(value: f64) -> String {
    let digits = text_of(value);
    if value == 0.0 && value.is_sign_negative() { format!("-{digits}") } else { digits }
}

#[cfg(not(target_arch = "wasm32"))]
fn digits(value: f64) -> String {
    format!("{value:?}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

#[cfg(test)]
mod tests {
    use selvedge_crdt::{Document, ReplicaId, Writer};

    use super::*;

    #[track_caller]
    fn check(value: Value<'_>, expected: &str) {
        let mut json = Json::default();
        json.value(&value);
        assert_eq!(json.finish(), expected);
    }

    #[test]
    fn values() {
        check(Value::Null, " null");
        check((-7).into(), " -7");
        check(i64::MAX.into(), "\n\"\\u0000i9223372036854775807\"");
        check(0.5.into(), " 0.5");
        check((-0.0).into(), " -0.0");
        check(1e300.into(), " 1e300");
        check(f64::NAN.into(), "\n\"\\u0000fNaN\"");
        check(f64::NEG_INFINITY.into(), "\n\"\\u0000f-inf\"");
        check("a\"\\\n\u{7f}é\u{2028}".into(), " \"a\\u0022\\u005c\\u000a\u{7f}é\u{2028}\"");
        check("\0i1".into(), "\n\"\\u0000s\\u0000i1\"");
        check(Value::from(&[0, 255][..]), "\n\"\\u0000b00ff\"");
        check(Value::decode(&[77, 1]), "\n\"\\u0000u4d01\"");
    }

    #[test]
    fn entities() {
        let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
        let mut edit = writer.edit(&mut document, 1);
        edit.set("note/1", "title", "Milk".into()).unwrap();
        edit.add("note/1", "tags", 2.into()).unwrap();
        edit.add("note/1", "tags", "a".into()).unwrap();
        edit.add("note/1", "title", "another cell of this name".into()).unwrap();
        edit.increment("note/1", "votes", 3).unwrap();
        edit.raise("note/1", "high", 9.into()).unwrap();
        edit.push_text("note/1", "body", &[0, 0]).unwrap();
        edit.create("settings").unwrap();
        let mut json = Json::default();
        json.entities(document.entities());
        assert_eq!(
            json.finish(),
            r#" {"note/1":{"title":"Milk","tags":[2,"a"],"high":9,"votes":3},"settings":{}}"#
        );
        let mut json = Json::default();
        json.list_of_entities(document.entities());
        assert_eq!(
            json.finish(),
            r#" ["note/1",{"title":"Milk","tags":[2,"a"],"high":9,"votes":3},"settings",{}]"#
        );
    }
}
