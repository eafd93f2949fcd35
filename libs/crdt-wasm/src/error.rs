//! What goes wrong, as an exception of JavaScript.

use std::fmt::Display;

use selvedge_crdt::{EditError, Malformed, Mismatch, ReplicaId};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// An exception of this kind.
    #[wasm_bindgen(js_name = crdtError)]
    fn error(kind: &str, message: &str) -> JsValue;
}

/// An argument that cannot be right.
pub fn invalid(what: impl Display) -> JsValue {
    error("invalid", &what.to_string())
}

/// A value or a name that a document does not take.
pub fn edit(error: EditError) -> JsValue {
    invalid(error)
}

/// Bytes that are no batch, or no snapshot.
pub fn malformed(what: Malformed) -> JsValue {
    error("malformed", &what.to_string())
}

/// What a schema does not allow.
pub fn mismatch(what: Mismatch) -> JsValue {
    error("schema", &what.to_string())
}

/// What is not done while a change is open, or while none is.
pub fn state(what: &str) -> JsValue {
    error("state", what)
}

/// An id from its 16 bytes.
pub fn replica_id(bytes: &[u8]) -> Result<ReplicaId, JsValue> {
    let id = bytes.try_into().map_err(|_| invalid("a replica's id has 16 bytes"))?;
    Ok(ReplicaId(id))
}
