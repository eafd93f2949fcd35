//! Characters beyond ASCII, written as `%uHHHH`.

use std::io::Write as _;

use super::rewrite::{Rewrite, position};

/// Writes each character as `%u` and its number, at least four digits. What begins a character but is none goes, as do
/// null bytes; the first byte of one that UTF-8 forbids (overlong, surrogate, too large) stays beside it.
pub(super) fn from_utf8(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rewrite = Rewrite::new(input, out);
    let mut from = 0;
    while let Some(next) =
        position(&input[from..], |byte| (byte == 0) | (byte.wrapping_sub(0xc0) < 0x38))
    {
        let at = from + next;
        let lead = input[at];
        let too_large = lead >= 0xf5;
        let Some((code, len)) = character(&input[at..]) else {
            from = at + 1;
            if !too_large {
                rewrite.replace(at..from);
            }
            continue;
        };
        from = at + len;
        let out = rewrite.replace(at..from);
        let (surrogate, overlong) = (matches!(code, 0xd800..=0xdfff), code < SMALLEST[len]);
        out.extend(too_large.then_some(lead));
        write!(out, "%u{code:04x}").expect("a vector takes all");
        out.extend(surrogate.then_some(lead));
        out.extend(overlong.then_some(lead));
    }
    rewrite.finish()
}

/// The least number that needs so many bytes.
const SMALLEST: [u32; 5] = [0, 0, 0x80, 0x800, 0x1_0000];

/// Returns the number that a lead byte and its continuation bytes stand for, allowed or not, and how many they are.
pub(super) fn character(text: &[u8]) -> Option<(u32, usize)> {
    let (lead, len) = match text.first()? {
        lead @ 0xc0..=0xdf => (lead & 0x1f, 2),
        lead @ 0xe0..=0xef => (lead & 0x0f, 3),
        lead @ 0xf0..=0xf7 => (lead & 0x07, 4),
        _ => return None,
    };
    let rest = text.get(1..len)?;
    let code = rest.iter().try_fold(u32::from(lead), |code, byte| {
        (byte & 0xc0 == 0x80).then_some(code << 6 | u32::from(byte & 0x3f))
    });
    Some((code?, len))
}
