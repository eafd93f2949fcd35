//! Many texts looked for at once, whatever the case of their letters.
//!
//! Each text is represented by four bytes in a row of it (or all, where it is shorter), chosen so that few share them. Tables of
//! bits that stay in the first-level cache say of nearly every place of a value that no text lies
//! there; nothing waits for the byte before, as it would in an automaton. What is left is compared. In a long value a text
//! that was found is not looked for again.

use std::{collections::HashMap, ops::Range};

use super::{bits::Bits, ordinary};

/// Where in a text its bytes may begin: further on, comparing backwards would cost more.
const OFFSET_MAX: usize = 24;

/// Values from this length on are worth tables of their own, from which is taken what was found.
const LONG_BYTES: usize = 2048;

/// Bits of the tables as exponents of two: of hashes of four bytes and of three, and of pairs as they are …
const LONG_BITS: u32 = 17;
const THREE_BITS: u32 = 15;
const TWO_BITS: u32 = 16;
/// … and of hashes of the first three of four bytes: a place is worth a look only if both tables say so. Together they have
/// 36 kilobytes.
const BEGIN_BITS: u32 = 16;

/// Where the words of each table begin among all, in bits.
const THREE_AT: usize = 1 << LONG_BITS;
const TWO_AT: usize = THREE_AT + (1 << THREE_BITS);
const BEGIN_AT: usize = TWO_AT + (1 << TWO_BITS);
const WORDS: usize = (BEGIN_AT + (1 << BEGIN_BITS)) >> 6;

/// At which places of a value a text may lie.
#[derive(Clone)]
pub(super) struct Filters(Box<[u64; WORDS]>);

/// Texts of two bytes or more, in lower case, by number.
pub(super) struct Grams {
    texts: Texts,
    /// Where any of them may lie.
    all: Filters,
    /// Those of four bytes or more, then those of three, then those of two, each in the order of their hashes.
    entries: Box<[Entry]>,
    /// The entries of each hash that has any, and after the last, where they end.
    buckets: Box<[Bucket]>,
    /// For each word of `all` how many bits are set before it.
    ranks: Box<[u32; BEGIN_AT >> 6]>,
}

/// The entries of a hash.
#[derive(Clone, Copy)]
struct Bucket {
    start: u32,
    /// The bytes that all of them are looked up by; [`SEVERAL`]: not all by the same.
    gram: u32,
}

/// No four bytes are this once their case is folded.
const SEVERAL: u32 = 0;

/// What a search in a long value needs; used again and again.
#[derive(Default)]
pub(super) struct Search {
    filters: Filters,
    /// The entries that were found.
    found: Bits,
}

/// Texts one behind the other: thousands of them, most of a few bytes.
struct Texts {
    bytes: Box<[u8]>,
    /// Where each begins, and after the last, where it ends.
    starts: Box<[u32]>,
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
    /// 0: it has four bytes or more, 1: three, 2: two.
    size: u8,
}

impl Grams {
    pub fn new(texts: &[Vec<u8>]) -> Self {
        // How many texts are looked up by the same bytes: each of them is compared wherever those occur.
        let mut sharing: HashMap<u32, u64> = HashMap::new();
        let mut entries = Vec::with_capacity(texts.len());
        for (number, text) in (0..).zip(texts) {
            let cost = |gram: u32| frequency(gram) * (1 + sharing.get(&gram).copied().unwrap_or(0));
            let best = (0..).zip(quads(text)).min_by_key(|(_, gram)| cost(*gram));
            // What is shorter is looked up by all that there is.
            let part = if text.len() == 2 { TWO } else { THREE };
            let (offset, gram) = best.unwrap_or_else(|| (0, padded(text, 0) & part));
            *sharing.entry(gram).or_default() += 1;
            entries.push(Entry::new(gram, number, text, offset));
        }
        entries.sort_by_key(Entry::bit);
        let mut all = Filters::default();
        let mut buckets: Vec<Bucket> = Vec::new();
        for (start, entry) in (0..).zip(&entries) {
            match buckets.last_mut().filter(|_| all.has(entry.bit())) {
                Some(bucket) if bucket.gram != entry.gram => bucket.gram = SEVERAL,
                Some(_) => {}
                None => buckets.push(Bucket { start, gram: entry.gram }),
            }
            all.insert(entry);
        }
        buckets.push(Bucket { start: entries.len() as u32, gram: SEVERAL });
        let ranks = all.ranks();
        let (entries, buckets) = (entries.into(), buckets.into());
        Self { texts: Texts::new(texts), all, entries, buckets, ranks }
    }

    /// Where those texts may lie that are wanted.
    pub fn filters(&self, wanted: impl Fn(usize) -> bool) -> Filters {
        let mut filters = Filters::default();
        let entries = self.entries.iter().filter(|entry| wanted(entry.text as usize));
        entries.for_each(|entry| filters.insert(entry));
        filters
    }

    /// Calls `found` with the number of each text that lies in `text` at a place that `filters` know; in a long one once, in others
    /// once for each place. It may be called for texts that nobody wanted.
    pub fn scan(
        &self,
        text: &[u8],
        filters: &Filters,
        search: &mut Search,
        mut found: impl FnMut(usize),
    ) {
        let mut from = 0;
        if text.len() < LONG_BYTES {
            while let Some(at) = filters.next(text, from) {
                from = at + 1;
                self.compare(text, at, filters, |entry| found(self.entries[entry].text as usize));
            }
            return;
        }
        search.begin(filters, self.entries.len());
        let Search { filters, found: known } = search;
        while let Some(at) = filters.next(text, from) {
            from = at + 1;
            let mut any = false;
            self.compare(text, at, filters, |entry| {
                if known.insert_new(entry) {
                    any = true;
                    found(self.entries[entry].text as usize);
                }
            });
            if any {
                bits(padded(text, at)).into_iter().for_each(|bit| self.forget(bit, filters, known));
            }
        }
    }

    /// Calls `found` with each entry whose text lies here.
    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, filters: &Filters, mut found: impl FnMut(usize)) {
        let gram = padded(text, at);
        for (bit, part) in bits(gram).into_iter().zip([u32::MAX, THREE, TWO]) {
            if !filters.has(bit) {
                continue;
            }
            let (gram, bucket) = (gram & part, self.rank(bit));
            if ![SEVERAL, gram].contains(&self.buckets[bucket].gram) {
                continue;
            }
            let around = around(text, at);
            for number in self.bucket(bucket) {
                let entry = &self.entries[number];
                if entry.gram == gram && entry.may_lie_in(around) && self.lies(entry, text, at) {
                    found(number);
                }
            }
        }
    }

    /// Takes a hash out if all of its entries were found.
    fn forget(&self, bit: usize, filters: &mut Filters, known: &Bits) {
        if filters.has(bit) && self.bucket(self.rank(bit)).all(|number| known.contains(number)) {
            filters.0[bit >> 6] &= !(1 << (bit & 63));
        }
    }

    /// The number of a hash's bucket, if it has one.
    #[inline]
    fn rank(&self, bit: usize) -> usize {
        let below = self.all.0[bit >> 6] & ((1 << (bit & 63)) - 1);
        (self.ranks[bit >> 6] + below.count_ones()) as usize
    }

    fn bucket(&self, rank: usize) -> Range<usize> {
        self.buckets[rank].start as usize..self.buckets[rank + 1].start as usize
    }

    fn lies(&self, entry: &Entry, text: &[u8], at: usize) -> bool {
        let begin = at.wrapping_sub(usize::from(entry.offset));
        let sought = self.texts.get(entry.text);
        let here = text.get(begin..).and_then(|rest| rest.get(..sought.len()));
        here.is_some_and(|here| here.eq_ignore_ascii_case(sought))
    }

    /// Memory that searching touches.
    pub fn memory_bytes(&self) -> usize {
        let tables = size_of_val(&*self.all.0) + size_of_val(&*self.ranks);
        let lists = size_of_val(&*self.entries) + size_of_val(&*self.buckets);
        self.texts.memory_bytes() + tables + lists
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Filters {
    /// The first place from `from` on at which something may lie.
    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let whole = |window: &[u8]| {
            self.may_lie(fold(u32::from_le_bytes(window.try_into().expect("it has four bytes"))))
        };
        let rest = text.get(from..)?;
        if let Some(at) = rest.windows(4).position(whole) {
            return Some(from + at);
        }
        (text.len().saturating_sub(3).max(from)..text.len())
            .find(|at| self.may_lie(padded(text, *at)))
    }

    #[inline]
    fn may_lie(&self, gram: u32) -> bool {
        let [long, three, two] = bits(gram);
        let word = |bit: usize| self.0[bit >> 6] >> (bit & 63);
        ((word(long) & word(begin(gram))) | word(three) | word(two)) & 1 == 1
    }

    fn has(&self, bit: usize) -> bool {
        self.0[bit >> 6] >> (bit & 63) & 1 == 1
    }

    fn insert(&mut self, entry: &Entry) {
        for bit in [entry.bit(), begin(entry.gram)] {
            self.0[bit >> 6] |= 1 << (bit & 63);
        }
    }

    fn ranks(&self) -> Box<[u32; BEGIN_AT >> 6]> {
        let mut ranks = Box::new([0; BEGIN_AT >> 6]);
        let mut sum = 0;
        for (rank, word) in ranks.iter_mut().zip(self.0.iter()) {
            *rank = sum;
            sum += word.count_ones();
        }
        ranks
    }
}

impl Search {
    fn begin(&mut self, filters: &Filters, entries: usize) {
        self.filters.0.copy_from_slice(&*filters.0);
        self.found.fit(entries);
    }
}

impl Texts {
    fn new(texts: &[Vec<u8>]) -> Self {
        let mut starts = Vec::with_capacity(texts.len() + 1);
        let mut bytes = Vec::with_capacity(texts.iter().map(Vec::len).sum());
        for text in texts {
            starts.push(bytes.len() as u32);
            bytes.extend_from_slice(text);
        }
        starts.push(bytes.len() as u32);
        Self { bytes: bytes.into(), starts: starts.into() }
    }

    fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        &self.bytes[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<u32>()
    }
}

impl Entry {
    fn new(gram: u32, number: u32, text: &[u8], offset: u8) -> Self {
        let at = usize::from(offset);
        let (before, after) = (at.min(4) as u8, text.len().saturating_sub(at + 4).min(4) as u8);
        let size = 4_usize.saturating_sub(text.len()) as u8;
        Self { around: around(text, at), gram, text: number, offset, before, after, size }
    }

    /// Its place in [`Filters`].
    fn bit(&self) -> usize {
        bits(self.gram)[usize::from(self.size)]
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

/// How often these four bytes come together in ordinary values, on a scale of its own. What the sample lacks is told apart by its
/// letters' frequency in English, then what addresses and JSON are made of, then all else.
fn frequency(gram: u32) -> u64 {
    let of = |byte: u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 6,
        b' ' | b'_' | b'.' | b'-' | b'/' | b'"' | b':' | b',' | b'=' | b'0'..=b'9' => 5,
        b'a'..=b'z' => 4,
        _ => 1,
    };
    let bytes = gram.to_le_bytes();
    let letters: u64 = bytes.into_iter().map(of).product();
    ordinary::count_of_four(bytes) * SEEN + letters
}

/// What one occurrence in the sample weighs beside letters alone.
const SEEN: u64 = 10_000;

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

/// The places in [`Filters`] of four bytes, of the first three of them and of the first two.
#[inline]
fn bits(gram: u32) -> [usize; 3] {
    let (three, two) = (hash(gram & THREE, THREE_BITS), (gram & TWO) as usize);
    [hash(gram, LONG_BITS), THREE_AT + three, TWO_AT + two]
}

/// Where [`Filters`] tell how four bytes begin.
#[inline]
fn begin(gram: u32) -> usize {
    BEGIN_AT + hash(gram & THREE, BEGIN_BITS)
}

/// The four bytes at a place, made alike whatever their case; what lies behind the end is anything.
#[inline]
fn padded(text: &[u8], at: usize) -> u32 {
    let rest = &text[at..];
    let mut gram = [0; 4];
    match rest.first_chunk() {
        Some(four) => gram = *four,
        None => gram[..rest.len()].copy_from_slice(rest),
    }
    fold(u32::from_le_bytes(gram))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[Vec<u8>], text: &[u8]) -> BTreeSet<usize> {
        let grams = Grams::new(texts);
        let mut search = Search::default();
        let mut scan = |text: &[u8]| {
            let mut numbers = BTreeSet::new();
            let found = |number| _ = numbers.insert(number);
            grams.scan(text, &grams.filters(|_| true), &mut search, found);
            numbers
        };
        let numbers = scan(text);
        // In long values it is done otherwise.
        let long = [&[b'.'; LONG_BYTES], text, b".", text].concat();
        assert_eq!(scan(&long), numbers);
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
