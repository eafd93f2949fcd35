//! Lists of things with several parts: flat, as one array is cheaper than many objects.

use js_sys::BigInt;
use selvedge_crdt::{Change, Hlc, Op, Stamp, Value, Written};
use wasm_bindgen::prelude::*;

use crate::value::to_js;

/// Each entry as: value, then its stamp.
pub fn written<'a>(entries: impl IntoIterator<Item = Written<'a>>) -> Vec<JsValue> {
    let row = |entry: Written<'_>| [vec![to_js(&entry.value)], stamp(entry.stamp)].concat();
    entries.into_iter().flat_map(row).collect()
}

/// A stamp as: the whole clock, its milliseconds, the replica, the sequence.
pub fn stamp(stamp: Stamp) -> Vec<JsValue> {
    let Stamp { hlc, dot } = stamp;
    let replica = JsValue::from_str(&dot.replica.to_string());
    vec![clock(hlc), JsValue::from_f64(hlc.ms() as f64), replica, JsValue::from_f64(dot.seq as f64)]
}

/// All 64 bits of a clock.
pub fn clock(hlc: Hlc) -> JsValue {
    BigInt::from(hlc.0).into()
}

/// Each operation as: its stamp, entity, what it does, field, kind, value; what it has none of is undefined.
pub fn ops<'a>(ops: impl IntoIterator<Item = Op<'a>>) -> Vec<JsValue> {
    ops.into_iter().flat_map(|op| [stamp(op.stamp()), rest(&op)].concat()).collect()
}

fn rest(op: &Op<'_>) -> Vec<JsValue> {
    let field = op.field();
    let name = field.map_or(JsValue::UNDEFINED, |field| JsValue::from_str(field.name()));
    let kind = field.map_or(JsValue::UNDEFINED, |field| JsValue::from_f64(field.kind().0.into()));
    let (does, value) = match op.change {
        Change::Put { payload, .. } => ("put", to_js(&Value::decode(payload))),
        Change::Cover { .. } => ("cover", JsValue::UNDEFINED),
        Change::Delete { .. } => ("delete", JsValue::UNDEFINED),
    };
    vec![JsValue::from_str(op.entity), JsValue::from_str(does), name, kind, value]
}
