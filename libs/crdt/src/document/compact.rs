//! Letting go of what can no longer matter.

use super::Document;
use crate::{Hlc, ReplicaId, context::Decided};

impl Document {
    /// Raises the horizon, and forgets what is known of `retired` replicas. What is dead up to there is then dropped by [`Edit::sweep`](crate::Edit::sweep).
    ///
    /// `horizon` promises that whatever will ever count of stamps up to it has been applied here, and
    /// that all who still write have seen it. RFC 8 says how a session comes to such a stamp, and that
    /// all replicas do this at the same place of the log; then they apply what they wrote and nobody
    /// confirmed again. A stamp that promises too much loses edits, but never agreement between
    /// documents that are merged.
    pub fn compact(&mut self, horizon: Hlc, retired: &[ReplicaId]) {
        self.horizon = self.horizon.max(horizon);
        self.latest = self.latest.max(horizon);
        self.retire(retired);
        self.drop_marks();
    }

    /// Who wrote after the horizon is still known; of whom nothing was received since he retired, what
    /// covers his last entries says no more than the horizon.
    fn retire(&mut self, retired: &[ReplicaId]) {
        for at in 0..self.replicas.len() {
            let decided = &mut self.decided[at];
            let named = retired.contains(self.replicas.get(at as u32));
            if decided.latest == Hlc::ZERO || named && decided.is_settled(self.horizon) {
                *decided = Decided::default();
            }
        }
    }

    /// Drops marks that mean nothing any more, and entities of which nothing else is left.
    pub(super) fn drop_marks(&mut self) {
        let entities: Vec<u32> = self.order.iter().copied().collect();
        for at in entities {
            let Some(mut deletion) = self.entities.get_mut(at).deletion.take() else { continue };
            deletion.retain(self.meaning(at));
            self.entities.get_mut(at).deletion = (!deletion.is_empty()).then_some(deletion);
            self.drop_if_bare(at);
        }
    }

    /// The entities that are dead by deletions up to the horizon, each with its entries that can go.
    pub(crate) fn dead(&self) -> Vec<(u32, Vec<u32>)> {
        let entities = self.order.iter().map(|entity| (*entity, self.dead_entries(*entity)));
        entities.filter(|(_, entries)| !entries.is_empty()).collect()
    }

    fn dead_entries(&self, entity: u32) -> Vec<u32> {
        let old_tomb = |at: u32| self.is_tomb(at) && self.entries.get(at).hlc <= self.horizon;
        if self.has_tomb(entity) && self.entries_of(entity).any(old_tomb) {
            let young_tomb = |at: u32| self.is_tomb(at) && !old_tomb(at);
            return self.entries_of(entity).filter(|at| !young_tomb(*at)).collect();
        }
        let deleted = self.marks(entity).map(|mark| mark.stamp.hlc).max();
        let settled = deleted.is_some_and(|deleted| deleted <= self.horizon);
        if settled && !self.has_tomb(entity) && !self.is_alive(entity) {
            self.entries_of(entity).collect()
        } else {
            Vec::new()
        }
    }
}
