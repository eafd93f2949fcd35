//! Which operations are decided: seen, or covered by one that was.

use std::cmp::Ordering::Less;

use crate::{
    Hlc,
    sorted::{Place, Sorted},
};

/// What is decided of one replica's operations: ranges apart from each other, by their first sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    ranges: Sorted<(u64, u64)>,
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
        self.ranges.before(self.behind(seq)).is_some_and(|(_, last)| seq <= *last)
    }

    /// The place behind the ranges that begin at a sequence or before.
    fn behind(&self, seq: u64) -> Place {
        let place = self.ranges.find(&|(first, _)| first.cmp(&seq).then(Less));
        place.unwrap_or_else(|place| place)
    }

    /// Ranges, ascending, with gaps between them.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().copied()
    }

    /// How many ranges there are.
    pub fn ranges_len(&self) -> usize {
        self.ranges.len()
    }

    pub fn insert(&mut self, first: u64, last: u64) {
        // Most operations come in the order in which they were written.
        if let Some((begin, end)) = self.ranges.last_mut()
            && (*begin..=end.saturating_add(1)).contains(&first)
        {
            *end = last.max(*end);
            return;
        }
        let mut joined = (first, last);
        if let Some((before, end)) = self.ranges.before(self.behind(first)) {
            if *end >= last {
                return;
            }
            if end.saturating_add(1) >= first {
                joined.0 = *before;
            }
        }
        loop {
            let place = self.first_from(joined.0);
            match self.ranges.get(place) {
                Some((next, end)) if *next <= joined.1.saturating_add(1) => {
                    joined.1 = joined.1.max(*end);
                    self.ranges.remove(place);
                }
                _ => {
                    self.ranges.insert(place, joined);
                    return;
                }
            }
        }
    }

    /// The place of the first range that begins at a sequence or behind it.
    fn first_from(&self, seq: u64) -> Place {
        let place = self.ranges.find(&|(first, _)| first.cmp(&seq));
        place.unwrap_or_else(|place| place)
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
