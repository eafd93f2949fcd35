use std::ops::Range;

use super::ascii::sextet;

/// Shorter runs are words.
const RUN_BYTES_MIN: usize = 16;

/// Finds texts that are written in Base64 within a value: the value as a whole, a `data:` URI's content, a
/// line of a longer text, a word of a command.
///
/// A run counts if it has 16 characters or more of the standard or the URL alphabet and what it decodes to
/// is text; of UTF-16 (as PowerShell has it) every other byte is left out. Work is linear in the value.
///
/// ```
/// use selvedge_waf::body::Base64Runs;
///
/// let mut decoded = Vec::new();
/// let mut runs = Base64Runs::new(b"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==");
/// assert_eq!(runs.next(&mut decoded), Some(22..58));
/// assert_eq!(decoded, b"<script>alert(1)</script>");
/// assert_eq!(runs.next(&mut decoded), None);
/// ```
#[derive(Clone, Debug)]
pub struct Base64Runs<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Base64Runs<'a> {
    /// Begins to look at a value.
    pub fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0 }
    }

    /// Finds the next run, writes what it says into `out`, and returns where it is in the value.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Option<Range<usize>> {
        while self.at < self.value.len() {
            let rest = &self.value[self.at..];
            let length = rest.iter().take_while(|byte| sextet(**byte).is_some()).count();
            let padding = rest[length..].iter().take(2).take_while(|byte| **byte == b'=').count();
            let start = self.at;
            self.at += (length + padding).max(1);
            if length >= RUN_BYTES_MIN && decode(&rest[..length], out) {
                return Some(start..self.at);
            }
        }
        None
    }
}

/// Writes what `text` says into `out` and returns whether it is text.
fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    for group in text.chunks(4) {
        let bits = group
            .iter()
            .filter_map(|byte| sextet(*byte))
            .fold(0_u32, |bits, sextet| bits << 6 | u32::from(sextet));
        let bits = bits << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    drop_nulls(out);
    is_text(out)
}

/// Makes ASCII of UTF-16, little-endian as PowerShell writes it.
fn drop_nulls(text: &mut Vec<u8>) {
    let is_wide = text.len() > 1 && text.chunks_exact(2).all(|pair| pair[0] != 0 && pair[1] == 0);
    if is_wide {
        let length = text.len() / 2;
        (0..length).for_each(|at| text[at] = text[2 * at]);
        text.truncate(length);
    }
}

/// Returns whether all but a sixteenth can be printed, so that no word passes by chance.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &&u8| (**byte < 0x20 && !b"\t\n\r".contains(byte)) || **byte == 0x7F;
    let controls = bytes.iter().filter(is_control).count();
    let broken: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    !bytes.is_empty() && (controls + broken) * 16 <= bytes.len()
}
