//! From what is replaced to operations that say so.

use std::collections::BTreeMap;

use super::{
    Edit, Target, payload,
    undo::{Content, Step},
};
use crate::{
    Change, Dot, DotRange, EntityId, Field, Op, RANGES_MAX, ReplicaId, Value, dot::ranges,
};

impl Edit<'_> {
    /// Puts an entry. What does not fit into its covers goes before it.
    pub(super) fn emit_put(
        &mut self,
        entity: &EntityId,
        field: &Field,
        payload: &[u8],
        covered: &[u32],
    ) {
        let before = self.content(entity, covered);
        let dot = self.emit_covering(entity, field, Some(payload), covered);
        self.undo.note(dot.seq, Step::Put { dot, entity: entity.clone(), before });
    }

    /// Puts the next total of a counter, of which `by` is new; none takes this replica's part away.
    pub(super) fn emit_count(&mut self, target: &Target, total: Option<i64>, by: i64) {
        let payload = total.map(|total| payload(&Value::Int(total)));
        let covered = [&target.seen[..], &target.dead].concat();
        let dot = self.emit_covering(&target.entity, &target.field, payload.as_deref(), &covered);
        let (entity, field) = (target.entity.clone(), target.field.clone());
        self.undo.note(dot.seq, Step::Count { entity, field, by });
    }

    /// Takes entries away.
    pub(super) fn emit_cover(&mut self, entity: &EntityId, field: &Field, covered: &[u32]) {
        let before = self.content(entity, covered);
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
        let mut last: BTreeMap<ReplicaId, u64> = BTreeMap::new();
        for at in self.document.entries_of(number) {
            let dot = self.document.stamp(at).dot;
            let seq = last.entry(dot.replica).or_default();
            *seq = dot.seq.max(*seq);
        }
        let mark = |(replica, seq)| DotRange { replica, first: seq, last: seq };
        let marks: Vec<DotRange> = last.into_iter().map(mark).collect();
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

    /// What is in these entries, the oldest first, for who takes the change back; what was dead is not.
    fn content(&self, entity: &EntityId, covered: &[u32]) -> Vec<Content> {
        if covered.is_empty() || self.document.entity(entity).is_none() {
            return Vec::new();
        }
        let mut entries = covered.to_vec();
        entries.sort_unstable_by_key(|at| self.document.stamp(*at));
        let content = |at: &u32| Content {
            dot: self.document.stamp(*at).dot,
            field: self.document.field_of(*at).clone(),
            payload: self.document.payload(*at).to_vec(),
        };
        entries.iter().map(content).collect()
    }
}
