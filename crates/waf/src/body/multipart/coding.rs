//! What lies on a part's content and on its names beside the form they stand in.

use crate::body::{
    ascii::{hex_pair, is_space, sextet, trim},
    charset::{Charset, decode_charset},
};

/// How a part says its content is encoded (RFC 2045, section 6; RFC 7578 ended it, some servers did not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It stands as it is.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// Nobody here can take it out of this.
    Unknown,
}

impl Transfer {
    pub(super) fn named(name: &[u8]) -> Self {
        let name = trim(name);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if name.is_empty() || is("7bit") || is("8bit") || is("binary") {
            Self::Identity
        } else if is("base64") {
            Self::Base64
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Unknown
        }
    }

    /// What two headers say: the first that means something.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Identity { other } else { self }
    }

    /// Takes a content out of it, into `out`, which it clears first; returns whether all of it was as it should be.
    pub(super) fn decode(self, content: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Self::Identity | Self::Unknown => {
                out.extend_from_slice(content);
                self == Self::Identity
            }
            Self::Base64 => base64(content, out),
            Self::QuotedPrintable => quoted_printable(content, out),
        }
    }
}

/// As forgiving as readers of mail: what is no character of Base64 is passed over, and padding ends a group.
fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut bits, mut count, mut is_sound) = (0_u32, 0, true);
    for byte in text {
        match sextet(*byte) {
            Some(sextet) => (bits, count) = (bits << 6 | u32::from(sextet), count + 1),
            None if *byte == b'=' => {
                end_group(bits, count, out);
                (bits, count) = (0, 0);
            }
            None => is_sound &= is_space(*byte),
        }
        if count == 4 {
            end_group(bits, count, out);
            (bits, count) = (0, 0);
        }
    }
    end_group(bits, count, out);
    is_sound
}

/// Appends the bytes that so many characters say.
fn end_group(bits: u32, count: usize, out: &mut Vec<u8>) {
    let bits = bits << (6 * (4 - count));
    out.extend_from_slice(&bits.to_be_bytes()[1..count.max(1)]);
}

/// An equals sign at a line's end joins lines; one that is no escape stays.
fn quoted_printable(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut rest, mut is_sound) = (text, true);
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        let behind = &rest[at + 1..];
        rest = match (hex_pair(behind), line_end(behind)) {
            (Some(byte), _) => {
                out.push(byte);
                &behind[2..]
            }
            (None, Some(length)) => &behind[length..],
            (None, None) => {
                is_sound = false;
                out.push(b'=');
                behind
            }
        };
    }
    out.extend_from_slice(rest);
    is_sound
}

/// How long white space and the line's end behind it are.
fn line_end(text: &[u8]) -> Option<usize> {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &text[blank..] {
        [b'\r', b'\n', ..] => Some(blank + 2),
        [b'\n', ..] => Some(blank + 1),
        [] => Some(blank),
        _ => None,
    }
}

/// Appends `text` with its percent escapes decoded.
pub(super) fn percent(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = if *byte == b'%' { hex_pair(tail) } else { None };
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        out.push(escaped.unwrap_or(*byte));
    }
}

/// Decodes a text with encoded words in it (RFC 2047), which readers of mail put into names, into `out`, which it clears first.
/// Returns whether there
/// were any; without one, what is in `out` means nothing.
pub(super) fn encoded_words(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (mut rest, mut found) = (text, false);
    if memchr::memmem::find(text, b"=?").is_none() {
        return false;
    }
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let between = &rest[..at];
        // White space between two encoded words is none.
        if !(found && trim(between).is_empty()) {
            out.extend_from_slice(between);
        }
        rest = match Word::read(&rest[at + 2..]) {
            Some((word, behind)) => {
                word.decode(out);
                found = true;
                behind
            }
            None => {
                out.extend_from_slice(b"=?");
                &rest[at + 2..]
            }
        };
    }
    out.extend_from_slice(rest);
    found
}

/// Longer encoded words are none: RFC 2047 ends them at 75 bytes.
const WORD_BYTES_MAX: usize = 1_024;

/// An encoded word: `charset?B?text?=`.
struct Word<'a> {
    charset: &'a [u8],
    is_base64: bool,
    text: &'a [u8],
}

impl<'a> Word<'a> {
    /// Reads one behind its first two characters, and what is behind it.
    fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let near = &text[..text.len().min(WORD_BYTES_MAX)];
        let mark = memchr::memchr(b'?', near)?;
        let (charset, rest) = (&near[..mark], &near[mark + 1..]);
        let is_base64 = match rest {
            [b'b' | b'B', b'?', ..] => true,
            [b'q' | b'Q', b'?', ..] => false,
            _ => return None,
        };
        let end = memchr::memmem::find(&rest[2..], b"?=")?;
        let behind = mark + 1 + 2 + end + 2;
        Some((Self { charset, is_base64, text: &rest[2..2 + end] }, &text[behind..]))
    }

    fn decode(&self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        if self.is_base64 {
            base64(self.text, &mut bytes);
        } else {
            let spaced: Vec<u8> =
                self.text.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            quoted_printable(&spaced, &mut bytes);
        }
        // A language may follow the charset (RFC 2231, section 5).
        let label = self.charset.split(|byte| *byte == b'*').next();
        let mut text = Vec::new();
        match decode_charset(&bytes, label, &mut text) {
            Charset::Decoded { .. } => out.extend_from_slice(&text),
            Charset::Plain | Charset::Unknown => out.extend_from_slice(&bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(transfer: &str, content: &str, expected: (&str, bool)) {
        let mut out = Vec::new();
        let is_sound = Transfer::named(transfer.as_bytes()).decode(content.as_bytes(), &mut out);
        assert_eq!((out.escape_ascii().to_string().as_str(), is_sound), expected, "{content}");
    }

    #[test]
    fn contents_are_taken_out_of_their_coding() {
        check(" 8BIT ", "a=3D", ("a=3D", true));
        check("x-uuencode", "a", ("a", false));
        check("base64", "PHNj\r\ncmlw dD4=", ("<script>", true));
        check("Base64", "PHNj!cmlwdD4", ("<script>", false));
        check("base64", "PA==c2NyaXB0Pg==", ("<script>", true));
        check("base64", "P", ("", true));
        check("quoted-printable", "=3Cscr=\r\nipt=3e", ("<script>", true));
        check("quoted-printable", "a= \nb=", ("ab", true));
        check("quoted-printable", "a=b", ("a=b", false));
    }

    #[test]
    fn words_of_mail_are_decoded() {
        let cases = [
            ("=?utf-8?B?c2hlbGwucGhw?=", Some("shell.php")),
            ("x =?us-ascii?q?shell?=\r\n =?us-ascii*en?Q?=2Ep_p?=.gif", Some("x shell.p p.gif")),
            ("=?utf-7?Q?+ADw-?=", Some("<")),
            ("a=?b", None),
            ("=?utf-8?x?a?=", None),
            ("=?utf-8?b?a", None),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            let found = encoded_words(text.as_bytes(), &mut out);
            assert_eq!(found, expected.is_some(), "{text}");
            assert_eq!(out, expected.unwrap_or(text).as_bytes(), "{text}");
        }
    }
}
