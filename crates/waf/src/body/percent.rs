use memchr::memchr2;

use super::ascii::hex_pair;

/// What decoding came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decoding {
    /// Whether anything was decoded.
    pub(super) changed: bool,
    /// Whether a percent sign was no escape; it stays.
    pub(super) invalid: bool,
}

/// Appends `input` to `out` with `%hh` decoded and a space for each plus sign, as forms mean it.
pub(super) fn decode_form(input: &[u8], out: &mut Vec<u8>) -> Decoding {
    let mut found = Decoding::default();
    let mut rest = input;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, length) = match (rest[at], hex_pair(&rest[at + 1..])) {
            (b'+', _) => (b' ', 1),
            (_, Some(byte)) => (byte, 3),
            (percent, None) => (percent, 1),
        };
        found.changed |= byte != rest[at] || length > 1;
        found.invalid |= byte == b'%' && length == 1;
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
    found
}
