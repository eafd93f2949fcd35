//! Many texts looked for at once, whatever the case of their letters.
//!
//! Each text is represented by four bytes in a row of it (or all, where it is shorter), chosen so that few share them. A table of
//! bits that stays in the first-level cache says of nearly every place of a value that no text lies
//! there; nothing waits for the byte before, as it would in an automaton. What is left is compared.

use std::collections::HashMap;

/// Where in a text its bytes may begin: further on, comparing backwards would cost more.
const OFFSET_MAX: usize = 24;

/// Texts of two bytes or more, in lower case, by number.
pub(super) struct Grams {
    texts: Box<[Box<[u8]>]>,
    /// Texts of four bytes or more …
    long: Table<16>,
    /// … of three …
    three: Table<13>,
    /// … and of two.
    two: Table<13>,
}

/// Texts by some bytes in a row of theirs. The filter has two to the power of `BITS` bits.
#[derive(Default)]
struct Table<const BITS: u32> {
    /// Which hashes occur.
    filter: Box<[u64]>,
    /// Where the entries of a hash begin, and after the last, where they end.
    starts: Box<[u32]>,
    entries: Box<[Entry]>,
}

/// A text, and where in it its bytes begin.
#[derive(Clone, Copy)]
struct Entry {
    gram: u32,
    text: u32,
    offset: u32,
}

impl Grams {
    pub fn new(texts: Vec<Vec<u8>>) -> Self {
        let mut popular: HashMap<u32, u32> = HashMap::new();
        for gram in texts.iter().flat_map(|text| quads(text)) {
            *popular.entry(gram).or_default() += 1;
        }
        let (mut long, mut three, mut two) = (Vec::new(), Vec::new(), Vec::new());
        for (number, text) in (0..).zip(&texts) {
            let rarest = quads(text).zip(0..).min_by_key(|(gram, _)| popular[gram]);
            let entry = |gram, offset| Entry { gram, text: number, offset };
            match (rarest, text.as_slice()) {
                (Some((gram, offset)), _) => long.push(entry(gram, offset)),
                (None, &[a, b, c]) => three.push(entry(u32::from_le_bytes([a, b, c, 0]), 0)),
                (None, &[a, b]) => two.push(entry(u32::from_le_bytes([a, b, 0, 0]), 0)),
                (None, _) => unreachable!("texts have two bytes or more"),
            }
        }
        let texts = texts.into_iter().map(Into::into).collect();
        Self { texts, long: Table::new(long), three: Table::new(three), two: Table::new(two) }
    }

    /// Calls `found` with the number of each text that lies in `text`, once for each place. `lower` is room to work in.
    pub fn scan(&self, text: &[u8], lower: &mut Vec<u8>, mut found: impl FnMut(usize)) {
        lower.clear();
        lower.extend(text.iter().map(u8::to_ascii_lowercase));
        // So that each place has four bytes.
        lower.extend_from_slice(&[0; 3]);
        for (at, window) in lower.windows(4).enumerate() {
            let gram = u32::from_le_bytes(window.try_into().expect("a window has four bytes"));
            let (three, two) = (gram & 0xFF_FFFF, gram & 0xFFFF);
            if self.long.has(gram) | self.three.has(three) | self.two.has(two) {
                let text = &lower[..text.len()];
                self.long.compare(&self.texts, text, at, gram, &mut found);
                self.three.compare(&self.texts, text, at, three, &mut found);
                self.two.compare(&self.texts, text, at, two, &mut found);
            }
        }
    }

    /// Memory that searching touches.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + size_of::<Box<[u8]>>()).sum();
        texts + self.long.memory_bytes() + self.three.memory_bytes() + self.two.memory_bytes()
    }
}

impl<const BITS: u32> Table<BITS> {
    fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| Self::hash(entry.gram));
        let mut filter = vec![0; 1 << (BITS - 6)];
        for entry in &entries {
            let at = Self::hash(entry.gram);
            filter[at >> 6] |= 1 << (at & 63);
        }
        let start =
            |hash: usize| entries.partition_point(|entry| Self::hash(entry.gram) < hash) as u32;
        let starts = (0..=1 << BITS).map(start).collect();
        Self { filter: filter.into(), starts, entries: entries.into() }
    }

    /// Multiplicative hashing (Knuth, volume 3, section 6.4).
    fn hash(gram: u32) -> usize {
        (gram.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
    }

    /// Whether a text may have these bytes.
    fn has(&self, gram: u32) -> bool {
        let hash = Self::hash(gram);
        self.filter[hash >> 6] >> (hash & 63) & 1 == 1
    }

    /// Compares the texts that have these bytes with what lies here.
    fn compare(
        &self,
        texts: &[Box<[u8]>],
        lower: &[u8],
        at: usize,
        gram: u32,
        found: &mut impl FnMut(usize),
    ) {
        let hash = Self::hash(gram);
        let (start, end) = (self.starts[hash] as usize, self.starts[hash + 1] as usize);
        for entry in &self.entries[start..end] {
            let begin = at.wrapping_sub(entry.offset as usize);
            let text = &texts[entry.text as usize];
            if entry.gram == gram && lower.get(begin..).is_some_and(|rest| rest.starts_with(text)) {
                found(entry.text as usize);
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.filter.len() * 8 + self.starts.len() * 4 + self.entries.len() * size_of::<Entry>()
    }
}

/// Each four bytes in a row at which a text may be looked up.
fn quads(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let quad =
        |window: &[u8]| u32::from_le_bytes(window.try_into().expect("a window has four bytes"));
    text.windows(4).take(OFFSET_MAX).map(quad)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[Vec<u8>], text: &[u8]) -> BTreeSet<usize> {
        let mut numbers = BTreeSet::new();
        Grams::new(texts.to_vec()).scan(text, &mut Vec::new(), |number| _ = numbers.insert(number));
        numbers
    }

    #[test]
    fn texts_are_found_at_the_ends_and_within_each_other() {
        let texts =
            ["or", "and", "select", "elect", "selection"].map(|text| text.as_bytes().to_vec());
        assert_eq!(found(&texts, b"SELECTION or"), BTreeSet::from([0, 2, 3, 4]));
        assert_eq!(found(&texts, b"an"), BTreeSet::new());
        assert_eq!(found(&texts, b"a nd AND"), BTreeSet::from([1]));
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_is_there(
            texts in prop::collection::btree_set("[ab\\x00]{2,7}", 1..20),
            text in "[abAB\\x00]{0,40}",
        ) {
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            let lower = text.to_ascii_lowercase();
            let there = |needle: &Vec<u8>| memchr::memmem::find(lower.as_bytes(), needle).is_some();
            let expected: BTreeSet<usize> = (0..texts.len()).filter(|&at| there(&texts[at])).collect();
            prop_assert_eq!(found(&texts, text.as_bytes()), expected);
        }
    }
}
