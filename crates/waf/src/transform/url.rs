//! Percent encoding.

use memchr::memchr2;

use super::{
    best_fit::best_fit,
    hex,
    rewrite::{Edit, Rewrite, position, rewrite},
};

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next_encoded, byte)
}

/// Decodes `%uHHHH` too, to the ASCII that looks most like it, else to its lower byte.
pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next_encoded, |text| match text {
        [b'%', b'u' | b'U', a, b, c, d, ..] => {
            hex::quad([*a, *b, *c, *d]).map(|code| Edit::to(best_fit(code), 6))
        }
        _ => byte(text),
    })
}

fn next_encoded(text: &[u8]) -> Option<usize> {
    match text {
        [b'%' | b'+', ..] => Some(0),
        _ => memchr2(b'%', b'+', text),
    }
}

fn byte(text: &[u8]) -> Option<Edit> {
    match text {
        [b'+', ..] => Some(Edit::to(b' ', 1)),
        [_, high, low, ..] => hex::pair(*high, *low).map(|byte| Edit::to(byte, 3)),
        _ => None,
    }
}

/// Encodes all but letters, digits and `*`; a space becomes `+`.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rewrite = Rewrite::new(input, out);
    let mut from = 0;
    while let Some(next) = position(&input[from..], |byte| !stays(byte)) {
        let at = from + next;
        from = at + 1;
        let out = rewrite.replace(at..from);
        match input[at] {
            b' ' => out.push(b'+'),
            byte => out.extend([b'%', lower_digit(byte >> 4), lower_digit(byte & 0xf)]),
        }
    }
    rewrite.finish()
}

pub(super) const fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'*'
}

fn lower_digit(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit)]
}
