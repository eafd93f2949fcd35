//! Comments of SQL, C and markup, with libmodsecurity's view of them.

use memchr::memchr;

use super::rewrite::{Edit, is_one_of, position, rewrite};

/// Makes each comment `/*…*/` a space; the last one may be open.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = find_pair(rest, *b"/*") {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        let body = &rest[at + 2..];
        rest = find_pair(body, *b"*/").map_or(&[], |end| &body[end + 2..]);
    }
    let changed = rest.len() < input.len();
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

/// Removes `/*…*/` and `<!--…-->`, either end closing either, and all from `--` or `#` on.
///
/// The byte behind a comment stays unseen; at the end that is the null which ends a string in C.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some((at, mark)) = find_mark(rest) {
        out.extend_from_slice(&rest[..at]);
        let Mark::Open(len) = mark else { return true };
        let body = &rest[at + len..];
        let Some(end) = find_end(body) else {
            out.push(b' ');
            return true;
        };
        out.push(body.get(end).copied().unwrap_or(0));
        rest = body.get(end + 1..).unwrap_or_default();
    }
    let changed = rest.len() < input.len();
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

enum Mark {
    /// Opens a comment; so many bytes.
    Open(usize),
    /// The rest is a comment.
    Line,
}

fn find_mark(text: &[u8]) -> Option<(usize, Mark)> {
    let mut from = 0;
    loop {
        let at = from + position(&text[from..], |byte| is_one_of(byte, *b"/<-#"))?;
        match &text[at..] {
            [b'/', b'*', ..] => return Some((at, Mark::Open(2))),
            [b'<', b'!', b'-', b'-', ..] => return Some((at, Mark::Open(4))),
            [b'-', b'-', ..] | [b'#', ..] => return Some((at, Mark::Line)),
            _ => from = at + 1,
        }
    }
}

/// Where the text goes on behind `*/` or `-->`.
fn find_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + position(&text[from..], |byte| is_one_of(byte, *b"*-"))?;
        match &text[at..] {
            [b'*', b'/', ..] => return Some(at + 2),
            [b'-', b'-', b'>', ..] => return Some(at + 3),
            _ => from = at + 1,
        }
    }
}

/// Removes what comments begin and end with, and keeps what is in them.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |text: &[u8]| position(text, |byte| is_one_of(byte, *b"/*<-#"));
    rewrite(input, out, find, |text| match text {
        [b'<', b'!', b'-', b'-', ..] => Some(Edit::remove(4)),
        [b'-', b'-', b'>', ..] => Some(Edit::remove(3)),
        [b'/', b'*', ..] | [b'*', b'/', ..] | [b'-', b'-', ..] => Some(Edit::remove(2)),
        [b'#', ..] => Some(Edit::remove(1)),
        _ => None,
    })
}

pub(super) fn find_pair(text: &[u8], [first, second]: [u8; 2]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(first, &text[from..])?;
        if text.get(at + 1) == Some(&second) {
            return Some(at);
        }
        from = at + 1;
    }
}
