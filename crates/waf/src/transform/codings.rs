//! Base64, hexadecimal, digests and the length.

use data_encoding::{BASE64, Encoding, HEXLOWER};
use memchr::memchr;
use sha1::Digest as _;

use super::{
    hex,
    rewrite::{Rewrite, keep_if_changed, next},
};

pub(super) fn base64_encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    encode(&BASE64, input, out)
}

pub(super) fn hex_encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    encode(&HEXLOWER, input, out)
}

fn encode(encoding: &Encoding, input: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + encoding.encode_len(input.len()), 0);
    encoding.encode_mut(input, &mut out[start..]);
    !input.is_empty()
}

/// Decodes what is well-formed up to the first null byte, in whole groups of four; all else becomes nothing.
pub(super) fn base64_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let text = &input[..memchr(0, input).unwrap_or(input.len())];
    if is_base64(text) {
        let digits = text.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | b' '));
        decode_groups(digits.copied(), out);
    }
    !input.is_empty()
}

/// Whether nothing but digits is in `text`, at most two `=` after them, line ends, and spaces before those.
fn is_base64(text: &[u8]) -> bool {
    let (mut padding, mut after_space) = (0, false);
    text.iter().enumerate().all(|(at, byte)| {
        let line_end = *byte == b'\n' || text[at..].starts_with(b"\r\n");
        if line_end || *byte == b' ' {
            after_space = !line_end;
            return true;
        }
        padding += usize::from(*byte == b'=');
        let known = if padding > 0 { *byte == b'=' } else { sextet(*byte).is_some() };
        known && padding <= 2 && !after_space
    })
}

fn decode_groups(digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let (mut group, mut len, mut padding) = (0, 0, 0);
    for digit in digits {
        padding += usize::from(digit == b'=');
        group = group << 6 | u32::from(sextet(digit).unwrap_or(0));
        len += 1;
        if len == 4 {
            let [_, bytes @ ..] = group.to_be_bytes();
            out.extend_from_slice(&bytes[..3 - padding]);
            (group, len) = (0, 0);
        }
    }
}

/// Decodes the digits among all else, whether groups are whole or not; nothing, where one digit alone is
/// left before a `=`.
pub(super) fn base64_decode_forgiving(input: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let (mut bits, mut len) = (0, 0);
    for (at, byte) in input.iter().enumerate() {
        let ends = *byte == b'=' && input.get(at + 1) != Some(&b'=');
        if ends && len % 4 == 1 {
            out.truncate(start);
            return true;
        }
        let Some(digit) = sextet(*byte) else { continue };
        bits = bits << 6 | u32::from(digit);
        len += 1;
        // The first digit of four completes no byte; the others complete one each, with 4, 2 and 0 bits to spare.
        match len % 4 {
            2 => out.push((bits >> 4) as u8),
            3 => out.push((bits >> 2) as u8),
            0 => out.push(bits as u8),
            _ => {}
        }
    }
    !input.is_empty()
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Reads pairs of anything as if they were hexadecimal digits; a last single one is dropped.
pub(super) fn hex_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(
        pairs.iter().map(|[high, low]| loose(*high).wrapping_mul(16).wrapping_add(loose(*low))),
    );
    !input.is_empty()
}

fn loose(byte: u8) -> u8 {
    match byte {
        b'A'.. => (byte & 0xdf).wrapping_sub(b'A' - 10),
        _ => byte.wrapping_sub(b'0'),
    }
}

/// Makes `0x` and pairs of hexadecimal digits the bytes that they stand for.
pub(super) fn sql_hex_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rewrite = Rewrite::new(input, out);
    let (find, mut from) = (next(b'0'), 0);
    while let Some(next) = find(&input[from..]) {
        let at = from + next;
        from = at + 1;
        let len = sql_hex_len(&input[at..]);
        if len > 0 {
            from = at + len;
            let (pairs, _) = input[at + 2..from].as_chunks::<2>();
            let bytes = pairs.iter().filter_map(|[high, low]| hex::pair(*high, *low));
            rewrite.replace(at..from).extend(bytes);
        }
    }
    rewrite.finish()
}

/// The length of `0x` with its whole pairs of digits; 0: there are none.
fn sql_hex_len(text: &[u8]) -> usize {
    let [b'0', b'x' | b'X', digits @ ..] = text else { return 0 };
    let (pairs, _) = digits.as_chunks::<2>();
    match pairs.iter().take_while(|[high, low]| hex::pair(*high, *low).is_some()).count() {
        0 => 0,
        pairs => 2 + 2 * pairs,
    }
}

pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    replace_all(input, &md5::Md5::digest(input), out)
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    replace_all(input, &sha1::Sha1::digest(input), out)
}

pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    replace_all(input, itoa::Buffer::new().format(input.len()).as_bytes(), out)
}

fn replace_all(input: &[u8], value: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(value);
    keep_if_changed(input, out, start)
}
