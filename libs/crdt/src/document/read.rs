//! Reading a document.

use std::cmp::{Ordering, Reverse};

use super::Document;
use crate::{
    EntityId, Field, Kind, Stamp, Value,
    sorted::{sort, sort_numbers},
};

/// An entity that is alive.
#[derive(Clone, Copy, Debug)]
pub struct EntityRef<'a> {
    document: &'a Document,
    number: u32,
}

/// A value with who wrote it, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<'a> {
    /// What was written.
    pub value: Value<'a>,
    /// When, and by whom.
    pub stamp: Stamp,
}

impl Document {
    /// The entity with this id, if it is alive.
    pub fn entity(&self, id: &str) -> Option<EntityRef<'_>> {
        let number = self.entity_number(id)?;
        self.is_alive(number).then_some(EntityRef { document: self, number })
    }

    /// All entities that are alive, by id.
    pub fn entities(&self) -> impl Iterator<Item = EntityRef<'_>> {
        self.refs(self.order.iter())
    }

    /// The living entities whose ids begin with `prefix`, by id: `note/` for all of a type.
    pub fn entities_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = EntityRef<'a>> {
        let place = self.place_in_order(prefix).unwrap_or_else(|place| place);
        let onward = self.order.onward(place);
        self.refs(onward.take_while(move |at| self.entity_id(**at).starts_with(prefix)))
    }

    fn refs<'a>(
        &'a self,
        order: impl Iterator<Item = &'a u32>,
    ) -> impl Iterator<Item = EntityRef<'a>> {
        let alive = order.filter(|at| self.is_alive(**at));
        alive.map(|at| EntityRef { document: self, number: *at })
    }

    /// Who deleted an entity last, and when; also while it is alive, if that is still known.
    pub fn deleted(&self, id: &str) -> Option<Stamp> {
        let number = self.entity_number(id)?;
        let deletion = self.marks(number).map(|mark| mark.stamp).max();
        let tombs = self.entries_of(number).filter(|at| self.is_tomb(*at));
        let tomb = tombs.map(|at| self.stamp(at)).max();
        tomb.max(deletion)
    }

    /// The entry that a cell reads as, by its kind; of sets and of text, the newest.
    pub(crate) fn winner(&self, entity: u32, field: u32) -> Option<u32> {
        let entries = self.entries_in(entity, field);
        match self.fields.get(field).kind() {
            Kind::MAX => entries.max_by(|a, b| self.by_value(*a, *b).then(self.by_age(*b, *a))),
            Kind::MIN => entries.min_by(|a, b| self.by_least(*a, *b).then(self.by_age(*a, *b))),
            _ => entries.max_by(|a, b| self.by_age(*a, *b)),
        }
    }

    fn by_age(&self, a: u32, b: u32) -> Ordering {
        self.stamp(a).cmp(&self.stamp(b))
    }

    fn by_value(&self, a: u32, b: u32) -> Ordering {
        Value::decode(self.payload(a)).order(&Value::decode(self.payload(b)))
    }

    /// Of different types the greatest type comes first, also where the least value does.
    fn by_least(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (Value::decode(self.payload(a)), Value::decode(self.payload(b)));
        Reverse(a.tag()).cmp(&Reverse(b.tag())).then(a.order(&b))
    }
}

impl<'a> EntityRef<'a> {
    /// Its id.
    pub fn id(&self) -> &'a EntityId {
        self.document.entity_id(self.number)
    }

    /// The fields that have been written, by kind and name, without the one that only says that the
    /// entity exists.
    pub fn fields(&self) -> Vec<&'a Field> {
        let cells = self.document.entities.get(self.number).cells.iter();
        let mut fields: Vec<&Field> =
            cells.map(|(field, _)| self.document.fields.get(field)).collect();
        fields.retain(|field| field.kind() != Kind::LIFE);
        sort(&mut fields, &Ord::cmp);
        fields
    }

    /// All entries of a field, the newest first.
    pub fn entries(&self, field: &str, kind: Kind) -> Vec<Written<'a>> {
        let number = self.document.field_number(field, kind);
        let mut entries: Vec<u32> =
            number.into_iter().flat_map(|at| self.document.entries_in(self.number, at)).collect();
        let stamp = |at: u32| self.document.stamp(at);
        sort_numbers(&mut entries, &|a, b| stamp(b).cmp(&stamp(a)));
        entries.into_iter().map(|at| self.written(at)).collect()
    }

    fn written(&self, at: u32) -> Written<'a> {
        let document = self.document;
        Written { value: Value::decode(document.payload(at)), stamp: document.stamp(at) }
    }

    /// What a field reads as, with who wrote that: the winner, the extreme, or else the newest entry.
    pub fn blame(&self, field: &str, kind: Kind) -> Option<Written<'a>> {
        let number = self.document.field_number(field, kind)?;
        self.document.winner(self.number, number).map(|at| self.written(at))
    }

    fn value(&self, field: &str, kind: Kind) -> Option<Value<'a>> {
        let number = self.document.field_number(field, kind)?;
        let winner = self.document.winner(self.number, number)?;
        Some(Value::decode(self.document.payload(winner)))
    }

    /// The value of a field in which the last writer wins.
    pub fn get(&self, field: &str) -> Option<Value<'a>> {
        self.value(field, Kind::LWW)
    }

    /// What was written at the same time as the value that won, the newest first.
    pub fn conflicts(&self, field: &str) -> Vec<Written<'a>> {
        let mut entries = self.entries(field, Kind::LWW);
        entries.drain(..entries.len().min(1));
        entries
    }

    /// The greatest value that was written.
    pub fn max(&self, field: &str) -> Option<Value<'a>> {
        self.value(field, Kind::MAX)
    }

    /// The least value that was written.
    pub fn min(&self, field: &str) -> Option<Value<'a>> {
        self.value(field, Kind::MIN)
    }

    /// The different values of a multi-value field, or the elements of a set, in their order.
    pub fn values(&self, field: &str, kind: Kind) -> Vec<Value<'a>> {
        let entries = self.entries(field, kind).into_iter();
        let mut values: Vec<Value<'a>> = entries.map(|written| written.value).collect();
        sort(&mut values, &Value::order);
        values.dedup_by(|a, b| a.order(b) == Ordering::Equal);
        values
    }

    /// Returns whether a set has an element.
    pub fn contains(&self, field: &str, kind: Kind, element: &Value<'_>) -> bool {
        let mut payload = Vec::new();
        element.encode(&mut payload);
        let number = self.document.field_number(field, kind);
        number.is_some_and(|field| {
            self.document.entries_with(self.number, field, &payload).next().is_some()
        })
    }

    /// The sum of a counter; beyond the range of the type, the nearest number in it.
    pub fn count(&self, field: &str) -> i64 {
        let totals = self.entries(field, Kind::COUNTER).into_iter().map(|written| written.value);
        let sum: i128 = totals.filter_map(|total| int(&total)).map(i128::from).sum();
        sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// The updates that make up a text, the oldest first; Yjs takes them in any order.
    pub fn text_updates(&self, field: &str) -> Vec<Written<'a>> {
        let mut updates = self.entries(field, Kind::TEXT);
        updates.reverse();
        updates
    }
}

pub(crate) fn int(value: &Value<'_>) -> Option<i64> {
    if let Value::Int(value) = value { Some(*value) } else { None }
}
