//! Joining two states.

use super::{Document, Entry, entity::Mark};
use crate::{context::Decided, sorted::Sorted};

impl Document {
    /// Joins with another document: takes in at once all that it took in.
    pub fn merge(&mut self, other: &Document) {
        let replicas: Vec<u32> = (0..other.replicas.len() as u32)
            .map(|at| self.replica(*other.replicas.get(at)))
            .collect();
        let gone: Vec<u32> = self.all_entries().filter(|at| self.is_gone(*at, other)).collect();
        let new: Vec<u32> = other.all_entries().filter(|at| self.is_new(*at, other)).collect();
        gone.into_iter().for_each(|at| self.remove(at));
        new.into_iter().for_each(|at| self.adopt(at, other, &replicas));
        self.join_decided(other, &replicas);
        self.join_deletions(other, &replicas);
        self.horizon = self.horizon.max(other.horizon);
        self.latest = self.latest.max(other.latest);
        self.drop_marks();
    }

    fn all_entries(&self) -> impl Iterator<Item = u32> {
        self.live.iter().flat_map(Sorted::iter).copied()
    }

    /// Returns whether `other` knows what became of an entry of this one, and does not have it.
    fn is_gone(&self, at: u32, other: &Document) -> bool {
        let stamp = self.stamp(at);
        let decided = other.is_decided(stamp.dot) || stamp.hlc <= other.horizon;
        decided && !other.entry(stamp.dot).is_some_and(|there| self.is_same(at, there, other))
    }

    fn is_same(&self, at: u32, there: u32, other: &Document) -> bool {
        let entry = other.entries.get(there);
        let (entity, field) = (other.entity_id(entry.entity), other.fields.get(entry.field));
        self.entries.get(at).hlc == entry.hlc
            && self.entries.payload(at) == other.entries.payload(there)
            && self.is_in(at, entity, field)
    }

    /// Returns whether nothing was decided here about an entry of `other`.
    fn is_new(&self, at: u32, other: &Document) -> bool {
        let stamp = other.stamp(at);
        stamp.hlc > self.horizon && !self.is_decided(stamp.dot)
    }

    fn adopt(&mut self, at: u32, other: &Document, replicas: &[u32]) {
        let entry = other.entries.get(at);
        let entry = Entry {
            replica: replicas[entry.replica as usize],
            entity: self.entity_or_new(other.entity_id(entry.entity)),
            field: self.fields.intern(other.fields.get(entry.field)),
            ..*entry
        };
        self.add(entry, other.entries.payload(at));
    }

    /// Joins what is decided; a replica that only one of both knows may have retired in the other.
    fn join_decided(&mut self, other: &Document, replicas: &[u32]) {
        for (theirs, ours) in other.decided.iter().zip(replicas) {
            let ours = &mut self.decided[*ours as usize];
            if !(ours.is_empty() && theirs.is_settled(self.horizon)) {
                ours.join(theirs);
            }
        }
        for at in 0..self.replicas.len() {
            let theirs = other.replicas.find(self.replicas.get(at as u32));
            let unknown = theirs.is_none_or(|theirs| other.decided_at(theirs).is_empty());
            if unknown && self.decided[at].is_settled(other.horizon) {
                self.decided[at] = Decided::default();
            }
        }
    }

    fn join_deletions(&mut self, other: &Document, replicas: &[u32]) {
        for at in other.order.iter() {
            if let Some(deletion) = other.entities.get(*at).deletion.as_deref() {
                let entity = self.entity_or_new(other.entity_id(*at));
                for mark in deletion.iter() {
                    let replica = replicas[mark.replica as usize];
                    self.join_mark(entity, Mark { replica, ..mark });
                }
            }
        }
    }
}
