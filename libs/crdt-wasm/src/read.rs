//! Reading.

use js_sys::Uint8Array;
use selvedge_crdt::{Dot, EntityRef, Kind, Value, Written};
use wasm_bindgen::prelude::*;

use crate::{
    json::Json,
    replica::Replica,
    rows,
    value::{int, to_js},
};

#[wasm_bindgen]
impl Replica {
    /// Returns whether an entity is there.
    pub fn has(&self, entity: &str) -> bool {
        self.document.entity(entity).is_some()
    }

    /// The ids of the entities that begin with `prefix`, in order.
    pub fn ids(&self, prefix: &str) -> Vec<String> {
        self.document.entities_with(prefix).map(|entity| entity.id().to_string()).collect()
    }

    /// How many entities there are whose ids begin with `prefix`.
    pub fn size(&self, prefix: &str) -> u32 {
        u32::try_from(self.document.entities_with(prefix).count()).unwrap_or(u32::MAX)
    }

    /// What a field reads as: the last value, the extreme, the sum, or the newest of many; undefined if it
    /// was never written.
    pub fn get(&self, entity: &str, field: &str, kind: u8) -> JsValue {
        let Some(entity) = self.document.entity(entity) else { return JsValue::UNDEFINED };
        match Kind(kind) {
            Kind::COUNTER => int(entity.count(field)),
            kind => entity
                .blame(field, kind)
                .map_or(JsValue::UNDEFINED, |written| to_js(&written.value)),
        }
    }

    /// The different values of a field, in their order.
    pub fn values(&self, entity: &str, field: &str, kind: u8) -> Vec<JsValue> {
        let values = self.document.entity(entity).map(|it| it.values(field, Kind(kind)));
        values.unwrap_or_default().iter().map(to_js).collect()
    }

    /// Returns whether a set has this text.
    #[wasm_bindgen(js_name = containsText)]
    pub fn contains_text(&self, entity: &str, field: &str, kind: u8, element: &str) -> bool {
        let element = Value::from(element);
        self.document.entity(entity).is_some_and(|it| it.contains(field, Kind(kind), &element))
    }

    /// All entries of a field, the newest first, as [`rows::written`] writes them.
    pub fn entries(&self, entity: &str, field: &str, kind: u8) -> Vec<JsValue> {
        let entries = self.document.entity(entity).map(|it| it.entries(field, Kind(kind)));
        rows::written(entries.unwrap_or_default())
    }

    /// What was written at the same time as the value that won.
    pub fn conflicts(&self, entity: &str, field: &str) -> Vec<JsValue> {
        let conflicts = self.document.entity(entity).map(|it| it.conflicts(field));
        rows::written(conflicts.unwrap_or_default())
    }

    /// What a field reads as, with who wrote that.
    pub fn blame(&self, entity: &str, field: &str, kind: u8) -> Vec<JsValue> {
        rows::written(self.document.entity(entity).and_then(|it| it.blame(field, Kind(kind))))
    }

    /// Who deleted an entity last, as [`rows::stamp`] writes it; nothing if nobody did.
    pub fn deleted(&self, entity: &str) -> Vec<JsValue> {
        self.document.deleted(entity).map(rows::stamp).unwrap_or_default()
    }

    /// The fields of an entity, each as: name, kind.
    pub fn fields(&self, entity: &str) -> Vec<JsValue> {
        let fields = self.document.entity(entity).map(|it| it.fields()).unwrap_or_default();
        let parts = fields.into_iter();
        parts
            .flat_map(|field| {
                [JsValue::from_str(field.name()), JsValue::from_f64(field.kind().0.into())]
            })
            .collect()
    }

    /// The updates of a text, the oldest first.
    #[wasm_bindgen(js_name = textUpdates)]
    pub fn text_updates(&self, entity: &str, field: &str) -> Vec<Uint8Array> {
        self.texts(entity, field, |update, _| Uint8Array::from(update))
    }

    /// The names of a text's updates, in the same order: which there are is known without reading them.
    #[wasm_bindgen(js_name = textNames)]
    pub fn text_names(&self, entity: &str, field: &str) -> Vec<String> {
        self.texts(entity, field, |_, dot| format!("{}:{}", dot.replica, dot.seq))
    }

    /// An entity as text of JSON.
    pub fn object(&self, entity: &str) -> Option<String> {
        let entity: EntityRef<'_> = self.document.entity(entity)?;
        let mut json = Json::default();
        json.entity(entity);
        Some(json.finish())
    }

    /// The entities whose ids begin with `prefix`, as text of JSON.
    pub fn objects(&self, prefix: &str) -> String {
        let mut json = Json::default();
        json.entities(self.document.entities_with(prefix));
        json.finish()
    }
}

impl Replica {
    fn texts<T>(&self, entity: &str, field: &str, make: fn(&[u8], Dot) -> T) -> Vec<T> {
        let updates = self.document.entity(entity).map(|it| it.text_updates(field));
        let make = |written: &Written<'_>| match &written.value {
            Value::Bytes(update) => Some(make(update, written.stamp.dot)),
            _ => None,
        };
        updates.unwrap_or_default().iter().filter_map(make).collect()
    }
}
