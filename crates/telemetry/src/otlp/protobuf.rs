//! Writing protobuf: the four wire types that OTLP needs.

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// Appends a whole number; zero is left out, as proto3 does.
pub(super) fn push_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        push_tag(out, field, VARINT);
        push_varint(out, value);
    }
}

/// Appends a 64-bit number in eight bytes.
pub(super) fn push_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    push_tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a 32-bit number in four bytes.
pub(super) fn push_fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    push_tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends bytes or text.
pub(super) fn push_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    push_tag(out, field, LENGTH);
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a message that `fill` writes; its length is put in front afterwards.
pub(super) fn push_message(out: &mut Vec<u8>, field: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    push_tag(out, field, LENGTH);
    let start = out.len();
    fill(out);
    let length = out.len() - start;
    push_varint(out, length as u64);
    let size = out.len() - start - length;
    out[start..].rotate_right(size);
}

/// Appends the head of a message whose `length` bytes follow.
pub(super) fn push_head(out: &mut Vec<u8>, field: u32, length: usize) {
    push_tag(out, field, LENGTH);
    push_varint(out, length as u64);
}

fn push_tag(out: &mut Vec<u8>, field: u32, kind: u32) {
    push_varint(out, u64::from(field << 3 | kind));
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The value of the varint `wanted` in a message, or 0; `None` when the message is broken.
pub(super) fn find_uint(message: &[u8], wanted: u32) -> Option<u64> {
    find(message, wanted, VARINT).map(|found| found.map_or(0, |(number, _)| number))
}

/// The bytes of the field `wanted` in a message, or none; `None` when the message is broken.
pub(super) fn find_bytes(message: &[u8], wanted: u32) -> Option<&[u8]> {
    find(message, wanted, LENGTH).map(|found| found.map_or(&[][..], |(_, bytes)| bytes))
}

type Found<'a> = Option<(u64, &'a [u8])>;

fn find(mut rest: &[u8], wanted: u32, kind: u32) -> Option<Found<'_>> {
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        let found = take_value(&mut rest, (tag & 7) as u32)?;
        if tag == u64::from(wanted << 3 | kind) {
            return Some(Some(found));
        }
    }
    Some(None)
}

fn take_value<'a>(rest: &mut &'a [u8], kind: u32) -> Option<(u64, &'a [u8])> {
    match kind {
        VARINT => Some((take_varint(rest)?, &[])),
        FIXED64 => Some((0, rest.split_off(..8)?)),
        FIXED32 => Some((0, rest.split_off(..4)?)),
        LENGTH => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            Some((0, rest.split_off(..length)?))
        }
        _ => None,
    }
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_protobuf_says() {
        let mut out = Vec::new();
        push_uint(&mut out, 1, 150);
        push_uint(&mut out, 2, 0);
        push_bytes(&mut out, 2, b"testing");
        push_message(&mut out, 3, |out| push_uint(out, 1, 150));
        push_fixed64(&mut out, 7, 1);
        push_fixed32(&mut out, 16, 0x301);
        let expected: &[&[u8]] = &[
            &[0x08, 0x96, 0x01],
            b"\x12\x07testing",
            &[0x1A, 0x03, 0x08, 0x96, 0x01],
            &[0x39, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0x85, 0x01, 0x01, 0x03, 0, 0],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn long_messages_carry_long_lengths() {
        let mut out = Vec::new();
        push_message(&mut out, 1, |out| push_bytes(out, 1, &[7; 300]));
        assert_eq!(out[..6], [0x0A, 0xAF, 0x02, 0x0A, 0xAC, 0x02]);
        assert_eq!(out.len(), 306);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_found(number: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            push_fixed32(&mut out, 9, 1);
            push_bytes(&mut out, 2, &bytes);
            push_fixed64(&mut out, 8, 1);
            push_uint(&mut out, 1, number);
            proptest::prop_assert_eq!(find_uint(&out, 1), Some(number));
            proptest::prop_assert_eq!(find_bytes(&out, 2), Some(&bytes[..]));
            proptest::prop_assert_eq!(find_bytes(&out, 3), Some(&[][..]));
        }

        #[test]
        fn garbage_is_no_panic(bytes: Vec<u8>) {
            let _ = (find_uint(&bytes, 1), find_bytes(&bytes, 1));
        }
    }
}
