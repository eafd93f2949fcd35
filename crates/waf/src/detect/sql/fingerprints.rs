//! The fingerprints that attacks have, and prose mostly has not.
//!
//! The table is libinjection's; see `detect` for its licence. Case is not told apart: `t` and `T` are the same here.

/// `beginning>ends`, where each letter of `ends` makes a fingerprint; sorted by [`packed`].
const TEXT: &[u8] = include_bytes!("fingerprints.txt");

/// How many beginnings there are.
const BEGINNINGS: usize = 2236;

/// The letters that occur; their places are what [`packed`] packs.
const LETTERS: &[u8] = b"&(),1:;ABCEFKNOSTUVX";

/// A beginning and the set of its ends, as bits.
static TABLE: [(u32, u32); BEGINNINGS] = table();

/// Places of letters in [`LETTERS`], from 1; 0 for all other bytes.
static PLACES: [u8; 256] = places();

/// Returns whether attacks have this fingerprint.
pub fn contains(letters: &[u8]) -> bool {
    let Some((last, beginning)) = letters.split_last() else { return false };
    let place = |letter: &u8| PLACES[usize::from(*letter)];
    if letters.len() > 5 || letters.iter().any(|letter| place(letter) == 0) {
        return false;
    }
    let mut key = 0;
    for i in 0..4 {
        key = key << 5 | u32::from(beginning.get(i).map_or(0, place));
    }
    match TABLE.binary_search_by_key(&key, |(known, _)| *known) {
        Ok(found) => TABLE[found].1 >> place(last) & 1 == 1,
        Err(_) => false,
    }
}

const fn places() -> [u8; 256] {
    let mut places = [0; 256];
    let mut i = 0;
    while i < LETTERS.len() {
        places[LETTERS[i] as usize] = i as u8 + 1;
        places[LETTERS[i].to_ascii_lowercase() as usize] = i as u8 + 1;
        i += 1;
    }
    places
}

/// Packs up to four letters from the left, five bits each, so that shorter ones come first.
const fn packed(start: usize, end: usize) -> u32 {
    let mut key = 0;
    let mut i = 0;
    while i < 4 {
        let place = if start + i < end { PLACES[TEXT[start + i] as usize] } else { 0 };
        key = key << 5 | place as u32;
        i += 1;
    }
    key
}

const fn table() -> [(u32, u32); BEGINNINGS] {
    let mut table = [(0, 0); BEGINNINGS];
    let (mut count, mut at) = (0, 0);
    while at < TEXT.len() {
        let start = at;
        while TEXT[at] != b'>' {
            at += 1;
        }
        let beginning = packed(start, at);
        at += 1;
        let mut ends = 0;
        while TEXT[at] != b' ' && TEXT[at] != b'\n' {
            ends |= 1 << PLACES[TEXT[at] as usize];
            at += 1;
        }
        at += 1;
        table[count] = (beginning, ends);
        count += 1;
    }
    assert!(count == BEGINNINGS);
    table
}

/// Every fingerprint, in upper case.
#[cfg(test)]
pub fn all() -> Vec<Vec<u8>> {
    let entries = TEXT.split(|byte| b" \n".contains(byte)).filter(|entry| !entry.is_empty());
    let pairs = entries.map(|entry| {
        let middle = entry.iter().position(|byte| *byte == b'>').expect("an entry has a `>`");
        (&entry[..middle], &entry[middle + 1..])
    });
    pairs.flat_map(|(begin, ends)| ends.iter().map(move |end| [begin, &[*end]].concat())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fingerprint_is_found_whatever_its_case() {
        for letters in all() {
            assert!(contains(&letters) && contains(&letters.to_ascii_lowercase()), "{letters:?}");
        }
        assert_eq!(all().len(), 8367);
        assert!(TABLE.is_sorted());
    }

    #[test]
    fn nothing_else_is_found() {
        let known: std::collections::BTreeSet<_> = all().into_iter().collect();
        for letters in &known {
            for letter in LETTERS.iter().chain(b"?\0.") {
                let mut other = letters.clone();
                *other.last_mut().unwrap() = *letter;
                assert_eq!(contains(&other), known.contains(&other), "{other:?}");
                other.push(*letter);
                assert_eq!(contains(&other), known.contains(&other), "{other:?}");
            }
        }
        assert!(!contains(b""));
    }
}
