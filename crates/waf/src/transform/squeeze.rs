//! A value as a database reads it.

use std::ops::Range;

use memchr::memchr2;

use super::{
    ByteSet,
    comments::find_pair,
    rewrite::{Rewrite, keep_if_changed, run},
};

/// Makes comments and runs of white space one space each.
///
/// What is a comment in a statement is none in a string, and nobody can say where a value ends up. So the words of
/// comments are not dropped but follow behind the text: `/*' or 1=1 or '*/` hides nothing.
pub(super) fn squeeze(input: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut rewrite = Rewrite::new(input, out);
    let mut gap = 0..0;
    let mut commented = false;
    for Blank { range, comment } in Blanks::new(input) {
        commented |= !comment.is_empty();
        if range.start > gap.end {
            close(&mut rewrite, input, gap);
            gap = range;
        } else {
            gap.end = range.end;
        }
    }
    close(&mut rewrite, input, gap);
    let changed = rewrite.finish();
    if commented {
        append_comments(input, out);
        return keep_if_changed(input, out, start);
    }
    changed
}

/// Makes a run of blanks one space, unless it is that.
fn close(rewrite: &mut Rewrite<'_>, input: &[u8], gap: Range<usize>) {
    if !matches!(input[gap.clone()], [] | [b' ']) {
        rewrite.replace(gap).push(b' ');
    }
}

fn append_comments(input: &[u8], out: &mut Vec<u8>) {
    for Blank { comment, .. } in Blanks::new(input) {
        let words = input[comment].split(|byte| *byte <= b' ').filter(|word| !word.is_empty());
        words.for_each(|word| {
            out.push(b' ');
            out.extend_from_slice(word);
        });
    }
}

/// A character of white space, or a comment.
struct Blank {
    range: Range<usize>,
    /// What the comment says; empty for white space.
    comment: Range<usize>,
}

impl Blank {
    fn space(at: usize, len: usize) -> Self {
        Self { range: at..at + len, comment: at..at }
    }
}

/// The blanks of a value, in order.
struct Blanks<'a> {
    input: &'a [u8],
    from: usize,
    /// Where the last blank ended.
    end: usize,
    /// Whether a `/*!50000` waits for its `*/`.
    executed: bool,
    /// Whether a `*/` may follow: what was once searched for in vain is not searched for again.
    closes: bool,
    /// Whether a line may end, likewise.
    line_ends: bool,
}

impl<'a> Blanks<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self { input, from: 0, end: 0, executed: false, closes: true, line_ends: true }
    }

    fn at(&mut self, at: usize) -> Option<Blank> {
        match &self.input[at..] {
            [1..=b' ', ..] => Some(Blank::space(at, 1)),
            [0xa0, ..] if self.stands_alone(at) => Some(Blank::space(at, 1)),
            [0xc2, 0x85 | 0xa0, ..] => Some(Blank::space(at, 2)),
            [0xe1, 0x9a, 0x80, ..]
            | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
            | [0xe2, 0x81, 0x9f, ..]
            | [0xe3, 0x80, 0x80, ..] => Some(Blank::space(at, 3)),
            [b'/', b'*', b'!', rest @ ..] => Some(self.opened(at, 3, rest)),
            [b'/', b'*', b'M' | b'm', b'!', rest @ ..] => Some(self.opened(at, 4, rest)),
            [b'/', b'*', rest @ ..] => self.comment(at, rest),
            [b'*', b'/', ..] if self.executed => {
                self.executed = false;
                Some(Blank::space(at, 2))
            }
            [b'#', rest @ ..] => self.line(at, 1, rest),
            [b'-', b'-', rest @ ..] => self.line(at, 2, rest),
            _ => None,
        }
    }

    /// Whether the byte, a space in Latin-1, is no part of a character in UTF-8.
    fn stands_alone(&self, at: usize) -> bool {
        at == self.end || self.input[at - 1].is_ascii()
    }

    /// The mark of a comment that MySQL or MariaDB executes, with the version that it is for.
    fn opened(&mut self, at: usize, mark_len: usize, rest: &[u8]) -> Blank {
        self.executed = true;
        let version = &rest[..rest.len().min(6)];
        let digits = run(version, |byte| byte.is_ascii_digit());
        Blank::space(at, mark_len + if digits < 5 { 0 } else { digits })
    }

    fn comment(&mut self, at: usize, rest: &[u8]) -> Option<Blank> {
        let len = self.closes.then(|| find_pair(rest, *b"*/")).flatten();
        self.closes = len.is_some();
        let comment = at + 2..at + 2 + len?;
        Some(Blank { range: at..comment.end + 2, comment })
    }

    /// A comment up to where its line ends. A last one stays: it shows what an attacker is up to.
    fn line(&mut self, at: usize, mark_len: usize, rest: &[u8]) -> Option<Blank> {
        let len = self.line_ends.then(|| memchr2(b'\n', b'\r', rest)).flatten();
        self.line_ends = len.is_some();
        let comment = at + mark_len..at + mark_len + len?;
        Some(Blank { range: at..comment.end, comment })
    }
}

impl Iterator for Blanks<'_> {
    type Item = Blank;

    fn next(&mut self) -> Option<Blank> {
        // A table, since blanks are too near to each other for a search in blocks.
        while let Some(byte) = self.input.get(self.from) {
            let at = self.from;
            self.from = at + 1;
            if MAY_BE_BLANK.contains(*byte)
                && let Some(blank) = self.at(at)
            {
                (self.from, self.end) = (blank.range.end, blank.range.end);
                return Some(blank);
            }
        }
        None
    }
}

/// What a blank may begin with.
const MAY_BE_BLANK: ByteSet =
    ByteSet::range(1, b' ').union(ByteSet::from_bytes(b"/*-#\xa0\xc2\xe1\xe2\xe3"));
