//! Places in a text, as people and as editors count.

/// A place in a text: so many characters before it, counted in one way or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Unicode scalar values: what Rust's `chars` are, and what most people mean.
    Chars(usize),
    /// UTF-16 code units: what JavaScript counts, and so do Yjs and its editors.
    Utf16(usize),
}

impl Position {
    /// The byte of `text` at which this is. Nothing beyond its end, or within a character.
    pub(crate) fn byte_of(self, text: &str) -> Option<usize> {
        let (Position::Chars(wanted) | Position::Utf16(wanted)) = self;
        if text.is_ascii() || wanted == 0 {
            return (wanted <= text.len()).then_some(wanted);
        }
        let width = |character: char| match self {
            Position::Chars(_) => 1,
            Position::Utf16(_) => character.len_utf16(),
        };
        let mut ends = text.char_indices().scan(0, |place, (at, character)| {
            *place += width(character);
            Some((*place, at + character.len_utf8()))
        });
        ends.find(|(place, _)| *place == wanted).map(|(_, byte)| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(position: Position, expected: Option<usize>) {
        assert_eq!(position.byte_of("né🙂x"), expected);
    }

    #[test]
    fn places() {
        check(Position::Chars(0), Some(0));
        check(Position::Chars(2), Some(3));
        check(Position::Chars(3), Some(7));
        check(Position::Chars(4), Some(8));
        check(Position::Chars(5), None);
        check(Position::Utf16(2), Some(3));
        check(Position::Utf16(3), None); // within the smile
        check(Position::Utf16(4), Some(7));
        check(Position::Utf16(6), None);
    }
}
