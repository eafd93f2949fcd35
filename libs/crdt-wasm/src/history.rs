//! What was written before.

use selvedge_crdt::{Hlc, Kind};
use wasm_bindgen::prelude::*;

use crate::{batch::Batch, rows};

/// Operations beside a document.
#[wasm_bindgen]
#[derive(Default)]
pub struct History(selvedge_crdt::History);

#[wasm_bindgen]
impl History {
    /// Nothing was recorded.
    #[wasm_bindgen(constructor)]
    pub fn new() -> History {
        History::default()
    }

    /// Takes in a batch.
    pub fn record(&mut self, batch: &Batch) {
        self.0.record(&batch.batch);
    }

    /// How many operations there are.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// All operations on an entity, the oldest first, as [`rows::ops`] writes them.
    #[wasm_bindgen(js_name = ofEntity)]
    pub fn of_entity(&self, entity: &str) -> Vec<JsValue> {
        rows::ops(self.0.of_entity(entity))
    }

    /// The operations on a field, the oldest first.
    #[wasm_bindgen(js_name = ofField)]
    pub fn of_field(&self, entity: &str, field: &str, kind: u8) -> Vec<JsValue> {
        rows::ops(self.0.of_field(entity, field, Kind(kind)))
    }

    /// Forgets operations up to a stamp.
    pub fn trim(&mut self, horizon: u64) {
        self.0.trim(Hlc(horizon));
    }
}
