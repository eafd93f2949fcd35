//! What was written before: operations in their order, also those whose values lost or were replaced.

use crate::{
    Batch, Change, Dot, EntityId, Field, Hlc, Kind, Op, Stamp,
    sorted::{Map, Sorted},
};

/// Operations beside a document, for who asks what was there, and who wrote it.
///
/// It holds whole batches; what of them was asked to be forgotten is gone when all of a batch is.
#[derive(Clone, Debug, Default)]
pub struct History {
    batches: Map<u64, Batch>,
    next: u64,
    known: Sorted<Dot>,
    by_entity: Map<EntityId, Map<Stamp, (u64, usize)>>,
}

impl History {
    /// Takes in a batch. What was taken in before is there once.
    pub fn record(&mut self, batch: &Batch) {
        let number = self.next;
        let before = self.known.len();
        for (at, op) in batch.ops().enumerate() {
            if self.known.add(op.dot) {
                let of_entity = self.by_entity.get_or_insert(op.entity.clone(), Map::new());
                of_entity.insert(op.stamp(), (number, at));
            }
        }
        if self.known.len() > before {
            self.batches.insert(number, batch.clone());
            self.next += 1;
        }
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// All operations on an entity, the oldest first; the stamp of each says when, and by whom.
    pub fn of_entity(&self, id: &str) -> impl DoubleEndedIterator<Item = Op<'_>> {
        let places = self.by_entity.get(id).into_iter().flat_map(Map::values);
        places.filter_map(|(number, at)| Some(self.batches.get(number)?.op(*at)))
    }

    /// The operations on a field, the oldest first.
    pub fn of_field(
        &self,
        id: &str,
        name: &str,
        kind: Kind,
    ) -> impl DoubleEndedIterator<Item = Op<'_>> {
        let is_it = move |field: &Field| field.name() == name && field.kind() == kind;
        self.of_entity(id).filter(move |op| op.field().is_some_and(is_it))
    }

    /// The operation that another one names.
    pub fn op(&self, entity: &str, dot: Dot) -> Option<Op<'_>> {
        self.known.contains(&dot).then(|| self.of_entity(entity).find(|op| op.dot == dot))?
    }

    /// What an operation replaced, as far as it is known.
    pub fn replaced_by<'a>(&'a self, op: &Op<'a>) -> impl Iterator<Item = Op<'a>> {
        let covers = match op.change {
            Change::Put { covers, .. } | Change::Cover { covers, .. } => covers,
            Change::Delete { .. } => &[],
        };
        let is_covered = move |other: &Op<'a>| covers.iter().any(|range| range.contains(other.dot));
        self.of_entity(op.entity).filter(is_covered)
    }

    /// Forgets operations up to `horizon`.
    pub fn trim(&mut self, horizon: Hlc) {
        let Self { batches, known, by_entity, .. } = self;
        let mut used = Sorted::new();
        by_entity.retain(|_, ops| {
            ops.retain(|stamp, (number, _)| {
                let kept = stamp.hlc > horizon;
                if kept {
                    used.add(*number);
                } else {
                    known.take(&stamp.dot);
                }
                kept
            });
            !ops.is_empty()
        });
        batches.retain(|number, _| used.contains(number));
    }
}
