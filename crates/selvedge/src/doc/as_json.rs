//! Documents as JSON.

use selvedge_crdt::{Document, EntityRef, Field, Kind, Value};
use selvedge_crdt_text::Text;
use serde_json::{Map, Value as Json, json};

/// All fields, by name.
pub(crate) fn entity(document: &Document, entity: EntityRef<'_>) -> Json {
    let mut fields = Map::new();
    for field in entity.fields() {
        fields.insert(name(&fields, field), self::field(document, entity, field));
    }
    Json::Object(fields)
}

/// What a field is called; of those with one name and several kinds, the ones after the first are `kind:name`.
pub(crate) fn name(fields: &Map<String, Json>, field: &Field) -> String {
    match fields.contains_key(field.name()) {
        false => field.name().to_owned(),
        true => format!("{}:{}", field.kind(), field.name()),
    }
}

/// What a field reads as.
pub(crate) fn field(document: &Document, entity: EntityRef<'_>, field: &Field) -> Json {
    let (name, kind) = (field.name(), field.kind());
    let one = |value: Option<Value<'_>>| value.map_or(Json::Null, |it| self::value(&it));
    match kind {
        Kind::LWW => one(entity.get(name)),
        Kind::MAX => one(entity.max(name)),
        Kind::MIN => one(entity.min(name)),
        Kind::COUNTER => json!(entity.count(name)),
        Kind::TEXT => json!(Text::read(document, entity.id(), name).as_str()),
        kind => entity.values(name, kind).iter().map(value).collect(),
    }
}

/// A value; bytes as hexadecimal digits, numbers that JSON does not have as their names.
pub(crate) fn value(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Float(value) => json!(value.to_string()),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) | Value::Other(bytes) => {
            json!({ "bytes": data_encoding::HEXLOWER.encode(bytes) })
        }
    }
}
