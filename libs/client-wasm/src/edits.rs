//! Writing: several edits as one change.

use js_sys::{Array, BigInt, Uint8Array};
use selvedge_crdt::{Edit, EditError, Field, Kind, Value};
use selvedge_crdt_wasm::value;
use wasm_bindgen::prelude::*;

use crate::{document::document, error, session::Session};

/// Parts of an edit: what is done, entity, field, kind, whether a number is a float, value.
const PARTS: usize = 6;

#[wasm_bindgen]
impl Session {
    /// Makes a change of edits, each of six parts: `write`, `remove`, `squash`, `unset`, `create`, `delete` or `erase`; entity; field; kind; whether
    /// numbers are floats; value. An edit that the document does not take is left out; returns what was wrong with the last such.
    pub fn edit(
        &mut self,
        id: &str,
        now_ms: f64,
        edits: &Array,
    ) -> Result<Option<String>, JsValue> {
        let steps = read(edits)?;
        let written = self.client.edit(&document(id)?, now_ms as u64, |edit| {
            let refused = steps.iter().filter_map(|step| step.perform(edit).err());
            refused.last()
        });
        let unknown = || error::invalid(format_args!("there is no document {id} here"));
        Ok(written.ok_or_else(unknown)?.map(|error| error.to_string()))
    }
}

/// An edit as it was read.
struct Step {
    verb: Verb,
    entity: String,
    field: Option<Field>,
    value: Given,
}

#[derive(Clone, Copy)]
enum Verb {
    Write,
    Remove,
    Squash,
    Unset,
    Create,
    Delete,
    Erase,
}

/// A value with the memory that it needs.
enum Given {
    Plain(Value<'static>),
    Text(String),
    Bytes(Vec<u8>),
}

impl Given {
    fn value(&self) -> Value<'_> {
        match self {
            Given::Plain(value) => value.clone(),
            Given::Text(text) => text.as_str().into(),
            Given::Bytes(bytes) => Value::from(&bytes[..]),
        }
    }
}

fn read(edits: &Array) -> Result<Vec<Step>, JsValue> {
    let steps = edits.length() as usize / PARTS;
    (0..steps).map(|at| step(|part| edits.get((at * PARTS + part) as u32))).collect()
}

fn step(part: impl Fn(usize) -> JsValue) -> Result<Step, JsValue> {
    let text = |at: usize| part(at).as_string().unwrap_or_default();
    let kind = part(3).as_f64().map(|kind| Kind(kind as u8));
    let field = kind.map(|kind| {
        let field = Field::new(&text(2), kind);
        field.ok_or_else(|| error::invalid("a field's name has 1 to 128 bytes"))
    });
    let is_float = part(4).is_truthy();
    Ok(Step {
        verb: verb(&text(0))?,
        entity: text(1),
        field: field.transpose()?,
        value: given(&part(5), is_float)?,
    })
}

fn verb(name: &str) -> Result<Verb, JsValue> {
    match name {
        "write" => Ok(Verb::Write),
        "remove" => Ok(Verb::Remove),
        "squash" => Ok(Verb::Squash),
        "unset" => Ok(Verb::Unset),
        "create" => Ok(Verb::Create),
        "delete" => Ok(Verb::Delete),
        "erase" => Ok(Verb::Erase),
        _ => Err(error::invalid(format_args!("no edit is called {name}"))),
    }
}

fn given(value: &JsValue, is_float: bool) -> Result<Given, JsValue> {
    if let Some(text) = value.as_string() {
        return Ok(Given::Text(text));
    }
    if let Some(number) = value.as_f64() {
        let number = if is_float { Value::Float(number) } else { value::number(number) };
        return Ok(Given::Plain(number));
    }
    if let Some(bool) = value.as_bool() {
        return Ok(Given::Plain(Value::Bool(bool)));
    }
    if value.is_null() || value.is_undefined() {
        return Ok(Given::Plain(Value::Null));
    }
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Ok(Given::Bytes(bytes.to_vec()));
    }
    let big = value.dyn_ref::<BigInt>().and_then(|big| i64::try_from(big.clone()).ok());
    big.map(|big| Given::Plain(Value::Int(big)))
        .ok_or_else(|| error::invalid("a document holds null, booleans, numbers, text and bytes"))
}

impl Step {
    fn perform(&self, edit: &mut Edit<'_>) -> Result<(), EditError> {
        let entity = &*self.entity;
        match (self.verb, &self.field) {
            (Verb::Create, _) => edit.create(entity),
            (Verb::Delete, _) => edit.delete(entity),
            (Verb::Erase, _) => edit.erase(entity),
            (_, None) => Err(EditError::FieldName),
            (Verb::Write, Some(field)) => edit.write(entity, field, self.value.value()),
            (Verb::Remove, Some(field)) => edit.remove(entity, field.name(), self.value.value()),
            (Verb::Unset, Some(field)) => edit.unset(entity, field.name(), field.kind()),
            (Verb::Squash, Some(field)) => match self.value.value() {
                Value::Bytes(all) => edit.squash_text(entity, field.name(), &all),
                _ => Err(EditError::Kind(field.kind())),
            },
        }
    }
}
