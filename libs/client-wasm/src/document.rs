//! How documents and devices are called in JavaScript.

use data_encoding::HEXLOWER_PERMISSIVE;
use selvedge_crdt::session::{DeviceId, DocumentId};
use wasm_bindgen::prelude::*;

use crate::error;

/// A document from `tenant/name`.
pub fn document(text: &str) -> Result<DocumentId, JsValue> {
    let parts = text.split_once('/');
    let named = parts.and_then(|(tenant, name)| DocumentId::new(tenant, name));
    named.ok_or_else(|| error::invalid("a document is called tenant/name"))
}

/// A device from 64 hexadecimal digits.
pub fn device(text: &str) -> Result<DeviceId, JsValue> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(DeviceId);
    id.ok_or_else(|| error::invalid("a device is called by 64 hexadecimal digits"))
}
