//! Reading.

use std::borrow::Cow;

use js_sys::{Array, Uint8Array, Uint32Array};
use selvedge_crdt::{Dot, EntityRef, Field, Kind, ReplicaId, Value, Written};
use selvedge_crdt_wasm::json::Json;
use wasm_bindgen::prelude::*;

use crate::session::Session;

#[wasm_bindgen]
impl Session {
    /// All of a document, in few pieces, as each that crosses has its price: its entities as text of JSON, a list of ids with their
    /// fields; names of fields, and of replicas; numbers; and the updates of all texts, one behind the other.
    ///
    /// The numbers say of each text: which entity it is of, which field, how many updates; and of each of these: which replica wrote it,
    /// its sequence as two numbers of 32 bits, the upper first, and how many bytes it has.
    pub fn whole(&self, id: &str) -> Result<Vec<JsValue>, JsValue> {
        let (mut json, mut texts) = (Json::default(), Texts::default());
        json.list_of_entities(self.read(id)?.entities().enumerate().map(|(at, entity)| {
            texts.put(at as u32, entity);
            entity
        }));
        Ok(texts.finish(json.finish()))
    }

    /// An entity as text of JSON; nothing if it is not there.
    pub fn object(&self, id: &str, entity: &str) -> Result<Option<String>, JsValue> {
        Ok(self.read(id)?.entity(entity).map(|entity| {
            let mut json = Json::default();
            json.entity(entity);
            json.finish()
        }))
    }

    /// When an entity was written to last, in milliseconds since 1970, and by which replica; nothing if it is not there.
    #[wasm_bindgen(js_name = lastStamp)]
    pub fn last_stamp(&self, id: &str, entity: &str) -> Result<Vec<JsValue>, JsValue> {
        let Some(entity) = self.read(id)?.entity(entity) else { return Ok(Vec::new()) };
        let entries = entity
            .fields()
            .into_iter()
            .flat_map(|field| entity.entries(field.name(), field.kind()));
        let last = entries.map(|written| written.stamp).max();
        Ok(last.map_or_else(Vec::new, |stamp| {
            vec![JsValue::from_f64(stamp.hlc.ms() as f64), stamp.dot.replica.to_string().into()]
        }))
    }

    /// The texts of an entity, each as: field, names of its updates, its updates.
    pub fn texts(&self, id: &str, entity: &str) -> Result<Vec<JsValue>, JsValue> {
        let entity = self.read(id)?.entity(entity);
        Ok(entity.into_iter().flat_map(texts).flatten().collect())
    }
}

/// The texts of many entities, in one piece.
#[derive(Default)]
struct Texts<'a> {
    /// A name is there as often as it comes behind another one: most are like the one before.
    fields: Vec<&'a str>,
    replicas: Vec<ReplicaId>,
    numbers: Vec<u32>,
    updates: Vec<u8>,
}

impl<'a> Texts<'a> {
    fn put(&mut self, at: u32, entity: EntityRef<'a>) {
        for field in text_fields(entity) {
            let updates = updates(entity, field);
            let field = place(&mut self.fields, field);
            self.numbers.extend([at, field, updates.len() as u32]);
            updates.iter().for_each(|(dot, update)| self.update(*dot, update));
        }
    }

    fn update(&mut self, Dot { replica, seq }: Dot, update: &[u8]) {
        let replica = place(&mut self.replicas, replica);
        self.numbers.extend([replica, (seq >> 32) as u32, seq as u32, update.len() as u32]);
        self.updates.extend_from_slice(update);
    }

    fn finish(&self, json: String) -> Vec<JsValue> {
        let fields = self.fields.iter().map(|field| JsValue::from_str(field));
        let replicas = self.replicas.iter().map(|replica| JsValue::from(replica.to_string()));
        vec![
            json.into(),
            fields.collect::<Array>().into(),
            replicas.collect::<Array>().into(),
            Uint32Array::from(&*self.numbers).into(),
            Uint8Array::from(&*self.updates).into(),
        ]
    }
}

/// The place of a name in a list of names, in which it is the last one.
fn place<T: PartialEq>(names: &mut Vec<T>, name: T) -> u32 {
    if names.last() != Some(&name) {
        names.push(name);
    }
    names.len() as u32 - 1
}

fn text_fields<'a>(entity: EntityRef<'a>) -> impl Iterator<Item = &'a str> {
    let fields = entity.fields().into_iter().filter(|field| field.kind() == Kind::TEXT);
    fields.map(Field::name)
}

fn texts(entity: EntityRef<'_>) -> Vec<[JsValue; 3]> {
    text_fields(entity).map(|field| text(entity, field)).collect()
}

fn text(entity: EntityRef<'_>, field: &str) -> [JsValue; 3] {
    let (names, updates): (Array, Array) = updates(entity, field)
        .iter()
        .map(|(Dot { replica, seq }, update)| {
            (JsValue::from(format!("{replica}:{seq}")), Uint8Array::from(&**update))
        })
        .unzip();
    [JsValue::from_str(field), names.into(), updates.into()]
}

/// The updates that a text is made of, and what they are called. Who may write may also write what is none.
fn updates<'a>(entity: EntityRef<'a>, field: &str) -> Vec<(Dot, Cow<'a, [u8]>)> {
    let written = entity.text_updates(field).into_iter();
    let updates = written.filter_map(|Written { value, stamp }| match value {
        Value::Bytes(update) => Some((stamp.dot, update)),
        _ => None,
    });
    updates.collect()
}
