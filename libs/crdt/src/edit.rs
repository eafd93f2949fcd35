//! Writing to a document: each method sees what is there, and says what it replaces.

mod emit;
mod undo;

use std::{error::Error, fmt};

pub use undo::Undo;

use crate::{
    Document, Dot, EntityId, Field, Hlc, Kind, Value, Writer,
    document::{EXISTS, TOMB, int},
    op::check_payload,
};

/// A change that is being made. It is in the document as it is written, also if this is dropped.
#[derive(Debug)]
pub struct Edit<'a> {
    writer: &'a mut Writer,
    document: &'a mut Document,
    hlc: Hlc,
    undo: Undo,
}

/// A change that was laid aside, so that others can use its writer and its document meanwhile;
/// [`Writer::resume_edit`] goes on with it.
#[derive(Debug)]
pub struct Paused {
    pub(crate) hlc: Hlc,
    pub(crate) undo: Undo,
}

impl Paused {
    /// What takes back what was written so far, where nothing more is to be.
    pub fn finish(self) -> Undo {
        self.undo
    }
}

/// Why something is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    /// An id of no bytes, or of more than [`ENTITY_BYTES_MAX`](crate::ENTITY_BYTES_MAX).
    EntityId,
    /// A name of no bytes, or of more than [`FIELD_BYTES_MAX`](crate::FIELD_BYTES_MAX).
    FieldName,
    /// A value of more bytes than its kind allows.
    TooLarge,
    /// A counter has no more room for this replica's part.
    Overflow,
    /// This kind of field does not take such a value.
    Kind(Kind),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::EntityId => f.write_str("an id has 1 to 256 bytes"),
            EditError::FieldName => f.write_str("a field's name has 1 to 128 bytes"),
            EditError::TooLarge => f.write_str("the value is too large"),
            EditError::Overflow => f.write_str("the counter would overflow"),
            EditError::Kind(kind) => write!(f, "a field of kind {kind} does not take this"),
        }
    }
}

impl Error for EditError {}

/// A cell as a writer finds it.
struct Target {
    entity: EntityId,
    field: Field,
    /// What is in the cell.
    seen: Vec<u32>,
    /// What is left of an entity that is dead; who writes to it begins afresh.
    dead: Vec<u32>,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(writer: &'a mut Writer, document: &'a mut Document, hlc: Hlc) -> Self {
        Edit::resume(writer, document, (hlc, Undo::default()))
    }

    pub(crate) fn resume(
        writer: &'a mut Writer,
        document: &'a mut Document,
        (hlc, undo): (Hlc, Undo),
    ) -> Self {
        Edit { writer, document, hlc, undo }
    }

    /// The document with all that was written.
    pub fn document(&self) -> &Document {
        self.document
    }

    /// The name that the next operation will have.
    pub fn next_dot(&self) -> Dot {
        Dot { replica: self.writer.replica(), seq: self.writer.next_seq() }
    }

    /// Lays this change aside.
    pub fn pause(self) -> Paused {
        Paused { hlc: self.hlc, undo: self.undo }
    }

    /// What takes this change back.
    pub fn finish(self) -> Undo {
        self.undo
    }

    /// Sets a field in which the last writer wins.
    ///
    /// # Errors
    /// Names or a value out of bounds.
    pub fn set(&mut self, entity: &str, field: &str, value: Value<'_>) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::LWW)?;
        self.put(&target, &payload(&value), &target.seen)
    }

    /// Sets a field that keeps all values written at the same time.
    ///
    /// # Errors
    /// Names or a value out of bounds.
    pub fn assign(&mut self, entity: &str, field: &str, value: Value<'_>) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::MULTI)?;
        self.put(&target, &payload(&value), &target.seen)
    }

    /// Raises a maximum, if the value is greater.
    ///
    /// # Errors
    /// Names or a value out of bounds.
    pub fn raise(&mut self, entity: &str, field: &str, value: Value<'_>) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::MAX)?;
        let known = |at: &u32| Value::decode(self.document.payload(*at)).order(&value).is_ge();
        if target.seen.iter().any(known) {
            return Ok(());
        }
        self.put(&target, &payload(&value), &target.seen)
    }

    /// Lowers a minimum, if the value is less. Of different types the greatest type counts.
    ///
    /// # Errors
    /// Names or a value out of bounds.
    pub fn lower(&mut self, entity: &str, field: &str, value: Value<'_>) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::MIN)?;
        let known = |at: &u32| {
            let there = Value::decode(self.document.payload(*at));
            there.tag() > value.tag() || there.tag() == value.tag() && there.order(&value).is_le()
        };
        if target.seen.iter().any(known) {
            return Ok(());
        }
        self.put(&target, &payload(&value), &target.seen)
    }

    /// Puts an element into a set that only grows, if it is not there.
    ///
    /// # Errors
    /// Names or an element out of bounds.
    pub fn include(
        &mut self,
        entity: &str,
        field: &str,
        element: Value<'_>,
    ) -> Result<(), EditError> {
        let payload = payload(&element);
        let target = self.element(entity, (field, Kind::GROW_SET), &payload)?;
        if target.seen.is_empty() { self.put(&target, &payload, &[]) } else { Ok(()) }
    }

    /// Adds an element to a set; who removes it at the same time does not remove this.
    ///
    /// # Errors
    /// Names or an element out of bounds.
    pub fn add(&mut self, entity: &str, field: &str, element: Value<'_>) -> Result<(), EditError> {
        let payload = payload(&element);
        let target = self.element(entity, (field, Kind::OR_SET), &payload)?;
        self.put(&target, &payload, &target.seen)
    }

    /// Removes an element from a set, as far as its additions were seen.
    ///
    /// # Errors
    /// Names out of bounds.
    pub fn remove(
        &mut self,
        entity: &str,
        field: &str,
        element: Value<'_>,
    ) -> Result<(), EditError> {
        let target = self.element(entity, (field, Kind::OR_SET), &payload(&element))?;
        self.cover(&target, &target.seen);
        Ok(())
    }

    /// Adds to a counter; a negative number takes away.
    ///
    /// # Errors
    /// Names out of bounds, or more than a counter holds of one replica.
    pub fn increment(&mut self, entity: &str, field: &str, by: i64) -> Result<(), EditError> {
        let (target, total) = self.counted(entity, field, by)?;
        if by != 0 {
            self.emit_count(&target, Some(total), by);
        }
        Ok(())
    }

    /// This replica's part of a counter, and what it will be.
    fn counted(&self, entity: &str, field: &str, by: i64) -> Result<(Target, i64), EditError> {
        let mut target = self.target(entity, field, Kind::COUNTER)?;
        let (document, own) = (&*self.document, self.writer.replica());
        target.seen.retain(|at| document.stamp(*at).dot.replica == own);
        let mut totals =
            target.seen.iter().filter_map(|at| int(&Value::decode(document.payload(*at))));
        let total = totals.try_fold(by, i64::checked_add).ok_or(EditError::Overflow)?;
        Ok((target, total))
    }

    /// Appends an update of Yjs, version 1, to a text.
    ///
    /// # Errors
    /// Names or an update out of bounds.
    pub fn push_text(&mut self, entity: &str, field: &str, update: &[u8]) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::TEXT)?;
        self.put(&target, &payload(&Value::from(update)), &[])
    }

    /// Replaces all updates of a text that were seen by one that contains them.
    ///
    /// # Errors
    /// Names or an update out of bounds.
    pub fn squash_text(&mut self, entity: &str, field: &str, all: &[u8]) -> Result<(), EditError> {
        let target = self.target(entity, field, Kind::TEXT)?;
        self.put(&target, &payload(&Value::from(all)), &target.seen)
    }

    /// Writes what the kind of the field makes of a value: sets, raises, lowers, adds, counts.
    ///
    /// # Errors
    /// As the method of that kind, or a kind for which a value says too little.
    pub fn write(
        &mut self,
        entity: &str,
        field: &Field,
        value: Value<'_>,
    ) -> Result<(), EditError> {
        let name = field.name();
        match (field.kind(), value) {
            (Kind::LWW, value) => self.set(entity, name, value),
            (Kind::GROW_SET, value) => self.include(entity, name, value),
            (Kind::OR_SET, value) => self.add(entity, name, value),
            (Kind::MAX, value) => self.raise(entity, name, value),
            (Kind::MIN, value) => self.lower(entity, name, value),
            (Kind::COUNTER, Value::Int(by)) => self.increment(entity, name, by),
            (Kind::MULTI, value) => self.assign(entity, name, value),
            (Kind::TEXT, Value::Bytes(update)) => self.push_text(entity, name, &update),
            (kind, _) => Err(EditError::Kind(kind)),
        }
    }

    /// Takes everything out of a field that was seen.
    ///
    /// # Errors
    /// Names out of bounds.
    pub fn unset(&mut self, entity: &str, field: &str, kind: Kind) -> Result<(), EditError> {
        let target = self.target(entity, field, kind)?;
        self.cover(&target, &target.seen);
        Ok(())
    }

    /// Makes an entity that has no fields yet, if it is not there.
    ///
    /// # Errors
    /// An id out of bounds.
    pub fn create(&mut self, entity: &str) -> Result<(), EditError> {
        let target = self.target(entity, "", Kind::LIFE)?;
        let alive = self.number(entity).is_some_and(|number| self.document.is_alive(number));
        if alive { Ok(()) } else { self.put(&target, EXISTS, &[]) }
    }

    /// Deletes an entity; an edit at the same time revives it as a whole.
    ///
    /// # Errors
    /// An id out of bounds.
    pub fn delete(&mut self, entity: &str) -> Result<(), EditError> {
        let target = self.target(entity, "", Kind::LIFE)?;
        if let Some(number) = self.number(entity)
            && self.document.is_alive(number)
        {
            self.mark(&target.entity, number);
        }
        Ok(())
    }

    /// Deletes an entity so that edits at the same time do not revive it.
    ///
    /// # Errors
    /// An id out of bounds.
    pub fn bury(&mut self, entity: &str) -> Result<(), EditError> {
        let target = self.target(entity, "", Kind::LIFE)?;
        match self.number(entity) {
            Some(number) if self.document.is_alive(number) => {
                let all: Vec<u32> = self.document.entries_of(number).collect();
                self.put(&target, TOMB, &all)
            }
            _ => Ok(()),
        }
    }

    /// Takes out everything of an entity that was seen, also what a deletion keeps for who revives it.
    ///
    /// # Errors
    /// An id out of bounds.
    pub fn erase(&mut self, entity: &str) -> Result<(), EditError> {
        let target = self.target(entity, "", Kind::LIFE)?;
        if let Some(number) = self.number(entity) {
            let all: Vec<u32> = self.document.entries_of(number).collect();
            self.cover(&target, &all);
        }
        Ok(())
    }

    /// Takes out everything that is dead by deletions up to the document's
    /// [horizon](Document::horizon): one replica does this for all, when it has compacted.
    pub fn sweep(&mut self) {
        for (entity, entries) in self.document.dead() {
            let id = self.document.entity_id(entity).clone();
            self.emit_cover(&id, &Field::life(), &entries);
        }
    }

    fn number(&self, entity: &str) -> Option<u32> {
        self.document.entity_number(entity)
    }

    /// The cell, with everything that is in it.
    fn target(&self, entity: &str, field: &str, kind: Kind) -> Result<Target, EditError> {
        self.find(entity, (field, kind), |document, cell| {
            cell.map_or_else(Vec::new, |(entity, field)| {
                document.entries_in(entity, field).collect()
            })
        })
    }

    /// The cell of a set, with what is in it of one element.
    fn element(
        &self,
        entity: &str,
        field: (&str, Kind),
        payload: &[u8],
    ) -> Result<Target, EditError> {
        self.find(entity, field, |document, cell| {
            let with = |(entity, field)| document.entries_with(entity, field, payload).collect();
            cell.map_or_else(Vec::new, with)
        })
    }

    fn find(
        &self,
        entity: &str,
        (field, kind): (&str, Kind),
        seen: impl FnOnce(&Document, Option<(u32, u32)>) -> Vec<u32>,
    ) -> Result<Target, EditError> {
        let (document, number) = (&*self.document, self.number(entity));
        let known = document.field_number(field, kind);
        let alive = number.filter(|number| document.is_alive(*number));
        let seen = seen(document, alive.zip(known));
        let dead = if alive.is_some() { None } else { number };
        let dead = dead.into_iter().flat_map(|number| document.entries_of(number)).collect();
        let id = number.map(|number| document.entity_id(number).clone());
        let name = known.map(|known| document.field_at(known).clone());
        Ok(Target {
            entity: id.or_else(|| EntityId::new(entity)).ok_or(EditError::EntityId)?,
            field: name.or_else(|| Field::new(field, kind)).ok_or(EditError::FieldName)?,
            seen,
            dead,
        })
    }

    /// Puts an entry that replaces `covered`, and what is left of a dead entity.
    fn put(&mut self, target: &Target, payload: &[u8], covered: &[u32]) -> Result<(), EditError> {
        check_payload(&target.field, payload).map_err(|_| EditError::TooLarge)?;
        let covered = [covered, &target.dead].concat();
        self.emit_put(&target.entity, &target.field, payload, &covered);
        Ok(())
    }

    fn cover(&mut self, target: &Target, covered: &[u32]) {
        if !covered.is_empty() {
            self.emit_cover(&target.entity, &target.field, covered);
        }
    }
}

fn payload(value: &Value<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    value.encode(&mut payload);
    payload
}
