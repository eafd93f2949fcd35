//! How a document stands, and what is in it besides what is read.

use std::{cmp::Reverse, collections::BinaryHeap};

use selvedge_crdt::{Document, EntityRef, Field, Hlc, Kind, Value, Written, session::Sealing};
use selvedge_crdt_wasm::rows;
use wasm_bindgen::prelude::*;

use crate::session::Session;

/// Conflicts that are listed, at most.
const CONFLICTS_MAX: usize = 100;

#[wasm_bindgen]
impl Session {
    /// How many operations the relay has not acknowledged.
    pub fn unacknowledged(&self, id: &str) -> Result<f64, JsValue> {
        Ok(self.replica(id)?.unacknowledged() as f64)
    }

    /// The id under which this device writes.
    #[wasm_bindgen(js_name = replicaOf)]
    pub fn replica_of(&self, id: &str) -> Result<String, JsValue> {
        Ok(self.replica(id)?.id().to_string())
    }

    /// How many entities there are.
    pub fn size(&self, id: &str) -> Result<f64, JsValue> {
        Ok(self.read(id)?.entities().count() as f64)
    }

    /// The epoch under whose key is written; 0 if nothing is sealed.
    pub fn epoch(&self, id: &str) -> Result<u32, JsValue> {
        let sealing: Sealing = self.vault.sealing(self.replica(id)?.name());
        Ok(sealing.epoch())
    }

    /// Where it is in the relay's log, as: log, next offset; nothing if it was never opened.
    pub fn position(&self, id: &str) -> Result<Vec<JsValue>, JsValue> {
        let position = self.replica(id)?.position();
        Ok(position.map_or_else(Vec::new, |position| {
            let log = data_encoding::HEXLOWER.encode(&position.log.0);
            vec![log.into(), JsValue::from_f64(position.next as f64)]
        }))
    }

    /// The replicas of which something is known, each as: id, milliseconds of its last operation.
    pub fn replicas(&self, id: &str) -> Result<Vec<JsValue>, JsValue> {
        let replicas = self.read(id)?.replicas();
        Ok(replicas
            .flat_map(|(replica, latest)| {
                [replica.to_string().into(), JsValue::from_f64(latest.ms() as f64)]
            })
            .collect())
    }

    /// The newest operations that still count, each as: entity, field, kind, bytes, then what `rows::written` writes; bytes are counted
    /// instead of given. There are at most `limit`, and those of the same time as the last.
    pub fn operations(&self, id: &str, limit: usize) -> Result<Vec<JsValue>, JsValue> {
        let document = self.read(id)?;
        let mut newest = BinaryHeap::new();
        each(document, &mut |_, _, written| {
            newest.push(Reverse(written.stamp.hlc));
            if newest.len() > limit.max(1) {
                newest.pop();
            }
        });
        let since = newest.peek().map_or(Hlc::ZERO, |oldest| oldest.0);
        let mut found = Vec::new();
        each(document, &mut |entity, field, written| {
            if written.stamp.hlc >= since {
                found.extend([entity.id().to_string().into(), field.name().into()]);
                found.extend(counted(field.kind(), written));
            }
        });
        Ok(found)
    }

    /// What this device wrote and the relay has not acknowledged, the oldest first, as `rows::ops` writes it: at most `limit`.
    pub fn waiting(&self, id: &str, limit: usize) -> Result<Vec<JsValue>, JsValue> {
        Ok(rows::ops(self.replica(id)?.waiting().take(limit)))
    }

    /// Fields with values that were written at the same time, each as: entity, field, kind, then for each value what
    /// `rows::written` writes, first what the field reads as.
    pub fn conflicts(&self, id: &str) -> Result<Vec<JsValue>, JsValue> {
        let mut found = Vec::new();
        for entity in self.read(id)?.entities() {
            for field in entity.fields() {
                if !matches!(field.kind(), Kind::LWW | Kind::MULTI) {
                    continue;
                }
                let entries = entity.entries(field.name(), field.kind());
                if entries.len() < 2 {
                    continue;
                }
                let values: js_sys::Array = rows::written(entries).into_iter().collect();
                let (entity, field, kind) = (entity.id().to_string(), field.name(), field.kind().0);
                found.extend([entity.into(), field.into(), kind.into(), values.into()]);
                if found.len() >= 4 * CONFLICTS_MAX {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

/// Visits all entries of a document.
fn each<'a>(document: &'a Document, visit: &mut dyn FnMut(EntityRef<'a>, &'a Field, Written<'a>)) {
    for entity in document.entities() {
        for field in entity.fields() {
            for written in entity.entries(field.name(), field.kind()) {
                visit(entity, field, written);
            }
        }
    }
}

/// The kind, how many bytes there are, and the entry without them.
fn counted(kind: Kind, written: Written<'_>) -> Vec<JsValue> {
    let (bytes, value) = match written.value {
        Value::Bytes(bytes) => (JsValue::from_f64(bytes.len() as f64), Value::Null),
        value => (JsValue::UNDEFINED, value),
    };
    let mut row = vec![kind.0.into(), bytes];
    row.extend(rows::written([Written { value, ..written }]));
    row
}
