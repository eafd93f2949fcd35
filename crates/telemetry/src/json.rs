//! JSON strings from any bytes.

use std::fmt::{self, Write};

/// Bytes of one text that are written at most; what is longer ends with `…`.
pub(crate) const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Appends `bytes` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
pub(crate) fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    push_cut(out, bytes, TEXT_BYTES_MAX);
}

/// Appends at most `bytes_max` of `bytes`, as [`push_string`] does.
pub(crate) fn push_cut(out: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    out.push(b'"');
    push_escaped(out, &bytes[..bytes.len().min(bytes_max)]);
    if bytes.len() > bytes_max {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Appends what `value` prints as a JSON string with its quotes.
pub(crate) fn push_display(out: &mut Vec<u8>, value: &dyn fmt::Display) {
    out.push(b'"');
    let mut text = Escaping { out, left: TEXT_BYTES_MAX };
    if write!(text, "{value}").is_err() {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Takes text until the bound, then fails so that the printer stops.
struct Escaping<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(self.left);
        push_escaped(self.out, &text.as_bytes()[..end]);
        self.left -= end;
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.iter().all(|byte| is_plain(*byte)) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        push_escaped_str(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

fn push_escaped_str(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1F | 0x7F => push_control(out, byte),
            _ => out.push(byte),
        }
    }
}

fn push_control(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E) && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let mut out = Vec::new();
        push_string(&mut out, bytes);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn strings_are_escaped() {
        check(b"plain /path", r#""plain /path""#);
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"\n\r\t\0\x1b\x7f", r#""\n\r\t\u0000\u001b\u007f""#);
        check("Zürich ☃ 😀".as_bytes(), "\"Zürich ☃ 😀\"");
        check(b"a\xffb\xc3", "\"a\u{FFFD}b\u{FFFD}\"");
        check(b"\xed\xa0\x80", "\"\u{FFFD}\u{FFFD}\u{FFFD}\"");
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let mut out = Vec::new();
        push_display(&mut out, &"é".repeat(TEXT_BYTES_MAX));
        let text: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(text, "é".repeat(TEXT_BYTES_MAX / 2) + "…");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_read_back_as_their_lossy_text(bytes: Vec<u8>) {
            let mut out = Vec::new();
            push_string(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            proptest::prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
