//! From a request's path to a name below the site's folder.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Relative to the folder, without slashes at either end; empty is the folder itself.
    pub(super) name: Vec<u8>,
    /// The path ended with a slash.
    pub(super) is_folder: bool,
}

impl Target {
    /// `None` for what no file may answer: hidden names, empty or dot segments, encoded slashes
    /// and NULs, broken percent-encoding.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let Some(inner) = path.strip_prefix('/') else {
            return path.is_empty().then(|| Self { name: Vec::new(), is_folder: false });
        };
        let is_folder = inner.is_empty() || inner.ends_with('/');
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return (path == "/").then(|| Self { name: Vec::new(), is_folder });
        }
        let mut name = Vec::with_capacity(inner.len());
        for (index, raw) in inner.split('/').enumerate() {
            let segment = decoded_segment(raw)?;
            let is_hidden = segment[0] == b'.' && !(index == 0 && segment == b".well-known");
            if is_hidden {
                return None;
            }
            if index > 0 {
                name.push(b'/');
            }
            name.extend_from_slice(&segment);
        }
        Some(Self { name, is_folder })
    }

    /// Whether a person rather than a page's markup asks: no extension.
    pub(super) fn may_be_a_page(&self) -> bool {
        let last = self.name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        !last.contains(&b'.')
    }
}

/// Decodes once; never empty.
fn decoded_segment(raw: &str) -> Option<Vec<u8>> {
    if raw.is_empty() || !is_percent_encoding(raw.as_bytes()) {
        return None;
    }
    let segment: Vec<u8> = percent_decode_str(raw).collect();
    let is_plain = !segment.iter().any(|byte| matches!(byte, 0 | b'/'));
    is_plain.then_some(segment)
}

fn is_percent_encoding(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest[at + 1..] {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = &rest[at + 3..];
            }
            _ => return false,
        }
    }
    true
}

/// What may not stand in a path; `%` stays, the path is encoded already. The backslash is here
/// because browsers take it for a slash.
const PATH_SET: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const QUERY_SET: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Where a folder asked for without its slash really is. Always a path of the same origin: it
/// begins with one slash, never with two.
pub(super) fn folder_location(path: &str, query: Option<&str>) -> String {
    let path = utf8_percent_encode(path.trim_matches('/'), PATH_SET);
    match query {
        Some(query) => format!("/{path}/?{}", utf8_percent_encode(query, QUERY_SET)),
        None => format!("/{path}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, bool)>) {
        let expected =
            expected.map(|(name, is_folder)| Target { name: name.as_bytes().to_vec(), is_folder });
        assert_eq!(Target::parse(path), expected, "{path}");
    }

    #[test]
    fn a_path_becomes_a_name() {
        check("", Some(("", false)));
        check("/", Some(("", true)));
        check("/a", Some(("a", false)));
        check("/a/b.html", Some(("a/b.html", false)));
        check("/a/", Some(("a", true)));
        check("/a%20b/%C3%A9", Some(("a b/é", false)));
        check("/a%5Cb", Some(("a\\b", false)));
        check("/100%25", Some(("100%", false)));
        check("/%2525", Some(("%25", false)));
    }

    #[test]
    fn no_file_may_answer_these() {
        for path in [
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/../a",
            "/a/../b",
            "/a/./b",
            "/..%2f",
            "/%2e%2e/",
            "/%2E%2e/etc/passwd",
            "/a%2Fb",
            "/a%2f..%2fb",
            "/%00",
            "/a%00.html",
            "/%",
            "/%2",
            "/%zz",
            "/a%",
            "/.git/config",
            "/.env",
            "/%2eenv",
            "/a/.hidden/b",
            "/a/.well-known/b",
            "/.well-known/.git",
            "/.well-known-not",
        ] {
            check(path, None);
        }
        check("/.well-known/acme-challenge/x", Some((".well-known/acme-challenge/x", false)));
    }

    #[test]
    fn pages_have_no_extension() {
        for (path, expected) in [
            ("/", true),
            ("/users/7", true),
            ("/v1.2/users", true),
            ("/app.js", false),
            ("/a.b/", false),
        ] {
            assert_eq!(Target::parse(path).unwrap().may_be_a_page(), expected, "{path}");
        }
    }

    #[test]
    fn a_location_stays_on_its_origin() {
        for (path, query, expected) in [
            ("/docs", None, "/docs/"),
            ("/docs", Some("a=1&b=%20"), "/docs/?a=1&b=%20"),
            ("/docs", Some(""), "/docs/?"),
            ("//evil.example", None, "/evil.example/"),
            ("/\\evil.example", None, "/%5Cevil.example/"),
            ("/a\r\nset-cookie: b", Some("\r\nc"), "/a%0D%0Aset-cookie:%20b/?%0D%0Ac"),
            ("/é%20", None, "/%C3%A9%20/"),
        ] {
            assert_eq!(folder_location(path, query), expected);
        }
    }
}
