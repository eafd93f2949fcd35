//! What goes wrong, as an exception of JavaScript.

use std::fmt::Display;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// An exception of this kind.
    #[wasm_bindgen(js_name = engineError)]
    fn error(kind: &str, message: &str) -> JsValue;
}

/// An argument that cannot be right.
pub fn invalid(what: impl Display) -> JsValue {
    error("invalid", &what.to_string())
}

/// What was stored cannot be read.
pub fn damaged(what: impl Display) -> JsValue {
    error("damaged", &what.to_string())
}

/// What this device may not do.
pub fn denied(what: impl Display) -> JsValue {
    error("denied", &what.to_string())
}

/// Bytes of a known length.
pub fn array<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], JsValue> {
    bytes.try_into().map_err(|_| invalid(format_args!("{what} has {N} bytes")))
}
