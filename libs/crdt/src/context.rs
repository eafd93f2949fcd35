//! Which operations are decided: seen, or covered by one that was.

use std::collections::BTreeMap;

use crate::Hlc;

/// What is decided of one replica's operations: ranges apart from each other, by their first sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    ranges: BTreeMap<u64, u64>,
    /// The greatest stamp of an operation of this replica that was applied.
    pub latest: Hlc,
}

impl Decided {
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns whether all that was received of the replica lies before the horizon.
    pub fn is_settled(&self, horizon: Hlc) -> bool {
        Hlc::ZERO < self.latest && self.latest <= horizon
    }

    pub fn contains(&self, seq: u64) -> bool {
        self.ranges.range(..=seq).next_back().is_some_and(|(_, last)| seq <= *last)
    }

    /// Ranges, ascending, with gaps between them.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    pub fn insert(&mut self, first: u64, last: u64) {
        // Most operations come in the order in which they were written.
        if let Some(mut tail) = self.ranges.last_entry()
            && (*tail.key()..=tail.get().saturating_add(1)).contains(&first)
        {
            let end = tail.get_mut();
            *end = last.max(*end);
            return;
        }
        let mut joined = (first, last);
        if let Some((before, end)) = self.ranges.range(..=first).next_back() {
            if *end >= last {
                return;
            }
            if end.saturating_add(1) >= first {
                joined.0 = *before;
            }
        }
        while let Some((next, end)) = self.ranges.range(joined.0..).next() {
            if *next > joined.1.saturating_add(1) {
                break;
            }
            let (next, end) = (*next, *end);
            joined.1 = joined.1.max(end);
            self.ranges.remove(&next);
        }
        self.ranges.insert(joined.0, joined.1);
    }

    pub fn join(&mut self, other: &Decided) {
        other.ranges().for_each(|(first, last)| self.insert(first, last));
        self.latest = self.latest.max(other.latest);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(inserted: &[(u64, u64)], expected: &[(u64, u64)]) {
        let mut decided = Decided::default();
        inserted.iter().for_each(|(first, last)| decided.insert(*first, *last));
        assert_eq!(decided.ranges().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn neighbours_join() {
        check(&[(1, 1), (2, 2), (3, 3)], &[(1, 3)]);
        check(&[(3, 3), (1, 1), (2, 2)], &[(1, 3)]);
        check(&[(5, 9), (1, 3), (2, 7)], &[(1, 9)]);
        check(&[(5, 9), (6, 7)], &[(5, 9)]);
        check(&[(1, 1), (3, 3), (5, 5), (1, 9)], &[(1, 9)]);
        check(&[(7, u64::MAX), (1, u64::MAX)], &[(1, u64::MAX)]);
    }

    proptest! {
        #[test]
        fn ranges_are_a_set(
            inserted in prop::collection::vec((1..30u64, 0..5u64), 0..20),
        ) {
            let (mut decided, mut set) = (Decided::default(), BTreeSet::new());
            for (first, more) in inserted {
                decided.insert(first, first + more);
                set.extend(first..=first + more);
            }
            for seq in 0..40 {
                prop_assert_eq!(decided.contains(seq), set.contains(&seq));
            }
            let ranges: Vec<_> = decided.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
