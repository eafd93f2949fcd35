//! The document: what nobody has covered, and what is decided.

mod apply;
mod compact;
mod entity;
mod entry;
mod merge;
mod read;
mod slab;
mod snapshot;
mod tables;

pub use read::{EntityRef, Written};

pub(crate) use read::int;

use crate::{
    Dot, EntityId, Field, Hlc, Kind, ReplicaId, Stamp,
    context::Decided,
    sorted::{Place, Sorted, sort_numbers},
};
use entity::{Cell, Deletion, Entity, Mark};
use entry::{Entries, Entry};
use slab::Slab;
use tables::Table;

/// The payload of a tombstone.
pub(crate) const TOMB: &[u8] = &[1, 0];

/// The payload of an entry that says no more than that its entity exists.
pub(crate) const EXISTS: &[u8] = &[0];

/// A document: entities by their ids, and what of all operations is decided.
///
/// Two documents that took in the same operations have the same [snapshot](Document::snapshot), in
/// whatever order and by whatever way these came.
#[derive(Clone, Debug, Default)]
pub struct Document {
    replicas: Table<ReplicaId>,
    fields: Table<Field>,
    entities: Slab<Entity>,
    /// Entities by their ids.
    order: Sorted<u32>,
    entries: Entries,
    /// For each replica the entries by their sequences. No dot has two.
    live: Vec<Sorted<u32>>,
    /// For each replica. Whatever is in `live` is in here, or not beyond the horizon.
    decided: Vec<Decided>,
    horizon: Hlc,
    latest: Hlc,
    /// The entity that was written to last, which often is the next.
    recent: u32,
}

impl Document {
    /// A document in which nothing was written.
    pub fn new() -> Self {
        Document::default()
    }

    /// The greatest stamp that was seen here. Clocks of who writes go on behind it.
    pub fn latest(&self) -> Hlc {
        self.latest
    }

    /// The stamp at which this was compacted last; zero if it never was.
    pub fn horizon(&self) -> Hlc {
        self.horizon
    }

    /// How many entries there are, in living and dead entities.
    pub fn entries_len(&self) -> usize {
        self.live.iter().map(Sorted::len).sum()
    }

    /// The replicas of which something is known, with the greatest stamp that was received of each.
    pub fn replicas(&self) -> impl Iterator<Item = (ReplicaId, Hlc)> {
        let known = self.replicas.sorted();
        let known = known.map(|(id, at)| (*id, &self.decided[at as usize]));
        known.filter(|(_, decided)| !decided.is_empty()).map(|(id, decided)| (id, decided.latest))
    }

    /// Returns whether this operation can change nothing here any more: it was seen, or covered.
    pub fn is_decided(&self, dot: Dot) -> bool {
        self.replicas.find(&dot.replica).is_some_and(|at| self.decided_at(at).contains(dot.seq))
    }

    /// Returns whether an entity has entries, alive or dead.
    #[cfg(feature = "sim")]
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.entity_number(id).is_some_and(|at| !self.entities.get(at).cells.is_empty())
    }

    /// The greatest sequence of a replica's entries.
    pub(crate) fn last_entry(&self, replica: ReplicaId) -> u64 {
        let live = self.replicas.find(&replica).and_then(|at| self.live.get(at as usize));
        live.and_then(Sorted::last).map_or(0, |at| self.entries.get(*at).seq)
    }

    fn decided_at(&self, replica: u32) -> &Decided {
        &self.decided[replica as usize]
    }

    fn replica(&mut self, id: ReplicaId) -> u32 {
        let at = self.replicas.intern(&id);
        self.live.resize_with(self.replicas.len(), Sorted::new);
        self.decided.resize_with(self.replicas.len(), Decided::default);
        at
    }

    /// The entity with this id; a new one has nothing in it yet.
    fn entity_or_new(&mut self, id: &EntityId) -> u32 {
        self.recent = match self.find_entity(id) {
            Ok(at) => at,
            Err(place) => {
                let new = Entity { id: Some(id.clone()), ..Entity::default() };
                let at = self.entities.insert(new);
                self.order.insert(place, at);
                at
            }
        };
        self.recent
    }

    fn add(&mut self, entry: Entry, payload: &[u8]) {
        let place = self.find_live(entry.replica, entry.seq).unwrap_or_else(|place| place);
        let at = self.place(entry, payload);
        self.live[entry.replica as usize].insert(place, at);
    }

    /// Puts an entry into its cell; it is not found by its dot yet.
    fn place(&mut self, entry: Entry, payload: &[u8]) -> u32 {
        let at = self.entries.insert(entry, payload);
        let entity = self.entities.get_mut(entry.entity);
        let cell = self.entries.join_cell(entity.cells.get(entry.field), at);
        entity.cells.set(entry.field, cell);
        if self.fields.get(entry.field).kind() == Kind::LIFE && payload == TOMB {
            entity.tombs += 1;
        }
        at
    }

    fn remove(&mut self, at: u32) {
        let entry = *self.entries.get(at);
        let place = self.find_live(entry.replica, entry.seq).expect("an entry is found by its dot");
        self.live[entry.replica as usize].remove(place);
        let is_tomb = self.is_tomb(at);
        let entity = self.entities.get_mut(entry.entity);
        let cell = entity.cells.get(entry.field).expect("an entry lies in a cell");
        match self.entries.leave_cell(cell, at) {
            Some(cell) => entity.cells.set(entry.field, cell),
            None => entity.cells.remove(entry.field),
        }
        entity.tombs -= u32::from(is_tomb);
        self.entries.remove(at);
        self.drop_if_bare(entry.entity);
        if self.entries.is_wasteful() {
            self.entries.repack(self.live.iter().flat_map(Sorted::iter).copied());
        }
    }

    fn is_tomb(&self, at: u32) -> bool {
        let field = self.entries.get(at).field;
        self.fields.get(field).kind() == Kind::LIFE && self.entries.payload(at) == TOMB
    }

    /// Returns whether somebody deleted the entity for good.
    pub(crate) fn has_tomb(&self, entity: u32) -> bool {
        self.entities.get(entity).tombs > 0
    }

    fn drop_if_bare(&mut self, at: u32) {
        if self.entities.get(at).cells.is_empty()
            && self.marks(at).next().is_none()
            && let Ok(place) = self.place_in_order(self.entity_id(at))
        {
            self.order.remove(place);
            self.entities.remove(at);
        }
    }

    /// All entries of an entity, in no order that means anything.
    pub(crate) fn entries_of(&self, entity: u32) -> impl Iterator<Item = u32> {
        let cells = self.entities.get(entity).cells.iter();
        cells.flat_map(|(_, cell)| self.entries.of_cell(Some(cell)))
    }

    /// All entries of a cell, in no order that means anything.
    pub(crate) fn entries_in(&self, entity: u32, field: u32) -> impl Iterator<Item = u32> {
        self.entries.of_cell(self.cell(entity, field))
    }

    /// The entries of a cell that have this payload.
    pub(crate) fn entries_with(
        &self,
        entity: u32,
        field: u32,
        payload: &[u8],
    ) -> impl Iterator<Item = u32> {
        self.entries.with_payload(self.cell(entity, field), payload)
    }

    fn cell(&self, entity: u32, field: u32) -> Option<Cell> {
        self.entities.get(entity).cells.get(field)
    }

    pub(crate) fn payload(&self, at: u32) -> &[u8] {
        self.entries.payload(at)
    }

    pub(crate) fn field_of(&self, at: u32) -> &Field {
        self.fields.get(self.entries.get(at).field)
    }

    pub(crate) fn stamp(&self, at: u32) -> Stamp {
        let entry = self.entries.get(at);
        let replica = *self.replicas.get(entry.replica);
        Stamp { hlc: entry.hlc, dot: Dot { replica, seq: entry.seq } }
    }

    /// The entry with this dot.
    pub(crate) fn entry(&self, dot: Dot) -> Option<u32> {
        self.live_entry(self.replicas.find(&dot.replica)?, dot.seq)
    }

    /// The number of an entity of which anything is known.
    pub(crate) fn entity_number(&self, id: &str) -> Option<u32> {
        self.find_entity(id).ok()
    }

    /// The number of an entity, or else where it would be among the others.
    fn find_entity(&self, id: &str) -> Result<u32, Place> {
        let recent = self.entities.find(self.recent).and_then(|entity| entity.id.as_deref());
        if recent == Some(id) {
            return Ok(self.recent);
        }
        let place = self.place_in_order(id)?;
        Ok(*self.order.get(place).expect("it was found"))
    }

    /// Where an entity is among the others, or would be.
    fn place_in_order(&self, id: &str) -> Result<Place, Place> {
        self.order.find(&|at| (**self.entity_id(*at)).cmp(id))
    }

    /// Where an entry is among those of its replica, or would be.
    fn find_live(&self, replica: u32, seq: u64) -> Result<Place, Place> {
        self.live[replica as usize].find(&|at| self.entries.get(*at).seq.cmp(&seq))
    }

    fn live_entry(&self, replica: u32, seq: u64) -> Option<u32> {
        let place = self.find_live(replica, seq).ok()?;
        self.live[replica as usize].get(place).copied()
    }

    /// The id of an entity by its number.
    pub(crate) fn entity_id(&self, entity: u32) -> &EntityId {
        self.entities.get(entity).id.as_ref().expect("numbers are given to what has an id")
    }

    /// The number of a field that was ever used.
    pub(crate) fn field_number(&self, name: &str, kind: Kind) -> Option<u32> {
        self.fields.find_by(&|field| (field.kind(), field.name()).cmp(&(kind, name)))
    }

    /// The name of a field by its number.
    pub(crate) fn field_at(&self, field: u32) -> &Field {
        self.fields.get(field)
    }

    /// Returns whether an entity is there, for those who read.
    pub(crate) fn is_alive(&self, entity: u32) -> bool {
        let state = self.entities.get(entity);
        state.tombs == 0
            && match &state.deletion {
                None => !state.cells.is_empty(),
                Some(_) => self.unmarked(entity).next().is_some(),
            }
    }

    /// The entries of an entity that no deletion has seen.
    pub(crate) fn unmarked(&self, entity: u32) -> impl Iterator<Item = u32> {
        self.entries_of(entity).filter(|at| !self.is_marked(*at))
    }

    /// Returns whether an entry was there when its entity was deleted.
    pub(crate) fn is_marked(&self, at: u32) -> bool {
        let entry = self.entries.get(at);
        let deletion = self.entities.get(entry.entity).deletion.as_deref();
        deletion.is_some_and(|deletion| deletion.marks(entry.replica, entry.seq, entry.hlc))
    }

    /// The marks of an entity that mean something.
    fn marks(&self, entity: u32) -> impl Iterator<Item = Mark> {
        let deletion = self.entities.get(entity).deletion.as_deref();
        let mut is_meant = self.meaning(entity);
        deletion.into_iter().flat_map(Deletion::iter).filter(move |mark| is_meant(*mark))
    }

    /// Says of an entity's marks, which it is asked about in their order, whether they mean something: an entry may still come,
    /// or is here. Whatever comes after the horizon is younger than a deletion before it.
    fn meaning(&self, entity: u32) -> impl FnMut(Mark) -> bool {
        let (mut entries, mut oldest) = (None, None);
        move |mark| {
            if mark.stamp.hlc > self.horizon {
                return true;
            }
            let entries = entries.get_or_insert_with(|| self.by_dot(entity).peekable());
            // Of the same replica, up to the mark.
            oldest = oldest.filter(|(replica, _)| *replica == mark.replica);
            let is_before = |entry: &Entry| (entry.replica, entry.seq) <= (mark.replica, mark.seq);
            while let Some(entry) = entries.next_if(is_before) {
                if entry.replica == mark.replica {
                    let hlc = oldest.map_or(entry.hlc, |(_, hlc)| entry.hlc.min(hlc));
                    oldest = Some((entry.replica, hlc));
                }
            }
            oldest.is_some_and(|(_, hlc)| hlc <= mark.stamp.hlc)
        }
    }

    /// The entries of an entity by replica and sequence.
    fn by_dot(&self, entity: u32) -> impl Iterator<Item = Entry> {
        let mut entries: Vec<u32> = self.entries_of(entity).collect();
        let dot = |at: u32| (self.entries.get(at).replica, self.entries.get(at).seq);
        sort_numbers(&mut entries, &|a, b| dot(a).cmp(&dot(b)));
        entries.into_iter().map(|at| *self.entries.get(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Numbers = std::collections::BTreeMap<(u8, u64), u64>;

    /// Stamps of a few replicas' sequences.
    fn stamps() -> impl Strategy<Value = Numbers> {
        prop::collection::btree_map((0..3u8, 1..12u64), 1..12u64, 0..20)
    }

    proptest! {
        #[test]
        fn a_mark_up_to_the_horizon_means_something_where_it_marks(
            (entries, marks, horizon) in (stamps(), stamps(), 0..13u64),
        ) {
            let mut document = Document::new();
            let entity = document.entity_or_new(&EntityId::new("n").unwrap());
            for ((replica, seq), hlc) in &entries {
                let (replica, hlc) = (document.replica(ReplicaId([*replica; 16])), Hlc(*hlc));
                let field = document.fields.intern(&Field::new("f", Kind::GROW_SET).unwrap());
                let seq = *seq;
                let entry = Entry { hlc, seq, replica, entity, field, ..Entry::default() };
                document.add(entry, &[2, seq as u8]);
            }
            for ((replica, seq), hlc) in marks {
                let replica = document.replica(ReplicaId([replica; 16]));
                let stamp = Stamp { hlc: Hlc(hlc), dot: Dot::default() };
                document.join_mark(entity, Mark { replica, seq, stamp });
            }
            let all = document.entities.get(entity).deletion.clone().unwrap_or_default();
            document.horizon = Hlc(horizon);
            let is_meant = |mark: &Mark| {
                let marks = |entry: &Entry| {
                    let is_before = entry.seq <= mark.seq && entry.hlc <= mark.stamp.hlc;
                    entry.replica == mark.replica && is_before
                };
                mark.stamp.hlc.0 > horizon || document.by_dot(entity).any(|entry| marks(&entry))
            };
            prop_assert!(document.marks(entity).eq(all.iter().filter(is_meant)));
        }
    }
}
