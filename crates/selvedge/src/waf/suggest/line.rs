//! Exclusions as a config has them.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_waf::rule::Variable;
use serde_json::{Value, json};

use super::solve::{Paths, Spot};

/// Paths with nothing in common get a line each, up to so many.
const PREFIXES_MAX: usize = 4;

/// One exclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) rule: u64,
    pub(super) name: Option<String>,
    pub(super) message: String,
    /// What the rule leaves alone; `None`: it is left out.
    pub(super) spot: Option<Spot>,
    /// Only for paths that begin so.
    pub(super) path: Option<String>,
    /// The names of the requests it is for.
    pub(super) spares: BTreeSet<String>,
}

impl Line {
    /// `exclude rule=… target="…" path="…"`, ready to paste.
    pub(super) fn kdl(&self) -> String {
        let Self { rule, name, message, spot, path, spares } = self;
        let mut text = match name {
            Some(name) => format!("exclude rule={}", quoted(name)),
            None => format!("exclude rule={rule}"),
        };
        if let Some(target) = spot.as_ref().and_then(target) {
            text.push_str(&format!(" target={}", quoted(&target)));
        }
        if let Some(path) = path {
            text.push_str(&format!(" path={}", quoted(path)));
        }
        format!("{text} // spares {}: {message}\n", spares.len())
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { rule, name, message, spot, path, spares } = self;
        json!({
            "rule": rule,
            "name": name,
            "message": message,
            "target": spot.as_ref().and_then(target),
            "path": path,
            "spares": spares.len(),
        })
    }
}

/// `args:comment`
fn target(spot: &Spot) -> Option<String> {
    let word = word(spot.variable)?;
    Some(match &spot.name {
        Some(name) => format!("{word}:{name}"),
        None => word.to_owned(),
    })
}

/// What a config calls a variable, where an exclusion can name it.
pub(super) fn word(variable: Variable) -> Option<&'static str> {
    use Variable as V;
    Some(match variable {
        V::Args => "args",
        V::ArgsGet => "query-args",
        V::ArgsPost => "body-args",
        V::ArgsNames | V::ArgsGetNames | V::ArgsPostNames => "args-names",
        V::RequestCookies => "cookies",
        V::RequestCookiesNames => "cookies-names",
        V::RequestHeaders => "headers",
        V::RequestHeadersNames => "headers-names",
        V::RequestFilename | V::RequestBasename => "path",
        V::QueryString => "query",
        V::RequestUri | V::RequestUriRaw | V::RequestLine => "uri",
        V::RequestBody | V::UnreadBody => "body",
        V::Files | V::FilesTmpContent => "files",
        V::FilesNames => "files-names",
        V::Xml => "xml",
        V::WebSocketFrame => "websocket",
        _ => return None,
    })
}

/// A text as KDL writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char.is_control()
                || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(char)));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// The path of a target, up to its last folder that is written without an escape.
pub(super) fn path(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    let local = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => &*text,
    };
    let path = local.split(['?', '#']).next().unwrap_or_default();
    let plain = path.split(['%', '\u{fffd}']).next().unwrap_or_default();
    let whole = plain.len() == path.len();
    let path = if whole { plain } else { &plain[..plain.rfind('/').map_or(0, |at| at + 1)] };
    if path.starts_with('/') { path.to_owned() } else { "/".to_owned() }
}

/// What paths begin with, as specifically as a few lines can say, and the names of their requests. `None`: anything.
pub(super) fn prefixes(paths: &Paths) -> Vec<(Option<String>, BTreeSet<String>)> {
    let prefix = common(paths.keys());
    if prefix != "/" {
        return vec![(Some(prefix.to_owned()), names(paths.values()))];
    }
    let mut groups: BTreeMap<&str, Vec<(&String, &BTreeSet<String>)>> = BTreeMap::new();
    for entry in paths {
        let first = entry.0[1..].split('/').next().unwrap_or_default();
        groups.entry(first).or_default().push(entry);
    }
    if groups.len() > PREFIXES_MAX || groups.contains_key("") {
        return vec![(None, names(paths.values()))];
    }
    let line = |group: &Vec<(&String, &BTreeSet<String>)>| {
        let prefix = common(group.iter().map(|(path, _)| *path));
        (Some(prefix.to_owned()), names(group.iter().map(|(_, names)| *names)))
    };
    groups.values().map(line).collect()
}

fn names<'p>(all: impl Iterator<Item = &'p BTreeSet<String>>) -> BTreeSet<String> {
    all.flatten().cloned().collect()
}

/// What all paths begin with, in whole folders; one of them where it is that.
fn common<'p>(mut paths: impl Iterator<Item = &'p String>) -> &'p str {
    let first = paths.next().map_or("/", String::as_str);
    paths.fold(first, |prefix, path| {
        let same = prefix.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
        let ends = |text: &str| text.len() == same || text.as_bytes()[same] == b'/';
        if ends(prefix) && ends(path) && same > 0 {
            return &prefix[..same];
        }
        let end = prefix.as_bytes()[..same].iter().rposition(|&byte| byte == b'/');
        &prefix[..end.map_or(0, |at| at + 1)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_exclusions_take_them() {
        for (target, expected) in [
            ("/a/b?c=/d", "/a/b"),
            ("http://a.example/x#y", "/x"),
            ("http://a.example?x", "/"),
            ("/a/b%20c/d", "/a/"),
            ("*", "/"),
            ("/a?x=http://b/", "/a"),
            ("a.example:443", "/"),
        ] {
            assert_eq!(path(target.as_bytes()), expected, "{target}");
        }
    }

    #[test]
    fn lines_are_as_specific_as_a_few_can_be() {
        for (paths, expected) in [
            (&["/a/b"][..], &[("/a/b", 1)][..]),
            (&["/a/b", "/a/c/d"], &[("/a/", 2)]),
            (&["/a/b/", "/a/b/c"], &[("/a/b/", 2)]),
            (&["/a/bc", "/a/bd"], &[("/a/", 2)]),
            (&["/a", "/a/b"], &[("/a", 2)]),
            (&["/a/b/c", "/a/b"], &[("/a/b", 2)]),
            (&["/a/b", "/a/bc/d", "/a/b/e"], &[("/a/", 3)]),
            (&["/a/x", "/b/y", "/b/z"], &[("/a/x", 1), ("/b/", 2)]),
            (&["/", "/b"], &[("", 2)]),
            (&["/a", "/b", "/c", "/d", "/e"], &[("", 5)]),
        ] {
            let name = |path: &&str| ((*path).to_owned(), BTreeSet::from([(*path).to_owned()]));
            let found = prefixes(&paths.iter().map(name).collect());
            let told = |(path, names): &(Option<String>, BTreeSet<String>)| {
                (path.clone().unwrap_or_default(), names.len())
            };
            let found: Vec<(String, usize)> = found.iter().map(told).collect();
            let expected: Vec<(String, usize)> =
                expected.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect();
            assert_eq!(found, expected, "{paths:?}");
        }
    }

    #[test]
    fn text_is_quoted_for_kdl() {
        assert_eq!(quoted("a\"b\\\n\u{202e}"), "\"a\\\"b\\\\\\u{a}\\u{202e}\"");
    }
}
