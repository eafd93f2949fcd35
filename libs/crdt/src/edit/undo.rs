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
    Put { dot: Dot, entity: EntityId, before: Vec<Content> },
    Cover { entity: EntityId, before: Vec<Content> },
    Count { entity: EntityId, field: Field, by: i64 },
    Delete { entity: EntityId },
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
        if let Step::Put { before, .. } | Step::Cover { before, .. } = &mut step {
            *before = std::mem::take(before).into_iter().flat_map(|old| self.older(old)).collect();
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
            Step::Cover { entity, before } => self.restore(entity, before),
            Step::Count { entity, field, by } => self.undo_count(entity, field, *by),
            Step::Delete { entity } => self.revive(entity),
        }
    }

    fn undo_put(&mut self, dot: Dot, entity: &EntityId, before: &[Content]) {
        let Some(at) = self.document.entry(dot) else { return };
        let field = self.document.field_of(at).clone();
        if field.kind() == Kind::TEXT {
            return;
        }
        // Values that lost against each other do not all come back as one writer's: the newest does.
        match before.iter().rev().find(|content| content.field == field) {
            None => self.emit_cover(entity, &field, &[at]),
            Some(content) => self.emit_put(entity, &field, &content.payload, &[at]),
        }
        self.restore(entity, before);
    }

    /// Puts contents back, the newest first, where nothing is that others wrote meanwhile.
    fn restore(&mut self, entity: &EntityId, before: &[Content]) {
        for content in before.iter().rev() {
            let Content { field, payload, .. } = content;
            if field.kind() == Kind::COUNTER {
                let total = int(&Value::decode(payload)).unwrap_or_default();
                self.undo_count(entity, field, total.saturating_neg());
            } else if payload != TOMB && !self.is_filled(entity, content) {
                self.emit_put(entity, field, payload, &[]);
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
            self.emit_put(entity, &Field::life(), EXISTS, &[]);
        }
    }
}
