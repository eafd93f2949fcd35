//! Taking a change back, as another change.

use super::Edit;
use crate::{
    Dot, EntityId, Field, Kind, Value,
    document::{EXISTS, TOMB, int},
};

/// What takes a change back, by the sequences of its operations.
///
/// It puts back what the change replaced, where that change is still what counts; others' later changes
/// stay. A text is not taken back: Yjs has an undo of its own.
#[derive(Clone, Debug, Default)]
pub struct Undo {
    steps: Vec<(u64, Option<Step>)>,
}

/// What one operation did.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put {
        dot: Dot,
        entity: EntityId,
        before: Vec<Content>,
    },
    /// To an entity that was dead, with this in it.
    PutAfresh {
        dot: Dot,
        entity: EntityId,
        dead: Vec<Content>,
    },
    Cover {
        entity: EntityId,
        before: Vec<Content>,
    },
    Count {
        entity: EntityId,
        field: Field,
        by: i64,
        dead: Vec<Content>,
    },
    Delete {
        entity: EntityId,
    },
    Revive {
        dot: Dot,
        entity: EntityId,
    },
}

/// What was in an entry.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub dot: Dot,
    pub field: Field,
    pub payload: Vec<u8>,
}

impl Undo {
    /// Returns whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|(_, step)| step.is_none())
    }

    /// Adds a later change, so that both are taken back together.
    pub fn join(&mut self, later: Undo) {
        for (seq, step) in later.steps {
            step.into_iter().for_each(|step| self.note(seq, step));
        }
    }

    /// Notes a step. What it replaced of this very change counts as what that had replaced.
    pub(super) fn note(&mut self, seq: u64, mut step: Step) {
        if let Step::Put { before: old, .. }
        | Step::PutAfresh { dead: old, .. }
        | Step::Cover { before: old, .. }
        | Step::Count { dead: old, .. } = &mut step
        {
            *old = std::mem::take(old).into_iter().flat_map(|old| self.older(old)).collect();
        }
        self.steps.push((seq, Some(step)));
    }

    fn older(&mut self, content: Content) -> Vec<Content> {
        let found = self.steps.binary_search_by_key(&content.dot.seq, |(seq, _)| *seq);
        let Ok(at) = found else { return vec![content] };
        match self.steps[at].1.take() {
            Some(Step::Put { dot, before, .. }) if dot == content.dot => before,
            other => {
                self.steps[at].1 = other;
                vec![content]
            }
        }
    }
}

impl Edit<'_> {
    /// Takes an earlier change back. What takes this back does that change again.
    pub fn undo(&mut self, undo: &Undo) {
        let steps = undo.steps.iter().rev().filter_map(|(_, step)| step.as_ref());
        steps.for_each(|step| self.undo_step(step));
    }

    fn undo_step(&mut self, step: &Step) {
        match step {
            Step::Put { dot, entity, before } => self.undo_put(*dot, entity, before),
            Step::PutAfresh { dot, entity, dead } => {
                self.undo_put(*dot, entity, &[]);
                self.restore_dead(entity, dead);
            }
            Step::Cover { entity, before } => self.restore(entity, before),
            Step::Count { entity, field, by, dead } => {
                self.undo_count(entity, field, *by);
                self.restore_dead(entity, dead);
            }
            Step::Delete { entity } => self.revive(entity),
            Step::Revive { dot, entity } => self.delete_again(*dot, entity),
        }
    }

    fn undo_put(&mut self, dot: Dot, entity: &EntityId, before: &[Content]) {
        let Some(at) = self.document.entry(self.writer.called_now(dot)) else { return };
        let field = self.document.field_of(at).clone();
        if field.kind() == Kind::TEXT {
            return;
        }
        let was_deleted = self.document.is_marked(at);
        // Values that lost against each other do not all come back as one writer's: the newest does.
        match before.iter().rev().find(|content| content.field == field) {
            None => self.emit_cover(entity, &field, &[at]),
            Some(content) => self.put_back(entity, content, &[at]),
        }
        self.restore(entity, before);
        if was_deleted {
            self.end_revival(entity);
        }
    }

    /// Puts something back in place of what is `covered`.
    fn put_back(&mut self, entity: &EntityId, content: &Content, covered: &[u32]) {
        let dot = self.emit_put(entity, &content.field, &content.payload, covered);
        self.writer.put_back(content.dot, dot);
    }

    /// Where a deletion was taken back, and then all that it had marked, nothing is left of what made the entity alive.
    fn end_revival(&mut self, entity: &EntityId) {
        let Some(number) = self.document.entity_number(entity) else { return };
        let entries: Vec<u32> = self.document.entries_of(number).collect();
        let own = self.writer.replica();
        let only_exists = |at: &u32| {
            self.document.stamp(*at).dot.replica == own
                && self.document.field_of(*at).kind() == Kind::LIFE
                && self.document.payload(*at) == EXISTS
                && !self.document.is_marked(*at)
        };
        if !entries.is_empty() && entries.iter().all(only_exists) {
            self.emit_cover(entity, &Field::life(), &entries);
        }
    }

    /// What was written to a dead entity was taken back: it is dead again, with what it had for who revives it.
    fn restore_dead(&mut self, entity: &EntityId, dead: &[Content]) {
        if dead.is_empty() || self.document.entity(entity).is_some() {
            return;
        }
        self.restore(entity, dead);
        if let Some(number) = self.document.entity_number(entity) {
            self.mark(entity, number);
        }
    }

    /// Puts contents back, the newest first, where nothing is that others wrote meanwhile.
    fn restore(&mut self, entity: &EntityId, before: &[Content]) {
        for content in before.iter().rev() {
            let Content { field, payload, .. } = content;
            if field.kind() == Kind::COUNTER {
                let total = int(&Value::decode(payload)).unwrap_or_default();
                self.undo_count(entity, field, total.saturating_neg());
            } else if payload != TOMB && !self.is_filled(entity, content) {
                self.put_back(entity, content, &[]);
            }
        }
    }

    fn is_filled(&self, entity: &EntityId, content: &Content) -> bool {
        let document = &*self.document;
        let field = document.field_number(content.field.name(), content.field.kind());
        let cell = document.entity_number(entity).zip(field);
        cell.is_some_and(|(entity, field)| match content.field.kind() {
            Kind::LWW | Kind::LIFE => document.entries_in(entity, field).next().is_some(),
            _ => document.entries_with(entity, field, &content.payload).next().is_some(),
        })
    }

    fn undo_count(&mut self, entity: &EntityId, field: &Field, by: i64) {
        let by = by.saturating_neg();
        // A counter that is full stays as it is.
        let Ok((target, total)) = self.counted(entity, field.name(), by) else { return };
        let nothing_left = total == 0 && !target.seen.is_empty();
        if by != 0 {
            self.emit_count(&target, (!nothing_left).then_some(total), by);
        }
    }

    /// Makes an entity alive whose entries a deletion has marked.
    fn revive(&mut self, entity: &EntityId) {
        let Some(number) = self.document.entity_number(entity) else { return };
        let has_tomb = self.document.has_tomb(number);
        let kept = self.document.entries_of(number).next().is_some();
        if kept && !has_tomb && !self.document.is_alive(number) {
            self.emit_revival(entity);
        }
    }

    /// Deletes what was revived, also where this replica took other changes back since, or made them again. What others
    /// wrote meanwhile keeps it alive.
    fn delete_again(&mut self, revival: Dot, entity: &EntityId) {
        if let Some(at) = self.document.entry(self.writer.called_now(revival)) {
            self.emit_cover(entity, &Field::life(), &[at]);
        }
        let Some(number) = self.document.entity_number(entity) else { return };
        let own = self.writer.replica();
        let is_own = |at: u32| self.document.stamp(at).dot.replica == own;
        if self.document.is_alive(number) && self.document.unmarked(number).all(is_own) {
            self.mark(entity, number);
        }
    }
}
