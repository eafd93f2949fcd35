//! The place where everything comes by: a log, what devices acknowledged, and compactions in their place.

use std::collections::BTreeSet;

use super::Report;
use crate::{Admission, Batch, BatchHash, Change, Document, Heads, Hlc, Op, ReplicaId};

/// One entry of the log.
#[derive(Clone)]
pub(super) enum Record {
    Batch(Vec<u8>),
    Compact { horizon: Hlc, retired: Vec<ReplicaId> },
}

/// The log, and two documents beside it.
#[derive(Default)]
pub(super) struct Relay {
    pub log: Vec<Record>,
    /// What a device that follows the log holds.
    pub document: Document,
    /// The same without any compaction.
    plain: Document,
    heads: Heads,
    /// What each device with a lease has acknowledged.
    pub acked: Vec<Option<usize>>,
    pub expired: Vec<ReplicaId>,
    dropped: Vec<(String, usize)>,
}

impl Relay {
    /// A relay that these many devices have a lease of.
    pub fn new(sites: usize) -> Self {
        Relay { acked: vec![Some(0); sites], ..Relay::default() }
    }

    pub fn push(&mut self, bytes: Vec<u8>, report: &mut Report) {
        let (header, batch) = Batch::decode(&bytes).expect("what was written is read");
        let admission = self.heads.admit(&header, BatchHash::of(&bytes));
        assert_eq!(admission, Admission::Next, "each batch continues its chain");
        let before = self.document.clone();
        self.document.apply(&batch);
        self.plain.apply(&batch);
        for op in batch.ops().filter(is_sweep) {
            let dead = before.entity(op.entity).is_none() && before.holds(op.entity);
            if dead && !self.document.holds(op.entity) {
                report.dropped += 1;
                self.dropped.push((op.entity.to_string(), self.log.len() + 1));
            }
        }
        self.log.push(Record::Batch(bytes));
    }

    /// Compacts at what all devices with a lease have acknowledged.
    pub fn compact(&mut self, report: &mut Report) {
        let Some(stable) = self.acked.iter().flatten().min().copied() else { return };
        let horizon = self.batches(..stable).map(|batch| last_hlc(&batch)).max();
        let Some(horizon) = horizon.filter(|horizon| *horizon > self.document.horizon()) else {
            return;
        };
        let retired = std::mem::take(&mut self.expired);
        let known = self.document.replicas().count();
        self.document.compact(horizon, &retired);
        report.compactions += 1;
        report.retired += (known - self.document.replicas().count()) as u64;
        self.log.push(Record::Compact { horizon, retired });
    }

    fn batches(
        &self,
        range: impl std::slice::SliceIndex<[Record], Output = [Record]>,
    ) -> impl Iterator<Item = Batch> {
        self.log[range].iter().filter_map(|record| match record {
            Record::Batch(bytes) => Some(Batch::decode(bytes).expect("it was read before").1),
            Record::Compact { .. } => None,
        })
    }

    /// Checks the end of a story against everything that was written.
    pub fn check(&self) {
        for (id, at) in &self.dropped {
            let alive = self.document.entity(id).is_some();
            let again = self.batches(*at..).any(|batch| puts_into(&batch, id));
            assert!(again || !alive, "{id} came back");
        }
        let mut deleted = BTreeSet::new();
        for batch in self.batches(..) {
            let ends = batch.ops().filter(|op| op.field().is_none_or(|of| of.name().is_empty()));
            deleted.extend(ends.map(|op| op.entity.to_string()));
        }
        for entity in self.plain.entities().filter(|entity| !deleted.contains(&**entity.id())) {
            let here = self.document.entity(entity.id()).expect("nobody deleted it");
            assert_eq!(here.fields(), entity.fields(), "fields of {}", entity.id());
            for field in entity.fields() {
                let (name, kind) = (field.name(), field.kind());
                assert_eq!(here.entries(name, kind), entity.entries(name, kind));
            }
        }
    }
}

fn last_hlc(batch: &Batch) -> Hlc {
    batch.header(BatchHash::NONE).stamp_last
}

fn is_sweep(op: &Op<'_>) -> bool {
    matches!(op.change, Change::Cover { field, .. } if field.name().is_empty())
}

fn puts_into(batch: &Batch, id: &str) -> bool {
    batch.ops().any(|op| **op.entity == *id && matches!(op.change, Change::Put { .. }))
}
