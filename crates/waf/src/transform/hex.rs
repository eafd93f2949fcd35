//! Digits.

/// Returns the value of a hexadecimal digit.
pub(super) const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Returns the value of two hexadecimal digits.
pub(super) fn pair(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

/// Returns the value of four hexadecimal digits.
pub(super) fn quad([a, b, c, d]: [u8; 4]) -> Option<u16> {
    Some(u16::from_be_bytes([pair(a, b)?, pair(c, d)?]))
}

/// Returns the number of octal digits, at most three, at the start of `text`, and their value.
pub(super) fn octal(text: &[u8]) -> (usize, u16) {
    let digits = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
    digits.fold((0, 0), |(len, value), byte| (len + 1, value * 8 + u16::from(byte - b'0')))
}

/// Returns the number that `text` begins with, and how many digits it has; `None`: it is too large for C.
pub(super) fn number(text: &[u8], radix: u8) -> (Option<i64>, usize) {
    let digits = text.iter().map_while(|byte| digit(*byte).filter(|digit| *digit < radix));
    digits.fold((Some(0), 0), |(value, len), digit| {
        let value = value.and_then(|value: i64| value.checked_mul(radix.into()));
        (value.and_then(|value| value.checked_add(digit.into())), len + 1)
    })
}
