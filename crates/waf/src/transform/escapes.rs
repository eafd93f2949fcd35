//! Backslash escapes of C, JavaScript and style sheets.

use super::{
    hex,
    rewrite::{Edit, next, rewrite, run},
    space::is_space,
};

/// Decodes `\n`, `\xHH` and `\OOO`; of an unknown escape, only the backslash goes.
pub(super) fn c(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next(b'\\'), |text| {
        let [_, escaped, digits @ ..] = text else { return None };
        let edit = match (escaped, digits) {
            (b'x' | b'X', [high, low, ..]) => hex::pair(*high, *low).map(|byte| Edit::to(byte, 4)),
            (b'0'..=b'7', _) => {
                let (len, value) = hex::octal(&text[1..]);
                Some(Edit::to(value as u8, 1 + len))
            }
            _ => None,
        };
        edit.or_else(|| Some(Edit::to(control(*escaped), 2)))
    })
}

/// Decodes `\n`, `\xHH`, `\uHHHH` (its lower byte) and `\OOO`; of an unknown escape, only the backslash goes.
pub(super) fn javascript(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next(b'\\'), |text| {
        let [_, escaped, digits @ ..] = text else { return None };
        let edit = match (escaped, digits) {
            (b'u', [a, b, c, d, ..]) => {
                hex::quad([*a, *b, *c, *d]).map(|code| Edit::to(low_byte(code), 6))
            }
            (b'x', [high, low, ..]) => hex::pair(*high, *low).map(|byte| Edit::to(byte, 4)),
            (b'0'..=b'7', _) => Some(octal(&text[1..])),
            _ => None,
        };
        edit.or_else(|| Some(Edit::to(control(*escaped), 2)))
    })
}

/// As many digits as make one byte.
fn octal(text: &[u8]) -> Edit {
    match hex::octal(text) {
        (3, value) if value > 0xff => Edit::to((value / 8) as u8, 3),
        (len, value) => Edit::to(value as u8, 1 + len),
    }
}

/// The lower byte of a code, or what it is the full-width form of.
pub(super) fn low_byte(code: u16) -> u8 {
    let [high, low] = code.to_be_bytes();
    if high == 0xff && (0x01..=0x5e).contains(&low) { low + 0x20 } else { low }
}

fn control(escaped: u8) -> u8 {
    match escaped {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

/// Decodes `\H` to `\HHHHHH` (the lower byte) with the white space behind it, and escaped characters; an escaped line
/// end and a last backslash go.
pub(super) fn css(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next(b'\\'), |text| {
        let escaped = &text[1..];
        let digits = run(&escaped[..escaped.len().min(6)], |byte| hex::digit(byte).is_some());
        Some(match escaped {
            [] => Edit::remove(1),
            [b'\n', ..] => Edit::remove(2),
            [byte, ..] if digits == 0 => Edit::to(*byte, 2),
            _ => {
                let space = escaped.get(digits).is_some_and(|byte| is_space(*byte));
                Edit::to(css_byte(&escaped[..digits]), 1 + digits + usize::from(space))
            }
        })
    })
}

/// The lower byte of one to six digits. Full-width forms are folded where four digits say so, zeros before them aside.
fn css_byte(digits: &[u8]) -> u8 {
    let code = digits.iter().filter_map(|byte| hex::digit(*byte));
    let code = code.fold(0_u32, |code, digit| code << 4 | u32::from(digit));
    match u16::try_from(code) {
        Ok(code) if digits.len() >= 4 => low_byte(code),
        _ => code as u8,
    }
}
