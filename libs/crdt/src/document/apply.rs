//! Taking in operations.

use super::{Document, Entry, entity::Mark};
use crate::{Batch, Change, DotRange, EntityId, Field, Op};

impl Document {
    /// Takes in a batch. Which were taken in before, and in which order, makes no difference.
    pub fn apply(&mut self, batch: &Batch) {
        batch.ops().for_each(|op| self.apply_op(op));
    }

    /// Takes in one operation: joins this document with the smallest one that has it.
    pub fn apply_op(&mut self, op: Op<'_>) {
        // Whatever counts up to the horizon is here; who repeats it may not bring anything back.
        if op.hlc <= self.horizon {
            return;
        }
        self.latest = self.latest.max(op.hlc);
        let replica = self.replica(op.dot.replica);
        match op.change {
            Change::Put { field, payload, covers } => {
                covers.iter().for_each(|range| self.cover(range));
                self.put(replica, op, (field, payload));
            }
            Change::Cover { covers, .. } => {
                covers.iter().for_each(|range| self.cover(range));
                self.take_dot(replica, op);
            }
            Change::Delete { marks } => {
                self.mark(op, marks);
                self.take_dot(replica, op);
            }
        }
    }

    fn put(&mut self, replica: u32, op: Op<'_>, (field, payload): (&Field, &[u8])) {
        if self.decided_at(replica).contains(op.dot.seq) {
            if !self.has(replica, op, (field, payload)) {
                self.take_dot(replica, op);
            }
            return;
        }
        self.take_dot(replica, op);
        let entry = Entry {
            hlc: op.hlc,
            seq: op.dot.seq,
            replica,
            entity: self.entity_or_new(op.entity),
            field: self.fields.intern(field),
            ..Entry::default()
        };
        self.add(entry, payload);
    }

    fn has(&self, replica: u32, op: Op<'_>, (field, payload): (&Field, &[u8])) -> bool {
        self.live_entry(replica, op.dot.seq).is_some_and(|at| {
            let same_place = self.is_in(at, op.entity, field);
            let same_hlc = self.entries.get(at).hlc == op.hlc;
            same_place && same_hlc && self.entries.payload(at) == payload
        })
    }

    /// Returns whether an entry lies in this cell.
    pub(super) fn is_in(&self, at: u32, entity: &EntityId, field: &Field) -> bool {
        let entry = self.entries.get(at);
        self.entity_id(entry.entity) == entity && self.fields.get(entry.field) == field
    }

    /// Notes that the operation was seen. Another entry under its dot is a clone's: they cover each other. Where its replica retired,
    /// that one lies before the horizon, and is covered by this one alone.
    fn take_dot(&mut self, replica: u32, op: Op<'_>) {
        if let Some(at) = self.live_entry(replica, op.dot.seq) {
            self.remove(at);
        }
        self.decide(replica, op);
    }

    fn decide(&mut self, replica: u32, op: Op<'_>) {
        let decided = &mut self.decided[replica as usize];
        decided.insert(op.dot.seq, op.dot.seq);
        decided.latest = decided.latest.max(op.hlc);
    }

    fn cover(&mut self, range: &DotRange) {
        let replica = self.replica(range.replica);
        self.decided[replica as usize].insert(range.first, range.last);
        let place = self.find_live(replica, range.first).unwrap_or_else(|place| place);
        let live = self.live[replica as usize].onward(place).copied();
        let covered = live.take_while(|at| self.entries.get(*at).seq <= range.last);
        let covered: Vec<u32> = covered.collect();
        covered.into_iter().for_each(|at| self.remove(at));
    }

    fn mark(&mut self, op: Op<'_>, marks: &[DotRange]) {
        let entity = self.entity_or_new(op.entity);
        for range in marks {
            let replica = self.replica(range.replica);
            self.join_mark(entity, Mark { replica, seq: range.last, stamp: op.stamp() });
        }
    }

    pub(super) fn join_mark(&mut self, entity: u32, mark: Mark) {
        self.entities.get_mut(entity).deletion.get_or_insert_default().join(mark);
    }
}
