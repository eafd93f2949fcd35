//! Positions in a stream as clients carry them (Durable Streams, section 8).

use std::fmt;

/// A position in a stream: the number of its next record. Forks continue the numbers of their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Offset(pub(crate) u64);

impl Offset {
    /// Returns the position `count` records further on.
    pub(crate) fn after(self, count: u64) -> Offset {
        Offset(self.0.saturating_add(count))
    }

    /// Reads a token that [`Display`](fmt::Display) wrote.
    pub(crate) fn parse(token: &str) -> Option<Offset> {
        let record = token.strip_suffix(WHOLE)?;
        let digits = record.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if record.len() != DIGITS || !digits {
            return None;
        }
        u64::from_str_radix(record, 16).ok().map(Offset)
    }
}

/// Digits of a record's number: all of them, so that tokens sort as numbers do.
const DIGITS: usize = 16;
/// The place in a record, as other servers of the protocol write one: here a position lies between records.
const WHOLE: &str = "_0000000000000000";

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{WHOLE}", self.0)
    }
}

/// Where a reader wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// `-1`, or nothing said.
    Start,
    /// `now`.
    Tail,
    /// A token that an earlier answer gave.
    At(Offset),
}

impl From {
    /// Reads the parameter `offset`.
    pub(crate) fn parse(text: &str) -> Option<From> {
        match text {
            "-1" => Some(From::Start),
            "now" => Some(From::Tail),
            token => Offset::parse(token).map(From::At),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lead_back_and_sort_as_positions() {
        let positions = [0, 1, 9, 10, 255, 256, u64::from(u32::MAX), u64::MAX - 1];
        let tokens = positions.map(|position| Offset(position).to_string());
        assert!(tokens.is_sorted());
        for (position, token) in positions.iter().zip(&tokens) {
            assert_eq!(From::parse(token), Some(From::At(Offset(*position))));
        }
    }

    #[test]
    fn what_no_answer_gave_is_refused() {
        let long = "0".repeat(17) + WHOLE;
        for text in [
            "",
            "0",
            "1,2",
            "a b",
            "NOW",
            "-2",
            "00000000000000zz_0000000000000000",
            "+000000000000001_0000000000000000",
            "0000000000000000",
            "00000000000000AB_0000000000000000",
            "0000000000000001_0000000000000001",
            &long,
        ] {
            assert_eq!(From::parse(text), None, "{text:?}");
        }
        assert_eq!((From::parse("-1"), From::parse("now")), (Some(From::Start), Some(From::Tail)));
    }
}
