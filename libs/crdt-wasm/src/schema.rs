//! What an application expects of its documents.

use selvedge_crdt::{EntityType, FieldRule, Kind, OnDelete, ValueType};
use wasm_bindgen::prelude::*;

use crate::{batch::Batch, error};

/// The types of values, as bits: the first is the lowest.
const TYPES: [ValueType; 6] = [
    ValueType::Null,
    ValueType::Bool,
    ValueType::Int,
    ValueType::Float,
    ValueType::Text,
    ValueType::Bytes,
];

/// The types of a document's entities, as far as they were said.
#[wasm_bindgen]
#[derive(Default)]
pub struct Schema {
    /// Each type with its name; fields are added to the last.
    types: Vec<(String, EntityType)>,
}

#[wasm_bindgen]
impl Schema {
    /// No type.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Schema {
        Schema::default()
    }

    /// Adds a type of entities.
    pub fn entity(&mut self, name: &str, deletion_wins: bool) {
        let on_delete = if deletion_wins { OnDelete::DeletionWins } else { OnDelete::EditsRevive };
        self.types.push((name.to_owned(), EntityType::new(on_delete)));
    }

    /// Adds a field to the type that was added last.
    pub fn field(&mut self, name: &str, kind: u8, types: u8) {
        let taken = (0..TYPES.len()).filter(|at| types & (1 << at) != 0).map(|at| TYPES[at]);
        let rule = FieldRule::new(Kind(kind), &taken.collect::<Vec<_>>());
        if let Some((entity, of)) = self.types.pop() {
            self.types.push((entity, of.field(name, rule)));
        }
    }

    /// Checks what somebody wrote.
    pub fn check(&self, batch: &Batch) -> Result<(), JsValue> {
        self.whole().check(&batch.batch).map_err(error::mismatch)
    }

    /// What keeps this schema from following an older one.
    pub fn breaks(&self, older: &Schema) -> Vec<String> {
        self.whole().breaks(&older.whole()).iter().map(ToString::to_string).collect()
    }
}

impl Schema {
    /// The schema that these types make.
    pub fn whole(&self) -> selvedge_crdt::Schema {
        let types = self.types.iter();
        types.fold(selvedge_crdt::Schema::default(), |schema, (name, of)| {
            schema.entity(name, of.clone())
        })
    }
}
