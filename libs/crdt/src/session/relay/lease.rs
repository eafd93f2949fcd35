//! Who is expected to come back, what all of these have seen, and what may be forgotten therefore.

use super::{RelayDocument, Session, Terms, Vetted, WRITE};
use crate::{
    Hlc, ReplicaId,
    session::{DeviceId, Record, RecordHash},
};

/// Replicas that one record retires, at most.
const RETIRED_MAX: usize = 16 << 10;

/// A device that writes, and is expected to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// It holds everything before this offset, and what it wrote before it saw that is in the log.
    pub next: u64,
    /// When it said so, or came.
    pub said_ms: u64,
}

impl Lease {
    fn lives(&self, terms: &Terms, now_ms: u64) -> bool {
        now_ms < self.said_ms.saturating_add(terms.lease_ms)
    }
}

impl RelayDocument {
    /// A device came, and goes on at `next`. It may have read more than it said to have seen, because what it wrote before
    /// is not in the log yet: by coming it has not seen more. Where as many are known as may be, it is not waited for: what is
    /// compacted meanwhile has it begin anew.
    pub(super) fn renew(&mut self, device: DeviceId, next: u64, (terms, now_ms): (&Terms, u64)) {
        if !self.has_room_for(&device, terms) {
            self.leases.retain(|_, lease| lease.lives(terms, now_ms));
            if !self.has_room_for(&device, terms) {
                return;
            }
        }
        let before = self.leases.get(&device).map_or(next, |lease| lease.next);
        self.leases.insert(device, Lease { next: next.min(before), said_ms: now_ms });
    }

    fn has_room_for(&self, device: &DeviceId, terms: &Terms) -> bool {
        self.leases.len() < terms.devices_max || self.leases.contains_key(device)
    }

    /// Takes notice that a device holds everything before `next`.
    pub fn saw(&mut self, session: &Session, next: u64, now_ms: u64) {
        let next = next.min(self.durable);
        if let Some(lease) = self.leases.get_mut(&session.device).filter(|_| session.may(WRITE)) {
            lease.next = lease.next.max(next);
            lease.said_ms = lease.said_ms.max(now_ms);
        }
    }

    /// Whether a device is expected to come back.
    pub fn is_leased(&self, device: &DeviceId, (terms, now_ms): (&Terms, u64)) -> bool {
        self.leases.get(device).is_some_and(|lease| lease.lives(terms, now_ms))
    }

    /// Compacts if enough has become stable: what every device has seen that is expected back. Returns the record
    /// for the log, which goes to the tail.
    pub fn compact(&mut self, terms: &Terms, now_ms: u64) -> Option<Vec<u8>> {
        // A clock that was ahead for a while makes no lease longer.
        self.leases.values_mut().for_each(|lease| lease.said_ms = lease.said_ms.min(now_ms));
        let is_known = self.lost_ms == 0 || now_ms >= self.lost_ms.saturating_add(terms.lease_ms);
        let live = self.leases.values().filter(|lease| lease.lives(terms, now_ms));
        let seen = live.map(|lease| lease.next).min().filter(|_| is_known)?;
        let mark = self.fold.marks.at(seen)?;
        let horizon = mark.stamp.min(Hlc::from_ms(now_ms));
        let before = self.fold.compacted;
        let bytes = mark.bytes.saturating_sub(self.fold.marks.from(before.end).bytes);
        let enough = mark.offset >= before.end.saturating_add(terms.compact_records)
            || bytes >= terms.compact_bytes;
        if horizon <= before.horizon || !enough {
            return None;
        }
        let retired = self.retiring((mark.offset, horizon), (terms, now_ms));
        self.leases.retain(|_, lease| lease.lives(terms, now_ms));
        let record = Record::Compact { horizon, retired };
        let bytes = record.to_bytes();
        self.take(&Vetted { bytes: &bytes, hash: RecordHash::of(&bytes), record, batch: None });
        self.fold.compacted.stable = mark.offset;
        Some(bytes)
    }

    /// Replicas whose devices are not expected back, and of which everything is before the horizon.
    fn retiring(
        &self,
        (stable, horizon): (u64, Hlc),
        (terms, now_ms): (&Terms, u64),
    ) -> Vec<ReplicaId> {
        let chains = self.fold.chains.iter().filter(|(_, chain)| {
            !chain.is_retired
                && chain.offset < stable
                && chain.stamp <= horizon
                && !self.is_leased(&chain.device, (terms, now_ms))
        });
        chains.map(|(replica, _)| *replica).take(RETIRED_MAX).collect()
    }
}
