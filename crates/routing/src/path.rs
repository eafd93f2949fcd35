//! One spelling for each path, so that what is matched, served and forwarded is the same.

use std::{borrow::Cow, fmt};

use crate::request::decode_hex;

/// Why a path is refused. The answer is 400; `at` counts bytes from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not begin with `/`.
    Relative,
    /// A control byte, space, `#`, `?` or a byte beyond ASCII.
    Byte {
        /// The byte.
        byte: u8,
        /// Where.
        at: usize,
    },
    /// A raw `\`, which some servers take for `/`.
    Backslash {
        /// Where.
        at: usize,
    },
    /// `%` without two hexadecimal digits.
    Encoding {
        /// Where.
        at: usize,
    },
    /// `%00`.
    EncodedNul {
        /// Where.
        at: usize,
    },
    /// A `..` that leaves the root.
    AboveRoot {
        /// Where the segment begins.
        at: usize,
    },
    /// A `..` next to an encoded separator or a parameter (`..%2F`, `..;x`), which some servers resolve.
    HiddenDots {
        /// Where the segment begins.
        at: usize,
    },
}

/// Returns the one spelling of `raw`, the path of a request target without its query.
///
/// The rules, in full, are in `docs/reference/paths.md`. A path that is clean already is returned as it
/// is, without allocation. The result of a result is itself.
pub fn normalise_path(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if raw.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !raw.starts_with('/') {
        return Err(PathError::Relative);
    }
    if is_clean(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut path = String::with_capacity(raw.len());
    let mut start = 1;
    for segment in raw[1..].split('/') {
        push_segment(&mut path, segment, start)?;
        start += segment.len() + 1;
    }
    Ok(Cow::Owned(path))
}

/// Whether nothing has to be done: a conservative answer from one pass.
fn is_clean(path: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let clean = match byte {
            b'/' => !matches!(path.get(at + 1), Some(b'/')) && !starts_dotted(&path[at + 1..]),
            b'%' => {
                decode_hex(&path[at + 1..]).is_some_and(|byte| keeps_its_escape(byte, &path[at..]))
            }
            _ => is_plain(byte) && byte != b';',
        };
        if !clean {
            return false;
        }
        at += if byte == b'%' { 3 } else { 1 };
    }
    true
}

/// Whether a segment begins with a dot that is not just the dot of a name such as `.well-known`.
fn starts_dotted(segment: &[u8]) -> bool {
    segment.first() == Some(&b'.') && !segment.get(1).is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether the escape of `byte`, written as at the front of `text`, is final and hides nothing.
fn keeps_its_escape(byte: u8, text: &[u8]) -> bool {
    let upper = !text[1].is_ascii_lowercase() && !text[2].is_ascii_lowercase();
    upper && !is_unreserved(byte) && !matches!(byte, 0 | b'/' | b'\\' | b';')
}

/// Appends `/segment` to `path`, or takes a segment off for `..`. `at` is where the segment begins.
///
/// `path` ends in `/` exactly when the last segment appended left nothing but its slash.
fn push_segment(path: &mut String, segment: &str, at: usize) -> Result<(), PathError> {
    if !path.ends_with('/') {
        path.push('/');
    }
    let keep = path.len();
    push_decoded(path, segment, at)?;
    match &path[keep..] {
        "." => path.truncate(keep),
        ".." => {
            path.truncate(keep);
            pop_segment(path).ok_or(PathError::AboveRoot { at })?;
        }
        decoded if hides_dots(decoded) => return Err(PathError::HiddenDots { at }),
        _ => {}
    }
    Ok(())
}

/// `/a/b/` becomes `/a/`; there is nothing to take from `/`.
fn pop_segment(path: &mut String) -> Option<()> {
    let parent = path.strip_suffix('/')?.rfind('/')?;
    path.truncate(parent + 1);
    Some(())
}

fn push_decoded(path: &mut String, segment: &str, at: usize) -> Result<(), PathError> {
    let bytes = segment.as_bytes();
    let mut here = 0;
    while let Some(&byte) = bytes.get(here) {
        let at = at + here;
        if byte == b'%' {
            let decoded = decode_hex(&bytes[here + 1..]).ok_or(PathError::Encoding { at })?;
            push_escaped(path, decoded, at)?;
            here += 3;
        } else {
            push_raw(path, byte, at)?;
            here += 1;
        }
    }
    Ok(())
}

fn push_escaped(path: &mut String, byte: u8, at: usize) -> Result<(), PathError> {
    match byte {
        0 => return Err(PathError::EncodedNul { at }),
        byte if is_unreserved(byte) => path.push(char::from(byte)),
        byte => push_escape(path, byte),
    }
    Ok(())
}

fn push_raw(path: &mut String, byte: u8, at: usize) -> Result<(), PathError> {
    match byte {
        b'\\' => return Err(PathError::Backslash { at }),
        byte if is_plain(byte) => path.push(char::from(byte)),
        b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
            push_escape(path, byte);
        }
        byte => return Err(PathError::Byte { byte, at }),
    }
    Ok(())
}

/// Appends `%XX`.
pub(crate) fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether a server that decodes too much would find `..` inside `segment`.
fn hides_dots(segment: &str) -> bool {
    segment.contains("..") && pieces(segment).any(|piece| piece == "..")
}

/// The parts of a segment between encoded separators and parameters.
fn pieces(segment: &str) -> impl Iterator<Item = &str> {
    segment
        .split(';')
        .flat_map(|part| part.split("%3B"))
        .flat_map(|part| part.split("%2F"))
        .flat_map(|part| part.split("%5C"))
}

/// `unreserved` of RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a segment as it is: `pchar` of RFC 3986 §3.3 without `%`.
pub(crate) fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',')
        || matches!(byte, b';' | b'=' | b':' | b'@')
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative => f.write_str("the path must begin with `/`"),
            Self::Byte { byte, at } => {
                write!(f, "byte 0x{byte:02X} at {at} must be percent-encoded")
            }
            Self::Backslash { at } => write!(f, "backslash at {at} must be percent-encoded"),
            Self::Encoding { at } => {
                write!(f, "`%` at {at} must be followed by two hexadecimal digits")
            }
            Self::EncodedNul { at } => write!(f, "`%00` at {at} is not allowed"),
            Self::AboveRoot { at } => write!(f, "`..` at {at} leaves the root"),
            Self::HiddenDots { at } => {
                write!(f, "the segment at {at} hides `..` beside a separator")
            }
        }
    }
}

impl std::error::Error for PathError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        let actual = match normalise_path(raw) {
            Ok(path) => path.into_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{raw}");
    }

    #[track_caller]
    fn check_borrowed(raw: &str) {
        assert!(matches!(normalise_path(raw), Ok(Cow::Borrowed(path)) if path == raw), "{raw}");
    }

    #[test]
    fn clean_paths_are_borrowed() {
        for path in ["/", "/a", "/a/", "/a/b.html", "/.well-known/x", "/a:b@c,d=e", "/caf%C3%A9"] {
            check_borrowed(path);
        }
        assert_eq!(normalise_path(""), Ok(Cow::Borrowed("/")));
    }

    #[test]
    fn dot_segments_go() {
        check("/a/b/c/./../../g", "/a/g");
        check("/a/.", "/a/");
        check("/a/..", "/");
        check("/a/b/..", "/a/");
        check("/.", "/");
        check("/a/%2e%2E/b", "/b");
        check("/a/.%2e/b", "/b");
        check("/...", "/...");
        check("/a/..b/.c", "/a/..b/.c");
    }

    #[test]
    fn slashes_merge_before_dots_are_resolved() {
        check("//a///b//", "/a/b/");
        check("/a//../b", "/b");
        check("//", "/");
    }

    #[test]
    fn one_spelling() {
        check("/%41%7e%2D", "/A~-");
        check("/%c3%a9", "/%C3%A9");
        check("/a%2fb%5cc", "/a%2Fb%5Cc");
        check("/%2525", "/%2525");
        check("/[x]|{y}", "/%5Bx%5D%7C%7By%7D");
        check("/a;v=1/b", "/a;v=1/b");
        check("/%3b%40", "/%3B%40");
    }

    #[test]
    fn refusals_name_the_place() {
        check("a", "the path must begin with `/`");
        check("*", "the path must begin with `/`");
        check("/a\0", "byte 0x00 at 2 must be percent-encoded");
        check("/a b", "byte 0x20 at 2 must be percent-encoded");
        check("/a\u{7f}", "byte 0x7F at 2 must be percent-encoded");
        check("/é", "byte 0xC3 at 1 must be percent-encoded");
        check("/a#b", "byte 0x23 at 2 must be percent-encoded");
        check("/a\\..\\b", "backslash at 2 must be percent-encoded");
        check("/a%00b", "`%00` at 2 is not allowed");
        check("/a%", "`%` at 2 must be followed by two hexadecimal digits");
        check("/a%4", "`%` at 2 must be followed by two hexadecimal digits");
        check("/a%g0", "`%` at 2 must be followed by two hexadecimal digits");
        check("/a%+1", "`%` at 2 must be followed by two hexadecimal digits");
        check("/..", "`..` at 1 leaves the root");
        check("/a/../../b", "`..` at 6 leaves the root");
        check("/a/..;x/b", "the segment at 3 hides `..` beside a separator");
        check("/a/..%2fb", "the segment at 3 hides `..` beside a separator");
        check("/a/b%5c%2e./c", "the segment at 3 hides `..` beside a separator");
        check("/a/..%3bx", "the segment at 3 hides `..` beside a separator");
    }

    #[test]
    fn the_table_of_the_reference_holds() {
        let page = include_str!("../../../docs/reference/paths.md");
        let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `/")).collect();
        assert_eq!(rows.len(), 10);
        for row in rows {
            let (raw, expected) = row.split_once("` | ").unwrap();
            let expected = expected.trim_end_matches(" |").trim_start_matches("400: ");
            let expected = expected
                .strip_prefix("``")
                .and_then(|it| it.strip_suffix("``"))
                .or_else(|| expected.strip_prefix('`').and_then(|it| it.strip_suffix('`')));
            check(&format!("/{raw}"), expected.unwrap().trim());
        }
    }

    fn any_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", ".", "..", "a", "b", "%2e", "%2E", "%2f", "%5C", "%41", "%", "%0",
            "%00", "%25", "%3b", "%c3", "\\", ";", "[", "~", " ", "é", "\u{1}", "-", "25", "2e",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    /// RFC 3986 §5.2.4 step by step, after decoding and merging; `None` above the root.
    fn naive(decoded: &str) -> Option<String> {
        let mut out: Vec<&str> = Vec::new();
        let segments: Vec<&str> = decoded.split('/').skip(1).collect();
        let last = segments.len() - 1;
        for (index, segment) in segments.into_iter().enumerate() {
            match segment {
                ".." => drop(out.pop()?),
                "." | "" => {}
                name => out.push(name),
            }
            if index == last && matches!(segment, "" | "." | "..") {
                out.push("");
            }
        }
        Some(format!("/{}", out.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn normal_paths_stay(raw in any_path()) {
            if let Ok(once) = normalise_path(&raw) {
                let twice = normalise_path(&once);
                prop_assert!(matches!(&twice, Ok(path) if *path == *once), "{raw} {once} {twice:?}");
            }
        }

        #[test]
        fn normal_paths_have_one_spelling(raw in any_path()) {
            if let Ok(path) = normalise_path(&raw) {
                prop_assert!(path.starts_with('/') && !path.contains("//"), "{path}");
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert!(path.bytes().all(|byte| is_plain(byte) || matches!(byte, b'/' | b'%')));
            }
        }

        #[test]
        fn dot_segments_follow_the_rfc(segments in prop::collection::vec("(\\.|\\.\\.|a|b|)", 1..8)) {
            let raw = format!("/{}", segments.join("/"));
            let actual = normalise_path(&raw).ok().map(Cow::into_owned);
            prop_assert_eq!(actual, naive(&raw));
        }

        #[test]
        fn clean_means_unchanged(raw in any_path()) {
            if is_clean(raw.as_bytes()) {
                let mut slow = String::new();
                let mut start = 1;
                for segment in raw[1..].split('/') {
                    push_segment(&mut slow, segment, start).unwrap();
                    start += segment.len() + 1;
                }
                prop_assert_eq!(slow, raw);
            }
        }

        #[test]
        fn no_text_panics(raw in "\\PC*") {
            let _ = normalise_path(&raw);
        }
    }
}
