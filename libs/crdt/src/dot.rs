//! Who wrote what as his how-manieth: replicas, dots, and ranges of them.

use std::fmt;

use crate::{Hlc, sorted::sort, wire::Malformed};

/// Ranges that one operation covers, at most.
pub const RANGES_MAX: usize = 4096;

/// A replica: 128 random bits, drawn anew for each copy of a document that is written to.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub [u8; 16]);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplicaId({self})")
    }
}

/// The name of an operation: its replica, and its place among that replica's operations, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who wrote it.
    pub replica: ReplicaId,
    /// As which of its operations.
    pub seq: u64,
}

/// When an operation was written and which it is; what decides between changes that did not know of
/// each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When, by its author's clock.
    pub hlc: Hlc,
    /// Which operation.
    pub dot: Dot,
}

/// Operations of one replica, from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DotRange {
    /// Whose they are.
    pub replica: ReplicaId,
    /// The first sequence.
    pub first: u64,
    /// The last sequence.
    pub last: u64,
}

impl DotRange {
    /// One operation.
    pub fn one(dot: Dot) -> Self {
        DotRange { replica: dot.replica, first: dot.seq, last: dot.seq }
    }

    /// Returns whether `dot` is one of these.
    pub fn contains(&self, dot: Dot) -> bool {
        self.replica == dot.replica && (self.first..=self.last).contains(&dot.seq)
    }
}

/// The ranges that these dots make, in order, and as few as possible.
pub(crate) fn ranges(mut dots: Vec<Dot>) -> Vec<DotRange> {
    if let [dot] = dots[..] {
        return vec![DotRange::one(dot)];
    }
    sort(&mut dots, &Ord::cmp);
    let mut ranges: Vec<DotRange> = Vec::new();
    for dot in dots {
        match ranges.last_mut() {
            Some(range) if range.replica == dot.replica && dot.seq <= range.last + 1 => {
                range.last = dot.seq;
            }
            _ => ranges.push(DotRange::one(dot)),
        }
    }
    ranges
}

/// Checks that `own` may cover these: in order, apart, and of its replica only what came before.
pub(crate) fn check_covers(own: Dot, covers: &[DotRange]) -> Result<(), Malformed> {
    let in_order = covers.windows(2).all(|pair| {
        let [a, b] = pair else { return true };
        a.replica < b.replica || a.replica == b.replica && a.last.saturating_add(1) < b.first
    });
    let seen = covers.iter().all(|range| {
        let past = range.replica != own.replica || range.last < own.seq;
        past && 1 <= range.first && range.first <= range.last
    });
    if covers.len() > RANGES_MAX {
        Err(Malformed::TooMuch("ranges that an operation covers"))
    } else if in_order && seen {
        Ok(())
    } else {
        Err(Malformed::Invalid("an operation covers what it cannot have seen"))
    }
}

/// Checks the marks of a delete: in order, one for each replica, and only what came before.
pub(crate) fn check_marks(own: Dot, marks: &[DotRange]) -> Result<(), Malformed> {
    let in_order = marks.windows(2).all(|pair| pair[0].replica < pair[1].replica);
    let seen = marks.iter().all(|mark| {
        let past = mark.replica != own.replica || mark.last < own.seq;
        past && 1 <= mark.first && mark.first == mark.last
    });
    if marks.len() > RANGES_MAX {
        Err(Malformed::TooMuch("marks of a delete"))
    } else if in_order && seen && !marks.is_empty() {
        Ok(())
    } else {
        Err(Malformed::Invalid("a delete marks what it cannot have seen"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(replica: u8, seq: u64) -> Dot {
        Dot { replica: ReplicaId([replica; 16]), seq }
    }

    fn range(replica: u8, first: u64, last: u64) -> DotRange {
        DotRange { replica: ReplicaId([replica; 16]), first, last }
    }

    #[test]
    fn neighbours_are_one_range() {
        let dots = vec![dot(2, 1), dot(1, 4), dot(1, 2), dot(1, 3), dot(1, 9), dot(1, 3)];
        assert_eq!(ranges(dots), [range(1, 2, 4), range(1, 9, 9), range(2, 1, 1)]);
    }

    #[track_caller]
    fn check(covers: &[DotRange], right: bool) {
        assert_eq!(check_covers(dot(1, 5), covers).is_ok(), right, "{covers:?}");
    }

    #[test]
    fn an_operation_covers_what_came_before() {
        check(&[], true);
        check(&[range(1, 1, 4), range(2, 7, 9)], true);
        check(&[range(1, 1, 5)], false);
        check(&[range(2, 0, 1)], false);
        check(&[range(2, 3, 2)], false);
        check(&[range(2, 1, 2), range(2, 3, 3)], false);
        check(&[range(2, 1, 1), range(1, 1, 1)], false);
        check(&[range(2, 1, u64::MAX), range(2, 1, 1)], false);
    }
}
