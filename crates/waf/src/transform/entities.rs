//! HTML entities, as far as libmodsecurity decodes them.

use super::{
    hex,
    rewrite::{Edit, next, rewrite, run},
};

/// Decodes numeric entities (their lower byte) and `quot`, `amp`, `lt`, `gt`, `nbsp`, each with or without `;`.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next(b'&'), |text| {
        let (byte, len) = match text {
            [_, b'#', b'x' | b'X', digits @ ..] => {
                numeric(digits, 16).map(|(byte, len)| (byte, 3 + len))
            }
            [_, b'#', digits @ ..] => numeric(digits, 10).map(|(byte, len)| (byte, 2 + len)),
            _ => named(&text[1..]).map(|(byte, len)| (byte, 1 + len)),
        }?;
        let semicolon = text.get(len) == Some(&b';');
        Some(Edit::to(byte, len + usize::from(semicolon)))
    })
}

/// The lower byte of a number, and how many digits it has. Numbers too large for C are its largest.
fn numeric(text: &[u8], radix: u8) -> Option<(u8, usize)> {
    let (value, len) = hex::number(text, radix);
    (len > 0).then_some((value.unwrap_or(i64::MAX) as u8, len))
}

fn named(text: &[u8]) -> Option<(u8, usize)> {
    const NAMES: [(&[u8], u8); 5] =
        [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];
    // A longer run of letters and digits is no name that is known.
    let len = run(&text[..text.len().min(5)], |byte| byte.is_ascii_alphanumeric());
    let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text[..len]));
    known.map(|(_, byte)| (*byte, len))
}
