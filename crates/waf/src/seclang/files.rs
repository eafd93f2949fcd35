//! Where the text comes from.

use std::{collections::BTreeMap, io};

/// Reads rule files and data files for the loader.
///
/// Names in files are relative to the file they stand in; they arrive here joined to its folder.
pub trait Files {
    /// Returns the bytes of a file.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;

    /// Returns the names of the files that a pattern of an `Include` stands for (see [`glob`]), sorted.
    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>>;
}

/// Files in memory, by name.
impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        Ok(self.keys().filter(|name| glob(pattern, name)).cloned().collect())
    }
}

/// Returns whether a name fits a pattern: `*`, `?` and `[a-z]` stand for anything but `/`.
pub fn glob(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if segment(pattern.as_bytes(), name.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// Whether a name holds what makes it a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The name as it is meant in a file: beside that file, unless it begins with a slash.
pub(super) fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name.to_owned(),
    }
}

/// The last `*` seen takes one byte more wherever what follows it does not fit: linear in name × pattern.
fn segment(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < name.len() {
        match one(&pattern[at..], name[from]) {
            _ if pattern.get(at) == Some(&b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(width) => (at, from) = (at + width, from + 1),
            None => {
                let Some((before, taken)) = star else { return false };
                star = Some((before, taken + 1));
                (at, from) = (before + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// How many bytes of the pattern stand for this one byte, if they do.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b']')?;
            in_class(&rest[..end], byte).then_some(end + 2)
        }
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut class) = match class {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    while let [first, rest @ ..] = class {
        class = match rest {
            [b'-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&byte);
                rest
            }
            _ => {
                found |= *first == byte;
                rest
            }
        };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_a_segment() {
        let cases: &[(&str, &str, bool)] = &[
            ("rules/*.conf", "rules/a.conf", true),
            ("rules/*.conf", "rules/.conf", true),
            ("rules/*.conf", "rules/a.conf.example", false),
            ("rules/*.conf", "rules/a/b.conf", false),
            ("*/*-before.conf", "plugins/wp-before.conf", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.conf", "a.conf", true),
            ("?.conf", ".conf", false),
            ("REQUEST-9[0-4]*", "REQUEST-942-X", true),
            ("REQUEST-9[0-4]*", "REQUEST-980-X", false),
            ("[!a]", "b", true),
            ("[!a]", "a", false),
            ("[", "[", false),
            ("", "", true),
            ("**", "", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(glob(pattern, name), *expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_beside_the_file() {
        assert_eq!(beside("etc/main.conf", "x.data"), "etc/x.data");
        assert_eq!(beside("main.conf", "x.data"), "x.data");
        assert_eq!(beside("etc/main.conf", "/x.data"), "/x.data");
    }
}
