use super::push;
use crate::body::ascii::sextet;

/// Appends UTF-7 (RFC 2152) as UTF-8 and returns whether something stood for no character.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut has_errors = false;
    let mut rest = input;
    while let Some((byte, tail)) = rest.split_first() {
        if *byte != b'+' {
            // What is not ASCII has no meaning; as it stands, it may have one to somebody.
            has_errors |= !byte.is_ascii();
            out.push(*byte);
            rest = tail;
            continue;
        }
        let length = tail.iter().take_while(|byte| is_base64(**byte)).count();
        let (shifted, after) = tail.split_at(length);
        if shifted.is_empty() {
            out.push(b'+');
        } else {
            has_errors |= decode_shifted(shifted, out);
        }
        rest = after.strip_prefix(b"-").unwrap_or(after);
    }
    has_errors
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Decodes UTF-16 that is written in Base64.
fn decode_shifted(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut bits, mut count) = (0_u32, 0);
    let units = text.iter().filter_map(|byte| {
        bits = bits << 6 | u32::from(sextet(*byte)?);
        count += 6;
        if count < 16 {
            return None;
        }
        count -= 16;
        u16::try_from(bits >> count & 0xFFFF).ok()
    });
    let mut has_errors = false;
    for character in char::decode_utf16(units) {
        has_errors |= push(character.ok(), out);
    }
    has_errors
}
