//! Hash chains: each batch of a replica names the one before, so that a cloned replica is noticed.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Header, ReplicaId, sorted::Map};

/// The first half of SHA-256 over a batch as it was pushed. It tells accidents apart; who holds a
/// replica's key can fork it anyhow, and signatures show who did.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchHash(pub [u8; 16]);

impl BatchHash {
    /// What stands before the first batch.
    pub const NONE: BatchHash = BatchHash([0; 16]);

    /// The hash of a batch, sealed or plain.
    pub fn of(pushed: &[u8]) -> Self {
        let digest = Sha256::digest(pushed);
        let half = digest.first_chunk().expect("SHA-256 has 32 bytes");
        BatchHash(*half)
    }
}

impl fmt::Debug for BatchHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchHash(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Where a replica's chain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its last sequence.
    pub seq: u64,
    /// The hash of its last batch.
    pub hash: BatchHash,
}

/// What a batch is to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It continues the chain.
    Next,
    /// It is the last one again.
    Duplicate,
    /// It lies before the last one; whoever kept that place can compare the hash there.
    Past,
    /// Batches are missing; the next begins with this sequence.
    Gap(u64),
    /// Two that write as one: this is not what the replica said before.
    Forked,
}

impl Head {
    /// Says what a batch with this header and this hash is to the chain that ends here.
    pub fn judge(&self, header: &Header, hash: BatchHash) -> Admission {
        let next = self.seq.saturating_add(1);
        if header.first > next {
            Admission::Gap(next)
        } else if header.first == next {
            if header.prev == self.hash { Admission::Next } else { Admission::Forked }
        } else if header.last() < self.seq {
            Admission::Past
        } else if header.last() == self.seq && hash == self.hash {
            Admission::Duplicate
        } else {
            Admission::Forked
        }
    }
}

/// The chains of a document's replicas: what was received of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    heads: Map<ReplicaId, Head>,
}

impl Heads {
    /// Where the chain of `replica` ends.
    pub fn get(&self, replica: ReplicaId) -> Head {
        self.heads.get(&replica).copied().unwrap_or_default()
    }

    /// Judges a batch, and takes it if it is the next.
    pub fn admit(&mut self, header: &Header, hash: BatchHash) -> Admission {
        let admission = self.get(header.replica).judge(header, hash);
        if admission == Admission::Next {
            self.set(header.replica, Head { seq: header.last(), hash });
        }
        admission
    }

    /// Takes over a head that was kept.
    pub fn set(&mut self, replica: ReplicaId, head: Head) {
        self.heads.insert(replica, head);
    }

    /// Forgets a replica that retired.
    pub fn remove(&mut self, replica: ReplicaId) {
        self.heads.remove(&replica);
    }

    /// All heads, by replica.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, Head)> {
        self.heads.iter().map(|(replica, head)| (*replica, *head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hlc;

    fn hash(byte: u8) -> BatchHash {
        BatchHash([byte; 16])
    }

    fn header(first: u64, count: u32, prev: BatchHash) -> Header {
        let (replica, stamp) = (ReplicaId([1; 16]), Hlc(1));
        Header { replica, prev, first, count, stamp_first: stamp, stamp_last: stamp }
    }

    #[track_caller]
    fn check(first: u64, count: u32, (prev, own): (u8, u8), expected: Admission) {
        let mut heads = Heads::default();
        heads.set(ReplicaId([1; 16]), Head { seq: 5, hash: hash(5) });
        let admission = heads.admit(&header(first, count, hash(prev)), hash(own));
        assert_eq!(admission, expected);
        let next = Head { seq: first + u64::from(count) - 1, hash: hash(own) };
        let moved = heads.get(ReplicaId([1; 16])) == next;
        assert_eq!(moved, matches!(admission, Admission::Next | Admission::Duplicate));
    }

    #[test]
    fn batches_continue_a_chain_or_do_not() {
        check(6, 2, (5, 7), Admission::Next);
        check(6, 2, (4, 7), Admission::Forked);
        check(7, 1, (5, 7), Admission::Gap(6));
        check(4, 2, (3, 5), Admission::Duplicate);
        check(4, 2, (3, 9), Admission::Forked);
        check(5, 2, (4, 7), Admission::Forked);
        check(2, 2, (1, 3), Admission::Past);
    }

    #[test]
    fn a_chain_begins_with_zeros() {
        let head = Head::default();
        assert_eq!(head.judge(&header(1, 1, BatchHash::NONE), hash(1)), Admission::Next);
        assert_eq!(head.judge(&header(1, 1, hash(9)), hash(1)), Admission::Forked);
    }
}
