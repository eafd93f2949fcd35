//! Many texts looked for at once, whatever the case of their letters.
//!
//! Each text is represented by four bytes in a row of it (or all, where it is shorter), chosen so that few share them. A table of
//! bits that stays in the first-level cache says of nearly every place of a value that no text lies
//! there; nothing waits for the byte before, as it would in an automaton. What is left is compared.

use std::collections::HashMap;

/// Where in a text its bytes may begin: further on, comparing backwards would cost more.
const OFFSET_MAX: usize = 24;

/// Bits of the filter, as an exponent of two: sixteen kilobytes.
const FILTER_BITS: u32 = 17;

/// Texts of two bytes or more, in lower case, by number.
pub(super) struct Grams {
    texts: Box<[Box<[u8]>]>,
    /// Which hashes of three bytes occur where a text has the bytes by which it is looked up.
    filter: Box<[u64; 1 << (FILTER_BITS - 6)]>,
    /// Texts of four bytes or more …
    long: Table<16>,
    /// … of three …
    three: Table<13>,
    /// … and of two.
    two: Table<13>,
}

/// Texts by some bytes in a row of theirs. There are two to the power of `BITS` hashes.
#[derive(Default)]
struct Table<const BITS: u32> {
    /// Which hashes have entries: what is in the first-level cache says no before `starts` is touched.
    taken: Box<[u64]>,
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
            let quads = quads(text).zip(0..);
            let rarest = quads.min_by_key(|(gram, _)| (frequency(*gram), popular[gram]));
            let entry = |gram, offset| Entry { gram, text: number, offset };
            match (rarest, text.as_slice()) {
                (Some((gram, offset)), _) => long.push(entry(gram, offset)),
                (None, &[a, b, c]) => {
                    three.push(entry(fold(u32::from_le_bytes([a, b, c, 0])) & THREE, 0))
                }
                (None, &[a, b]) => two.push(entry(fold(u32::from_le_bytes([a, b, 0, 0])) & TWO, 0)),
                (None, _) => unreachable!("texts have two bytes or more"),
            }
        }
        let filter = filter(&long, &three, &two);
        let texts = texts.into_iter().map(Into::into).collect();
        Self {
            texts,
            filter,
            long: Table::new(long),
            three: Table::new(three),
            two: Table::new(two),
        }
    }

    /// Calls `found` with the number of each text that lies in `text`, once for each place.
    pub fn scan(&self, text: &[u8], mut found: impl FnMut(usize)) {
        for (at, window) in text.windows(4).enumerate() {
            let gram = u32::from_le_bytes(window.try_into().expect("a window has four bytes"));
            self.look(text, at, fold(gram), &mut found);
        }
        for at in text.len().saturating_sub(3)..text.len() {
            let mut gram = [0; 4];
            gram[..text.len() - at].copy_from_slice(&text[at..]);
            self.look(text, at, fold(u32::from_le_bytes(gram)), &mut found);
        }
    }

    #[inline]
    fn look(&self, text: &[u8], at: usize, gram: u32, found: &mut impl FnMut(usize)) {
        let hash = hash(gram & THREE, FILTER_BITS);
        if self.filter[hash >> 6] >> (hash & 63) & 1 == 1 {
            self.long.compare(&self.texts, text, at, gram, found);
            self.three.compare(&self.texts, text, at, gram & THREE, found);
            self.two.compare(&self.texts, text, at, gram & TWO, found);
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
        entries.sort_by_key(|entry| hash(entry.gram, BITS));
        let start = |at: usize| entries.partition_point(|entry| hash(entry.gram, BITS) < at) as u32;
        let starts = (0..=1 << BITS).map(start).collect();
        let mut taken = vec![0; 1 << (BITS - 6)];
        for entry in &entries {
            let hash = hash(entry.gram, BITS);
            taken[hash >> 6] |= 1 << (hash & 63);
        }
        Self { taken: taken.into(), starts, entries: entries.into() }
    }

    /// Compares the texts that have these bytes with what lies here.
    #[inline]
    fn compare(
        &self,
        texts: &[Box<[u8]>],
        text: &[u8],
        at: usize,
        gram: u32,
        found: &mut impl FnMut(usize),
    ) {
        let hash = hash(gram, BITS);
        if self.taken[hash >> 6] >> (hash & 63) & 1 == 1 {
            self.compare_taken(texts, text, at, gram, found);
        }
    }

    #[inline(never)]
    fn compare_taken(
        &self,
        texts: &[Box<[u8]>],
        text: &[u8],
        at: usize,
        gram: u32,
        found: &mut impl FnMut(usize),
    ) {
        let hash = hash(gram, BITS);
        let (start, end) = (self.starts[hash] as usize, self.starts[hash + 1] as usize);
        for entry in &self.entries[start..end] {
            let begin = at.wrapping_sub(entry.offset as usize);
            let sought = &texts[entry.text as usize];
            let here = text.get(begin..).and_then(|rest| rest.get(..sought.len()));
            if entry.gram == gram && here.is_some_and(|here| here.eq_ignore_ascii_case(sought)) {
                found(entry.text as usize);
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.taken.len() * 8 + self.starts.len() * 4 + self.entries.len() * size_of::<Entry>()
    }
}

/// Each four bytes in a row at which a text may be looked up.
fn quads(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let quad = |window: &[u8]| {
        fold(u32::from_le_bytes(window.try_into().expect("a window has four bytes")))
    };
    text.windows(4).take(OFFSET_MAX).map(quad)
}

/// How often the first three of these bytes come together in ordinary values, on a scale of its own: they are what the filter
/// sees. Letters by their frequency in English, then what addresses and JSON are made of, then all else.
fn frequency(gram: u32) -> u32 {
    let of = |byte: u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 6,
        b' ' | b'_' | b'.' | b'-' | b'/' | b'"' | b':' | b',' | b'=' | b'0'..=b'9' => 5,
        b'a'..=b'z' => 4,
        _ => 1,
    };
    gram.to_le_bytes()[..3].iter().map(|&byte| of(byte)).product()
}

/// Three bytes, and two, of four.
const THREE: u32 = 0xFF_FFFF;
const TWO: u32 = 0xFFFF;

/// Makes letters of either case alike, and a few other bytes too.
fn fold(gram: u32) -> u32 {
    gram | 0x2020_2020
}

/// Multiplicative hashing (Knuth, volume 3, section 6.4).
fn hash(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize
}

/// The first three bytes of every place at which something is to be compared; of two bytes, with any third.
fn filter(long: &[Entry], three: &[Entry], two: &[Entry]) -> Box<[u64; 1 << (FILTER_BITS - 6)]> {
    let mut filter = Box::new([0; 1 << (FILTER_BITS - 6)]);
    let any_third =
        two.iter().flat_map(|entry| (0..=0xFF).map(|third| fold(entry.gram | third << 16) & THREE));
    for gram in long.iter().chain(three).map(|entry| entry.gram & THREE).chain(any_third) {
        let hash = hash(gram, FILTER_BITS);
        filter[hash >> 6] |= 1 << (hash & 63);
    }
    filter
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[Vec<u8>], text: &[u8]) -> BTreeSet<usize> {
        let mut numbers = BTreeSet::new();
        Grams::new(texts.to_vec()).scan(text, |number| _ = numbers.insert(number));
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
