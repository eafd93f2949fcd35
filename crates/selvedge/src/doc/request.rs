//! What can be asked of a document, and what comes of it: the same for who has it and for who asks that process.

use selvedge_crdt::{Document, EntityRef, Field, session::DocumentId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{as_json, assignment::Assignment, desk::Work};
use crate::exit::{Exit, Failure};

/// Something to be done with one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Request {
    /// What is in it.
    Get { entity: Option<String>, field: Option<String>, blame: bool },
    /// Changes of an entity's fields.
    Set { entity: String, changes: Vec<String> },
    /// An entity goes.
    Delete { entity: String },
    /// All of it, as hexadecimal digits.
    Snapshot,
    /// Nothing but to be in step with the relay.
    Sync,
}

impl Request {
    /// Whether it changes something.
    pub(super) fn writes(&self) -> bool {
        matches!(self, Request::Set { .. } | Request::Delete { .. })
    }

    /// Whether it is about the relay: its answer is a [`Standing`](super::standing::Standing).
    pub(super) fn moves(&self) -> bool {
        self.writes() || *self == Request::Sync
    }

    /// Does it with a document that is here.
    pub(super) fn perform(&self, work: &mut Work, document: &DocumentId) -> Result<Json, Failure> {
        match self {
            Request::Get { entity, field, blame } => {
                get(work.document(document)?, (entity.as_deref(), field.as_deref()), *blame)
            }
            Request::Set { entity, changes } => {
                set(work, document, entity, changes)?;
                Ok(json!(work.standing(document)))
            }
            Request::Delete { entity } => {
                found(work.document(document)?, entity)?;
                let deleted = work.edit(document, |edit| edit.delete(entity))?;
                deleted.map_err(|error| Failure::new(Exit::Usage, format!("{entity}: {error}")))?;
                Ok(json!(work.standing(document)))
            }
            Request::Snapshot => {
                Ok(json!(data_encoding::HEXLOWER.encode(&work.document(document)?.snapshot())))
            }
            Request::Sync => Ok(json!(work.take_standing(document))),
        }
    }
}

/// All changes at once, or none.
fn set(
    work: &mut Work,
    document: &DocumentId,
    entity: &str,
    changes: &[String],
) -> Result<(), Failure> {
    let parsed: Result<Vec<Assignment>, String> = changes.iter().map(|text| text.parse()).collect();
    let parsed = parsed.map_err(|why| Failure::new(Exit::Usage, why))?;
    let written = work
        .edit(document, |edit| parsed.iter().try_for_each(|change| change.write(edit, entity)))?;
    written.map_err(|error| Failure::new(Exit::Usage, format!("{entity}: {error}")))
}

fn get(
    document: &Document,
    (entity, field): (Option<&str>, Option<&str>),
    blame: bool,
) -> Result<Json, Failure> {
    let Some(id) = entity else {
        let entities = document.entities();
        let shown = entities.map(|it| (it.id().to_string(), shown(document, it, blame)));
        return Ok(Json::Object(shown.collect()));
    };
    let mut all = shown(document, found(document, id)?, blame);
    match field {
        None => Ok(all),
        Some(name) => {
            let fields = all.as_object_mut();
            let value = fields.and_then(|fields| fields.remove(name));
            value.ok_or_else(|| missing(&format!("field {name} in {id}")))
        }
    }
}

fn found<'a>(document: &'a Document, id: &str) -> Result<EntityRef<'a>, Failure> {
    document.entity(id).ok_or_else(|| missing(&format!("entity {id}")))
}

fn missing(what: &str) -> Failure {
    Failure::new(Exit::Failure, format!("there is no {what}"))
}

fn shown(document: &Document, entity: EntityRef<'_>, blame: bool) -> Json {
    if !blame {
        return as_json::entity(document, entity);
    }
    let mut fields = Map::new();
    for field in entity.fields() {
        fields.insert(as_json::name(&fields, field), blamed(document, entity, field));
    }
    Json::Object(fields)
}

/// What a field reads as, who wrote that, and what was written at the same time.
fn blamed(document: &Document, entity: EntityRef<'_>, field: &Field) -> Json {
    let by = entity.blame(field.name(), field.kind());
    let when = by.as_ref().map(|written| written.stamp.hlc.ms());
    let who = by.as_ref().map(|written| written.stamp.dot.replica.to_string());
    let mut all = json!({
        "value": as_json::field(document, entity, field),
        "kind": field.kind().to_string(),
        "by": who,
        "at": when,
    });
    let lost = entity.conflicts(field.name());
    if field.kind() == selvedge_crdt::Kind::LWW && !lost.is_empty() {
        all["conflicts"] = lost.iter().map(|written| as_json::value(&written.value)).collect();
    }
    all
}

/// Hexadecimal digits as bytes.
pub(super) fn bytes(hex: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::new(Exit::Bug, format!("a snapshot that is none: {error}"));
    data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(wrong)
}
