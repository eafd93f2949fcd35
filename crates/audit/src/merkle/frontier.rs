//! The right edge of a growing tree: all that is needed to add leaves and tell the root.

use super::Hash;

/// A tree that only grows, kept as the roots of its complete subtrees, largest first.
///
/// ```
/// use selvedge_audit::merkle::{Frontier, Hash};
///
/// let mut tree = Frontier::new();
/// tree.append(Hash::of_leaf(b"a"));
/// tree.append(Hash::of_leaf(b"b"));
/// assert_eq!(tree.root(), Hash::of_node(Hash::of_leaf(b"a"), Hash::of_leaf(b"b")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` leaves with these complete subtrees; `None` if their number is another.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a set bit of the size stands for a peak");
            node = Hash::of_node(left, node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root of the tree as it is.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else { return Hash::of_nothing() };
        peaks.fold(last, |right, left| Hash::of_node(left, right))
    }
}
