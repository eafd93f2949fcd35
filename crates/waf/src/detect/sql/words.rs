//! Words and signs that mean something in SQL, in one dialect or another.
//!
//! The table is libinjection's; see `detect` for its licence.

use super::token::{Kind, Value};

/// `kind:word,word,…` per line, in upper case; some words have a space in them.
const TEXT: &[u8] = include_bytes!("words.txt");

/// Twice as many as there are words, so that most searches end at their first place.
const SLOTS: usize = 2048;

#[derive(Clone, Copy)]
struct Slot {
    tag: u16,
    start: u16,
    length: u8,
    kind: Kind,
}

static TABLE: [Slot; SLOTS] = table();

/// Returns the kind of a word, and `None` for one that means nothing.
pub fn kind_of(value: &Value) -> Option<Kind> {
    let hash = hash(value.padded());
    let mut place = slot(hash);
    loop {
        let Slot { tag: known, start, length, kind } = TABLE[place];
        if length == 0 {
            return None;
        }
        if known == tag(hash) && value.as_bytes() == &TEXT[start as usize..][..length as usize] {
            return Some(kind);
        }
        place = (place + 1) % SLOTS;
    }
}

/// Mixes four words of eight bytes; those behind the value are zero.
const fn hash(padded: &[u8; Value::SIZE]) -> u64 {
    let mut hash = 0;
    let mut at = 0;
    while at < Value::SIZE {
        let mut word = [0; 8];
        let mut i = 0;
        while i < 8 {
            word[i] = padded[at + i];
            i += 1;
        }
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 29;
        at += 8;
    }
    hash.wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

const fn slot(hash: u64) -> usize {
    (hash >> 53) as usize
}

const fn tag(hash: u64) -> u16 {
    (hash >> 32) as u16
}

const fn table() -> [Slot; SLOTS] {
    let mut table = [Slot { tag: 0, start: 0, length: 0, kind: Kind::None }; SLOTS];
    let mut at = 0;
    while at < TEXT.len() {
        let kind = Kind::of_letter(TEXT[at]);
        at += 2;
        while at > 0 && TEXT[at - 1] != b'\n' {
            let start = at;
            let mut padded = [0; Value::SIZE];
            while TEXT[at] != b',' && TEXT[at] != b'\n' {
                padded[at - start] = TEXT[at];
                at += 1;
            }
            insert(&mut table, hash(&padded), start, at - start, kind);
            at += 1;
        }
    }
    table
}

const fn insert(table: &mut [Slot; SLOTS], hash: u64, start: usize, length: usize, kind: Kind) {
    let mut place = slot(hash);
    while table[place].length != 0 {
        place = (place + 1) % SLOTS;
    }
    table[place] = Slot { tag: tag(hash), start: start as u16, length: length as u8, kind };
}

/// Every word with its kind.
#[cfg(test)]
pub fn all() -> impl Iterator<Item = (Kind, &'static [u8])> {
    TEXT.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).flat_map(|line| {
        line[2..].split(|byte| *byte == b',').map(|word| (Kind::of_letter(line[0]), word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_whatever_its_case() {
        for (kind, word) in all() {
            assert_eq!(kind_of(&Value::new(word)), Some(kind), "{word:?}");
            assert_eq!(kind_of(&Value::new(&word.to_ascii_lowercase())), Some(kind), "{word:?}");
        }
        assert_eq!(all().count(), 985);
    }

    #[test]
    fn nothing_else_is_found() {
        for (_, word) in all() {
            for other in [[word, b"\0"].concat(), [word, b"Q"].concat(), word[1..].to_vec()] {
                let known = all().any(|(_, word)| word == other);
                assert_eq!(kind_of(&Value::new(&other)).is_some(), known, "{other:?}");
            }
        }
    }

    #[test]
    fn words_fit_a_value() {
        assert!(all().all(|(_, word)| word.len() < Value::SIZE));
        assert!(TEXT.len() < usize::from(u16::MAX));
    }
}
