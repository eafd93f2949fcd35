//! How far the chains of others were read, and whose they are.

use crate::{
    Admission, BatchHash, Head, Header, ReplicaId,
    session::{DeviceId, event::Suspicion},
    sorted::Map,
};

/// Chains that are watched, at most; of more replicas the chains are believed.
const CHAINS_MAX: usize = 64 << 10;

/// The chains of those whose batches were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts {
    chains: Map<ReplicaId, (Head, DeviceId)>,
}

impl Receipts {
    /// Takes in a batch, and says what is wrong with it.
    pub fn admit(
        &mut self,
        header: &Header,
        hash: BatchHash,
        device: DeviceId,
    ) -> Option<Suspicion> {
        let wrong = self.judge(header, hash, device);
        let next = Head { seq: header.last(), hash };
        let known = self.chains.get(&header.replica);
        let moves = known.is_none_or(|(head, _)| head.seq < next.seq);
        if wrong != Some(Suspicion::Device)
            && moves
            && (known.is_some() || self.chains.len() < CHAINS_MAX)
        {
            self.chains.insert(header.replica, (next, device));
        }
        wrong
    }

    /// A chain that begins here is one whose beginning lies in a snapshot.
    fn judge(&self, header: &Header, hash: BatchHash, device: DeviceId) -> Option<Suspicion> {
        let (head, owner) = self.chains.get(&header.replica)?;
        if *owner != device {
            return Some(Suspicion::Device);
        }
        match head.judge(header, hash) {
            Admission::Next | Admission::Duplicate | Admission::Past => None,
            Admission::Gap(_) => Some(Suspicion::Gap),
            Admission::Forked => Some(Suspicion::Fork),
        }
    }

    /// Forgets the chains, which go on behind a snapshot.
    pub fn clear(&mut self) {
        self.chains.clear();
    }

    pub fn remove(&mut self, replicas: &[ReplicaId]) {
        self.chains.retain(|replica, _| !replicas.contains(replica));
    }

    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, Head, DeviceId)> + Clone {
        self.chains.iter().map(|(replica, (head, device))| (*replica, *head, *device))
    }

    pub fn set(&mut self, replica: ReplicaId, head: Head, device: DeviceId) {
        self.chains.insert(replica, (head, device));
    }
}
