//! What was received of each replica.

use selvedge_crdt::{Admission, BatchHash, Head, Header};
use wasm_bindgen::prelude::*;

use crate::{batch::hash, error};

/// The chains of a document's replicas.
#[wasm_bindgen]
#[derive(Default)]
pub struct Heads(selvedge_crdt::Heads);

#[wasm_bindgen]
impl Heads {
    /// None is known.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Heads {
        Heads::default()
    }

    /// Judges a batch, and takes it if it is the next.
    pub fn admit(&mut self, pushed: &[u8]) -> Result<String, JsValue> {
        let (header, _) = Header::read(pushed).map_err(error::malformed)?;
        let admission = match self.0.admit(&header, BatchHash::of(pushed)) {
            Admission::Next => "next",
            Admission::Duplicate => "duplicate",
            Admission::Past => "past",
            Admission::Gap(_) => "gap",
            Admission::Forked => "forked",
        };
        Ok(admission.to_owned())
    }

    /// Takes over a head that was kept.
    pub fn set(&mut self, replica: &[u8], seq: u64, last: &[u8]) -> Result<(), JsValue> {
        self.0.set(error::replica_id(replica)?, Head { seq, hash: hash(last)? });
        Ok(())
    }

    /// Forgets a replica that retired.
    pub fn remove(&mut self, replica: &[u8]) -> Result<(), JsValue> {
        self.0.remove(error::replica_id(replica)?);
        Ok(())
    }

    /// All heads, each as: replica, sequence, hash.
    pub fn entries(&self) -> Vec<JsValue> {
        let entry = |(replica, head): (selvedge_crdt::ReplicaId, Head)| {
            let hash = js_sys::Uint8Array::from(&head.hash.0[..]);
            let seq = JsValue::from_f64(head.seq as f64);
            [JsValue::from_str(&replica.to_string()), seq, hash.into()]
        };
        self.0.iter().flat_map(entry).collect()
    }
}
