//! Letting go of what can no longer matter.

use super::Document;
use crate::{Hlc, ReplicaId, context::Decided};

impl Document {
    /// Drops what is dead by deletions up to `horizon`, and what is known of `retired` replicas.
    ///
    /// `horizon` promises that whatever will ever count of stamps up to it has been applied here, and
    /// that all who still write have seen it. RFC 8 says how a session comes to such a stamp, and that
    /// all replicas do this at the same place of the log; then they apply what they wrote and nobody
    /// confirmed again. A stamp that promises too much loses edits, but never agreement between
    /// documents that are merged.
    pub fn compact(&mut self, horizon: Hlc, retired: &[ReplicaId]) {
        let horizon = horizon.max(self.horizon);
        let entities: Vec<u32> = self.order.values().copied().collect();
        let dead: Vec<u32> =
            entities.into_iter().flat_map(|entity| self.dead_entries(entity, horizon)).collect();
        dead.into_iter().for_each(|at| self.remove(at));
        self.horizon = horizon;
        self.latest = self.latest.max(horizon);
        self.retire(retired);
        self.drop_spent_deletions();
    }

    fn dead_entries(&self, entity: u32, horizon: Hlc) -> Vec<u32> {
        let old_tomb = |at: u32| self.is_tomb(at) && self.entries.get(at).hlc <= horizon;
        if self.entities.get(entity).tombs > 0 && self.entries_of(entity).any(old_tomb) {
            let young_tomb = |at: u32| self.is_tomb(at) && !old_tomb(at);
            return self.entries_of(entity).filter(|at| !young_tomb(*at)).collect();
        }
        let deletion = self.entities.get(entity).deletion.as_deref();
        let settled = deletion.is_some_and(|deletion| deletion.stamp.hlc <= horizon);
        if settled && !self.entries_of(entity).any(|at| !self.is_marked(at)) {
            self.entries_of(entity).collect()
        } else {
            Vec::new()
        }
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
}
