//! Sets of small numbers.

/// A set of numbers below a bound that is set when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    pub fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)].into())
    }

    pub fn full(len: usize) -> Self {
        (0..len).fold(Self::new(len), |mut bits, at| {
            bits.insert(at);
            bits
        })
    }

    pub fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Whether it was not in it yet.
    pub fn insert_new(&mut self, at: usize) -> bool {
        let is_new = !self.contains(at);
        self.insert(at);
        is_new
    }

    /// Makes it an empty one of numbers below a bound.
    pub fn fit(&mut self, len: usize) {
        if self.0.len() == len.div_ceil(64) {
            self.clear();
        } else {
            *self = Self::new(len);
        }
    }

    pub fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub fn remove(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }

    pub fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    pub fn union(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub fn words(&self) -> &[u64] {
        &self.0
    }

    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// The first number from `at` on that is in either set; both have one bound.
    pub fn next_in_either(&self, other: &Self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut mask = u64::MAX << (at % 64);
        while let (Some(left), Some(right)) = (self.0.get(word), other.0.get(word)) {
            let bits = (left | right) & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            mask = u64::MAX;
            word += 1;
        }
        None
    }
}

/// The numbers of a word, `base` added.
pub(super) fn each(mut word: u64, base: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let at = word.trailing_zeros() as usize;
            word &= word - 1;
            base + at
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_is_the_least_from_there_on(left in prop::collection::btree_set(0..200usize, 0..20), right in prop::collection::btree_set(0..200usize, 0..20), at in 0..200usize) {
            let bits = |set: &std::collections::BTreeSet<usize>| set.iter().fold(Bits::new(200), |mut bits, &at| { bits.insert(at); bits });
            let expected = left.union(&right).copied().filter(|&number| number >= at).min();
            prop_assert_eq!(bits(&left).next_in_either(&bits(&right), at), expected);
        }
    }
}
