//! From what is replaced to operations that say so.

use super::{
    Edit, Target, payload,
    undo::{Content, Step},
};
use crate::{
    Change, Dot, DotRange, EntityId, Field, Op, RANGES_MAX, ReplicaId, Value,
    document::EXISTS,
    dot::ranges,
    sorted::{Map, sort_numbers},
};

impl Edit<'_> {
    /// Puts an entry, and returns its name. What does not fit into its covers goes before it.
    pub(super) fn emit_put(
        &mut self,
        entity: &EntityId,
        field: &Field,
        payload: &[u8],
        covered: &[u32],
    ) -> Dot {
        let afresh = !covered.is_empty() && self.document.entity(entity).is_none();
        let before = self.content(covered);
        let dot = self.emit_covering(entity, field, Some(payload), covered);
        let entity = entity.clone();
        let step = match afresh {
            true => Step::PutAfresh { dot, entity, dead: before },
            false => Step::Put { dot, entity, before },
        };
        self.undo.note(dot.seq, step);
        dot
    }

    /// Makes a deleted entity alive as it is.
    pub(super) fn emit_revival(&mut self, entity: &EntityId) {
        let dot = self.emit_covering(entity, &Field::life(), Some(EXISTS), &[]);
        self.undo.note(dot.seq, Step::Revive { dot, entity: entity.clone() });
    }

    /// Puts the next total of a counter, of which `by` is new; none takes this replica's part away.
    pub(super) fn emit_count(&mut self, target: &Target, total: Option<i64>, by: i64) {
        let payload = total.map(|total| payload(&Value::Int(total)));
        let covered = [&target.seen[..], &target.dead].concat();
        let dead = self.content(&target.dead);
        let dot = self.emit_covering(&target.entity, &target.field, payload.as_deref(), &covered);
        let (entity, field) = (target.entity.clone(), target.field.clone());
        self.undo.note(dot.seq, Step::Count { entity, field, by, dead });
    }

    /// Takes entries away.
    pub(super) fn emit_cover(&mut self, entity: &EntityId, field: &Field, covered: &[u32]) {
        // What was dead does not come back.
        let alive = self.document.entity(entity).is_some();
        let before = if alive { self.content(covered) } else { Vec::new() };
        let dot = self.emit_covering(entity, field, None, covered);
        self.undo.note(dot.seq, Step::Cover { entity: entity.clone(), before });
    }

    fn emit_covering(
        &mut self,
        entity: &EntityId,
        field: &Field,
        payload: Option<&[u8]>,
        covered: &[u32],
    ) -> Dot {
        let dots = covered.iter().map(|at| self.document.stamp(*at).dot).collect();
        let ranges = ranges(dots);
        let mut covers = &ranges[..];
        while let Some((chunk, rest)) = covers.split_at_checked(RANGES_MAX) {
            if rest.is_empty() && payload.is_none() {
                break;
            }
            self.emit(entity, Change::Cover { field, covers: chunk });
            covers = rest;
        }
        self.emit(
            entity,
            match payload {
                Some(payload) => Change::Put { field, payload, covers },
                None => Change::Cover { field, covers },
            },
        )
    }

    /// Marks all entries of an entity.
    pub(super) fn mark(&mut self, entity: &EntityId, number: u32) {
        let mut last: Map<ReplicaId, u64> = Map::new();
        for at in self.document.entries_of(number) {
            let dot = self.document.stamp(at).dot;
            let seq = last.get_or_insert(dot.replica, 0);
            *seq = dot.seq.max(*seq);
        }
        let mark = |(replica, seq)| DotRange { replica, first: seq, last: seq };
        let last = last.iter().map(|(replica, seq)| (*replica, *seq));
        let marks: Vec<DotRange> = last.map(mark).collect();
        for marks in marks.chunks(RANGES_MAX) {
            let dot = self.emit(entity, Change::Delete { marks });
            self.undo.note(dot.seq, Step::Delete { entity: entity.clone() });
        }
    }

    fn emit(&mut self, entity: &EntityId, change: Change<'_>) -> Dot {
        let dot = self.next_dot();
        let op = Op { dot, hlc: self.hlc, entity, change };
        self.writer.push(op);
        self.document.apply_op(op);
        dot
    }

    /// What is in these entries, the oldest first, for who takes the change back.
    fn content(&self, covered: &[u32]) -> Vec<Content> {
        let mut entries = covered.to_vec();
        let stamp = |at: u32| self.document.stamp(at);
        sort_numbers(&mut entries, &|a, b| stamp(a).cmp(&stamp(b)));
        let content = |at: &u32| Content {
            dot: self.document.stamp(*at).dot,
            field: self.document.field_of(*at).clone(),
            payload: self.document.payload(*at).to_vec(),
        };
        entries.iter().map(content).collect()
    }
}
