//! Which bytes a value consists of.

use std::fmt;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Returns the bytes that occur in `bytes`.
    pub const fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.len() > 128 {
            return Self::from_many(bytes);
        }
        // Four sets in turn: a text stays within few words, and each word waits for the last write to it.
        let mut sets = [Self::EMPTY; 4];
        let mut rest = bytes;
        while let [a, b, c, d, behind @ ..] = rest {
            sets[0].insert(*a);
            sets[1].insert(*b);
            sets[2].insert(*c);
            sets[3].insert(*d);
            rest = behind;
        }
        while let [byte, behind @ ..] = rest {
            sets[0].insert(*byte);
            rest = behind;
        }
        let [a, b, c, d] = sets;
        a.union(b).union(c.union(d))
    }

    /// Marks each byte in a table first; it takes longer to read that than to mark a few.
    #[inline(never)]
    const fn from_many(bytes: &[u8]) -> Self {
        let mut seen = [0_u8; 256];
        let mut rest = bytes;
        while let [byte, behind @ ..] = rest {
            seen[*byte as usize] = 1;
            rest = behind;
        }
        let mut set = Self::EMPTY;
        let (mut marks, mut at) = (seen.as_chunks::<8>().0, 0);
        while let [eight, behind @ ..] = marks {
            // The product gathers the lowest bits of eight bytes in its highest byte.
            let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            set.0[at / 64] |= gathered << (at % 64);
            (marks, at) = (behind, at + 8);
        }
        set
    }

    /// Returns the bytes from `first` to `last`, both included.
    pub const fn range(first: u8, last: u8) -> Self {
        let mut set = Self::EMPTY;
        let mut byte = first;
        while byte < last {
            set.insert(byte);
            byte += 1;
        }
        if first <= last {
            set.insert(last);
        }
        set
    }

    /// Adds a byte.
    pub const fn insert(&mut self, byte: u8) {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
    }

    /// Takes the least byte out.
    pub const fn pop(&mut self) -> Option<u8> {
        let mut word = 0;
        while word < 4 {
            if self.0[word] != 0 {
                let bit = self.0[word].trailing_zeros();
                self.0[word] &= self.0[word] - 1;
                return Some((word as u32 * 64 + bit) as u8);
            }
            word += 1;
        }
        None
    }

    /// Returns whether `byte` is in it.
    pub const fn contains(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    /// Returns its bits, those of the lowest bytes first.
    pub const fn words(&self) -> &[u64; 4] {
        &self.0
    }

    /// Returns whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }

    /// Returns whether the two have a byte in common.
    pub const fn intersects(&self, other: &Self) -> bool {
        !self.intersection(*other).is_empty()
    }

    /// Returns whether everything in this one is in `other`.
    pub const fn is_subset_of(&self, other: &Self) -> bool {
        self.intersection(other.complement()).is_empty()
    }

    /// Returns what is in one of the two.
    pub const fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// Returns what is in both.
    pub const fn intersection(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
    }

    /// Returns what is not in it.
    pub const fn complement(self) -> Self {
        let [a, b, c, d] = self.0;
        Self([!a, !b, !c, !d])
    }

    /// Returns what is in it, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let mut rest = *self;
        std::iter::from_fn(move || rest.pop())
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        let mut set = Self::EMPTY;
        bytes.into_iter().for_each(|byte| set.insert(byte));
        set
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = self.iter().collect();
        write!(f, "ByteSet({})", bytes.escape_ascii())
    }
}
