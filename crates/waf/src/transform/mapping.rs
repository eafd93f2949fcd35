//! What changes each byte by itself.

use super::rewrite::position;

pub(super) fn lowercase(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| byte.to_ascii_lowercase())
}

pub(super) fn uppercase(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| byte.to_ascii_uppercase())
}

pub(super) fn replace_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| if byte == 0 { b' ' } else { byte })
}

pub(super) fn parity_even(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, even)
}

pub(super) fn parity_odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, odd)
}

pub(super) fn parity_zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| byte & 0x7f)
}

/// Sets the highest bit where the number of bits that are set, with it, is odd, and clears it where it is even.
pub(super) const fn even(byte: u8) -> u8 {
    byte & 0x7f | ((byte.count_ones() as u8 & 1) << 7)
}

/// The other way round.
pub(super) const fn odd(byte: u8) -> u8 {
    even(byte) ^ 0x80
}

#[inline]
fn map(input: &[u8], out: &mut Vec<u8>, to: impl Fn(u8) -> u8) -> bool {
    let Some(first) = position(input, |byte| to(byte) != byte) else { return false };
    out.extend_from_slice(&input[..first]);
    out.extend(input[first..].iter().map(|byte| to(*byte)));
    true
}
