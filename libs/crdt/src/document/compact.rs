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

    /// The entities that are dead by deletions up to the horizon, each with its entries that can go.
    pub(crate) fn dead(&self) -> Vec<(u32, Vec<u32>)> {
        let entities = self.order.values().map(|entity| (*entity, self.dead_entries(*entity)));
        entities.filter(|(_, entries)| !entries.is_empty()).collect()
    }

    fn dead_entries(&self, entity: u32) -> Vec<u32> {
        let old_tomb = |at: u32| self.is_tomb(at) && self.entries.get(at).hlc <= self.horizon;
        if self.has_tomb(entity) && self.entries_of(entity).any(old_tomb) {
            let young_tomb = |at: u32| self.is_tomb(at) && !old_tomb(at);
            return self.entries_of(entity).filter(|at| !young_tomb(*at)).collect();
        }
        let deletion = self.entities.get(entity).deletion.as_deref();
        let settled = deletion.is_some_and(|deletion| deletion.stamp.hlc <= self.horizon);
        if settled && !self.has_tomb(entity) && !self.is_alive(entity) {
            self.entries_of(entity).collect()
        } else {
            Vec::new()
        }
    }
}
