//! Reading.

use js_sys::{Array, Uint8Array};
use selvedge_crdt::{EntityRef, Kind, Value, Written};
use selvedge_crdt_wasm::json::Json;
use wasm_bindgen::prelude::*;

use crate::session::Session;

#[wasm_bindgen]
impl Session {
    /// All entities of a document, as text of JSON.
    pub fn objects(&self, id: &str) -> Result<String, JsValue> {
        let mut json = Json::default();
        json.entities(self.read(id)?.entities_with(""));
        Ok(json.finish())
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

    /// All texts of a document, each as: entity, field, names of its updates, its updates.
    #[wasm_bindgen(js_name = allTexts)]
    pub fn all_texts(&self, id: &str) -> Result<Vec<JsValue>, JsValue> {
        let mut rows = Vec::new();
        for entity in self.read(id)?.entities_with("") {
            for text in texts(entity) {
                rows.push(entity.id().to_string().into());
                rows.extend(text);
            }
        }
        Ok(rows)
    }
}

fn texts(entity: EntityRef<'_>) -> Vec<[JsValue; 3]> {
    let fields = entity.fields().into_iter().filter(|field| field.kind() == Kind::TEXT);
    fields.map(|field| text(entity, field.name())).collect()
}

fn text(entity: EntityRef<'_>, field: &str) -> [JsValue; 3] {
    let (names, updates) = (Array::new(), Array::new());
    for Written { value, stamp } in &entity.text_updates(field) {
        if let Value::Bytes(update) = value {
            names.push(&format!("{}:{}", stamp.dot.replica, stamp.dot.seq).into());
            updates.push(&Uint8Array::from(&**update));
        }
    }
    [JsValue::from_str(field), names.into(), updates.into()]
}
