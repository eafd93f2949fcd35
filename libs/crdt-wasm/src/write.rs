//! Writing: first to which entity, then values, each as what it is.

use std::cmp::Ordering;

use selvedge_crdt::{Field, Kind, OnDelete, Value};
use wasm_bindgen::prelude::*;

use crate::{error, replica::Replica, value};

/// What is done with a value.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// What the kind of the field makes of it: sets, raises, lowers, adds, counts.
    Write,
    /// It is taken out of a set.
    Remove,
    /// It replaces all of a text that was seen.
    Squash,
}

/// What is done to an entity.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Create,
    /// It is deleted; edits at the same time revive it.
    Delete,
    /// It is deleted; edits at the same time do not revive it.
    Bury,
    /// Everything of it is taken out.
    Erase,
}

#[wasm_bindgen]
impl Replica {
    /// Names the entity that is written to next, and says the time.
    pub fn enter(&mut self, entity: &str, now_ms: f64) {
        self.entity.clear();
        self.entity.push_str(entity);
        self.now_ms = now_ms as u64;
    }

    /// The number of a field, for values that follow. Whoever asks keeps it and does not ask again.
    pub fn field(&mut self, name: &str, kind: u8) -> Result<u32, JsValue> {
        self.fields.push(field(name, kind)?);
        Ok(self.fields.len() as u32 - 1)
    }

    /// Gives a field's number, the last that was given, to another field.
    #[wasm_bindgen(js_name = renameField)]
    pub fn rename_field(&mut self, number: u32, name: &str, kind: u8) -> Result<(), JsValue> {
        *self.fields.get_mut(number as usize).ok_or_else(unknown_field)? = field(name, kind)?;
        Ok(())
    }

    /// The kind that the schema gives a field of the entity, if it knows it.
    #[wasm_bindgen(js_name = kindOf)]
    pub fn kind_of(&self, name: &str) -> Option<u8> {
        let rule = self.schema.as_ref()?.rule(&self.entity, name)?;
        Some(rule.kind().0)
    }

    /// Writes text.
    #[wasm_bindgen(js_name = putText)]
    pub fn put_text(&mut self, verb: Verb, field: u32, text: &str) -> Result<(), JsValue> {
        self.put(verb, field, text.into())
    }

    /// Writes a number, as whole or not, as the schema or what is there says, or else as it is.
    #[wasm_bindgen(js_name = putNumber)]
    pub fn put_number(&mut self, verb: Verb, field: u32, number: f64) -> Result<(), JsValue> {
        let value = self.number(self.field_at(field)?, number);
        self.put(verb, field, value)
    }

    /// Writes a number that is not whole, whatever it looks like.
    #[wasm_bindgen(js_name = putFloat)]
    pub fn put_float(&mut self, verb: Verb, field: u32, number: f64) -> Result<(), JsValue> {
        self.put(verb, field, number.into())
    }

    /// Writes a whole number.
    #[wasm_bindgen(js_name = putInt)]
    pub fn put_int(&mut self, verb: Verb, field: u32, number: i64) -> Result<(), JsValue> {
        self.put(verb, field, number.into())
    }

    /// Writes null, or a boolean.
    #[wasm_bindgen(js_name = putBool)]
    pub fn put_bool(&mut self, verb: Verb, field: u32, value: Option<bool>) -> Result<(), JsValue> {
        self.put(verb, field, value.map_or(Value::Null, Value::Bool))
    }

    /// Writes bytes.
    #[wasm_bindgen(js_name = putBytes)]
    pub fn put_bytes(&mut self, verb: Verb, field: u32, bytes: &[u8]) -> Result<(), JsValue> {
        self.put(verb, field, bytes.into())
    }

    /// Writes a payload of a type that is not known here.
    #[wasm_bindgen(js_name = putOther)]
    pub fn put_other(&mut self, verb: Verb, field: u32, payload: &[u8]) -> Result<(), JsValue> {
        self.put(verb, field, value::other(payload))
    }

    /// Takes everything out of a field that was seen.
    pub fn unset(&mut self, name: &str, kind: u8) -> Result<(), JsValue> {
        self.edit(|edit, entity| edit.unset(entity, name, Kind(kind)))
    }

    /// Makes or deletes the entity.
    pub fn fate(&mut self, fate: Fate) -> Result<(), JsValue> {
        self.check_fate(fate)?;
        self.edit(|edit, entity| match fate {
            Fate::Create => edit.create(entity),
            Fate::Delete => edit.delete(entity),
            Fate::Bury => edit.bury(entity),
            Fate::Erase => edit.erase(entity),
        })
    }
}

impl Replica {
    fn put(&mut self, verb: Verb, field: u32, value: Value<'_>) -> Result<(), JsValue> {
        let field = self.field_at(field)?.clone();
        if let (Some(schema), Verb::Write | Verb::Squash) = (&self.schema, verb) {
            schema.check_value(&self.entity, &field, &value).map_err(error::mismatch)?;
        }
        self.edit(|edit, entity| match (verb, value) {
            (Verb::Write, value) => edit.write(entity, &field, value),
            (Verb::Remove, value) => edit.remove(entity, field.name(), value),
            (Verb::Squash, Value::Bytes(all)) => edit.squash_text(entity, field.name(), &all),
            (Verb::Squash, _) => Err(selvedge_crdt::EditError::Kind(field.kind())),
        })
    }

    fn field_at(&self, number: u32) -> Result<&Field, JsValue> {
        self.fields.get(number as usize).ok_or_else(unknown_field)
    }

    fn number(&self, field: &Field, number: f64) -> Value<'static> {
        let rule = self.schema.as_ref().and_then(|schema| schema.rule(&self.entity, field.name()));
        let plain = value::number(number);
        if let Some(rule) = rule {
            let float = Value::Float(number);
            return if !rule.takes(&plain) && rule.takes(&float) { float } else { plain };
        }
        let there = || self.document.entity(&self.entity)?.blame(field.name(), field.kind());
        let wins: fn(f64, f64) -> bool = match field.kind() {
            Kind::MAX => |a, b| a.total_cmp(&b) == Ordering::Greater,
            Kind::MIN => |a, b| a.total_cmp(&b) == Ordering::Less,
            _ => return plain,
        };
        value::comparable(number, there().map(|written| written.value).as_ref(), wins)
    }

    fn check_fate(&self, fate: Fate) -> Result<(), JsValue> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let checked = match fate {
            Fate::Create => schema.check_value(&self.entity, &Field::life(), &Value::Null),
            Fate::Delete => schema.check_deletion(&self.entity, OnDelete::EditsRevive),
            Fate::Bury => schema.check_deletion(&self.entity, OnDelete::DeletionWins),
            Fate::Erase => Ok(()),
        };
        checked.map_err(error::mismatch)
    }
}

fn field(name: &str, kind: u8) -> Result<Field, JsValue> {
    let field = Field::new(name, Kind(kind));
    field.ok_or_else(|| error::invalid("a field's name has 1 to 128 bytes"))
}

fn unknown_field() -> JsValue {
    error::invalid("a field that was never named")
}
