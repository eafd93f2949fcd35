//! Many texts looked for at once, whatever the case of their letters.
//!
//! Each text is represented by four bytes in a row of it (or all, where it is shorter), chosen so that few share them. A table of
//! bits that stays in the first-level cache says of nearly every place of a value that no text lies
//! there; nothing waits for the byte before, as it would in an automaton. What is left is compared.

use std::collections::HashMap;

use super::ordinary;

/// Where in a text its bytes may begin: further on, comparing backwards would cost more.
const OFFSET_MAX: usize = 24;

/// Bits of the filter, as an exponent of two: sixteen kilobytes.
const FILTER_BITS: u32 = 17;

/// Texts of two bytes or more, in lower case, by number.
pub(super) struct Grams {
    texts: Box<[Box<[u8]>]>,
    /// Which hashes of three bytes occur where a text has the bytes by which it is looked up.
    filter: Box<[u64; 1 << (FILTER_BITS - 6)]>,
    /// Which two bytes are a text. With any third byte behind them in the filter, a hundred such texts would fill a fifth of it.
    pairs: Box<[u64; 1 << (16 - 6)]>,
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

/// A text, where in it its bytes begin, and what lies around those. Texts that share their bytes are told apart without
/// touching them: the clauses of a rule are full of texts such as `;cat `, `;head ` and `;tail `.
#[derive(Clone, Copy)]
struct Entry {
    around: u64,
    gram: u32,
    text: u32,
    offset: u8,
    /// How many of the four bytes before and behind are of the text.
    before: u8,
    after: u8,
}

impl Grams {
    pub fn new(texts: Vec<Vec<u8>>) -> Self {
        // How many texts are looked up by the same bytes: each of them is compared wherever those occur.
        let mut sharing: HashMap<u32, u64> = HashMap::new();
        let (mut long, mut three, mut two) = (Vec::new(), Vec::new(), Vec::new());
        for (number, text) in (0..).zip(&texts) {
            let cost = |gram: u32| frequency(gram) * (1 + sharing.get(&gram).copied().unwrap_or(0));
            let best = (0..).zip(quads(text)).min_by_key(|(_, gram)| cost(*gram));
            match (best, text.as_slice()) {
                (Some((offset, gram)), _) => {
                    *sharing.entry(gram).or_default() += 1;
                    long.push(Entry::new(gram, number, text, offset));
                }
                (None, &[a, b, c]) => {
                    let gram = fold(u32::from_le_bytes([a, b, c, 0])) & THREE;
                    three.push(Entry::new(gram, number, text, 0));
                }
                (None, &[a, b]) => {
                    let gram = fold(u32::from_le_bytes([a, b, 0, 0])) & TWO;
                    two.push(Entry::new(gram, number, text, 0));
                }
                (None, _) => unreachable!("texts have two bytes or more"),
            }
        }
        let filter = filter(&long, &three);
        let pairs = pairs(&two);
        let texts = texts.into_iter().map(Into::into).collect();
        Self {
            texts,
            filter,
            pairs,
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
        }
        let pair = (gram & TWO) as usize;
        if self.pairs[pair >> 6] >> (pair & 63) & 1 == 1 {
            self.two.compare_taken(&self.texts, text, at, gram & TWO, found);
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
        let around = around(text, at);
        for entry in &self.entries[start..end] {
            if entry.gram != gram || !entry.may_lie_in(around) {
                continue;
            }
            let begin = at.wrapping_sub(usize::from(entry.offset));
            let sought = &texts[entry.text as usize];
            let here = text.get(begin..).and_then(|rest| rest.get(..sought.len()));
            if here.is_some_and(|here| here.eq_ignore_ascii_case(sought)) {
                found(entry.text as usize);
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.taken.len() * 8 + self.starts.len() * 4 + self.entries.len() * size_of::<Entry>()
    }
}

impl Entry {
    fn new(gram: u32, number: u32, text: &[u8], offset: u8) -> Self {
        let at = usize::from(offset);
        let (before, after) = (at.min(4) as u8, text.len().saturating_sub(at + 4).min(4) as u8);
        Self { around: around(text, at), gram, text: number, offset, before, after }
    }

    #[inline]
    fn may_lie_in(&self, around: u64) -> bool {
        let mask = MASKS[usize::from(self.before)][usize::from(self.after)];
        (self.around ^ around) & mask == 0
    }
}

/// Four bytes before a place and the four behind the four that begin there; what lies outside of the text is anything.
#[inline]
fn around(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    match (at.checked_sub(4).and_then(|start| text.get(start..at)), text.get(at + 4..at + 8)) {
        (Some(before), Some(after)) => {
            bytes[..4].copy_from_slice(before);
            bytes[4..].copy_from_slice(after);
        }
        _ => {
            let before = &text[at.saturating_sub(4)..at];
            bytes[4 - before.len()..4].copy_from_slice(before);
            let after = text.get(at + 4..).unwrap_or_default();
            let after = &after[..after.len().min(4)];
            bytes[4..4 + after.len()].copy_from_slice(after);
        }
    }
    u64::from_le_bytes(bytes) | FOLD_AROUND
}

/// What of the bytes around a place belongs to a text that has so many of them before and behind.
const MASKS: [[u64; 5]; 5] = {
    let mut masks = [[0; 5]; 5];
    let mut before = 0;
    while before <= 4 {
        let mut after = 0;
        while after <= 4 {
            let kept =
                if before + after == 0 { 0 } else { u64::MAX >> (64 - 8 * (before + after)) };
            masks[before][after] = kept << (8 * (4 - before));
            after += 1;
        }
        before += 1;
    }
    masks
};

/// As [`fold`], for eight bytes.
const FOLD_AROUND: u64 = 0x2020_2020_2020_2020;

/// Each four bytes in a row at which a text may be looked up.
fn quads(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let quad = |window: &[u8]| {
        fold(u32::from_le_bytes(window.try_into().expect("a window has four bytes")))
    };
    text.windows(4).take(OFFSET_MAX).map(quad)
}

/// How often the first three of these bytes come together in ordinary values, on a scale of its own: they are what the filter
/// sees. What the sample lacks is told apart by its letters' frequency in English, then what addresses and JSON are made of,
/// then all else.
fn frequency(gram: u32) -> u64 {
    let of = |byte: u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 6,
        b' ' | b'_' | b'.' | b'-' | b'/' | b'"' | b':' | b',' | b'=' | b'0'..=b'9' => 5,
        b'a'..=b'z' => 4,
        _ => 1,
    };
    let [first, second, third, _] = gram.to_le_bytes();
    let letters: u64 = [first, second, third].into_iter().map(of).product();
    ordinary::count_of_three([first, second, third]) * SEEN + letters
}

/// What one occurrence in the sample weighs beside letters alone.
const SEEN: u64 = 1000;

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

/// The first three bytes of every place at which something is to be compared.
fn filter(long: &[Entry], three: &[Entry]) -> Box<[u64; 1 << (FILTER_BITS - 6)]> {
    let mut filter = Box::new([0; 1 << (FILTER_BITS - 6)]);
    for gram in long.iter().chain(three).map(|entry| entry.gram & THREE) {
        let hash = hash(gram, FILTER_BITS);
        filter[hash >> 6] |= 1 << (hash & 63);
    }
    filter
}

fn pairs(two: &[Entry]) -> Box<[u64; 1 << (16 - 6)]> {
    let mut pairs = Box::new([0; 1 << (16 - 6)]);
    for pair in two.iter().map(|entry| entry.gram as usize) {
        pairs[pair >> 6] |= 1 << (pair & 63);
    }
    pairs
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
