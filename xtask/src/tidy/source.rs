//! Rules for the text of a file.

use super::Finding;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Files whose bytes are data.
const DATA: &[&str] = &["LICENSE", "Cargo.lock", "fuzz/corpus/"];

/// Returns everything in the file at `path` that breaks a rule.
pub fn findings(path: &str, text: &str) -> Vec<Finding> {
    if DATA.iter().any(|data| path.starts_with(data)) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = name(path).into_iter().collect();
    if path.split('/').any(|part| part == "testdata") {
        return found;
    }
    found.extend(whitespace(path, text));
    if path.ends_with(".rs") {
        found.extend(exceptions(path, text));
        found.extend(tests_last(path, text));
    }
    if path.ends_with("/Cargo.toml") && !text.contains("[workspace]") {
        found.extend(manifest(path, text));
    }
    found
}

fn name(path: &str) -> Option<Finding> {
    let file = path.rsplit('/').next().unwrap_or(path);
    if file == "mod.rs" && !path.contains("/tests/") {
        return Some(Finding::new(path, "a module is `name.rs` beside `name/`, not `mod.rs`"));
    }
    let part = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let empty = part.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(path, format!("`{empty}` says nothing; name what is inside")))
}

fn whitespace(path: &str, text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = text
        .lines()
        .enumerate()
        .filter_map(|(i, line)| {
            let what = if line.contains('\t') {
                "a tab"
            } else if line.ends_with(' ') {
                "a space at the end of the line"
            } else {
                return None;
            };
            Some(Finding::new(format!("{path}:{}", i + 1), what))
        })
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(Finding::new(path, "the last line does not end"));
    }
    found
}

/// `#[allow]` hides a lint for ever; `#[expect]` says why and complains once it is no longer needed.
fn exceptions(path: &str, text: &str) -> Vec<Finding> {
    let attributes = ["#[", "#!["].iter().flat_map(|start| text.match_indices(start));
    attributes
        .filter_map(|(at, start)| {
            let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
            if !text[line_start..at].trim().is_empty() {
                return None;
            }
            let body = text[at + start.len()..].split(']').next().unwrap_or_default();
            let what = if body.starts_with("allow(") {
                "write `#[expect(lint, reason = \"…\")]` instead of `#[allow]`"
            } else if body.starts_with("expect(") && !body.contains("reason") {
                "an `#[expect]` gives its reason"
            } else {
                return None;
            };
            let line = text[..at].matches('\n').count() + 1;
            Some(Finding::new(format!("{path}:{line}"), what))
        })
        .collect()
}

fn tests_last(path: &str, text: &str) -> Option<Finding> {
    let (_, tests) = text.split_once("\nmod tests {\n")?;
    let (_, after) = tests.split_once("\n}\n")?;
    (!after.trim().is_empty()).then(|| Finding::new(path, "`mod tests` comes last in a file"))
}

fn manifest(path: &str, text: &str) -> Vec<Finding> {
    ["license.workspace = true", "edition.workspace = true", "[lints]\nworkspace = true"]
        .iter()
        .filter(|line| !text.contains(*line))
        .map(|line| Finding::new(path, format!("lacks `{}`", line.replace('\n', " "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = findings(path, text).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_say_something() {
        check("crates/edge/src/backoff.rs", "", &[]);
        check(
            "crates/edge/src/utils.rs",
            "",
            &["crates/edge/src/utils.rs: `utils` says nothing; name what is inside"],
        );
        check(
            "crates/edge/src/pool/mod.rs",
            "",
            &["crates/edge/src/pool/mod.rs: a module is `name.rs` beside `name/`, not `mod.rs`"],
        );
    }

    #[test]
    fn white_space_is_seen() {
        check("a.md", "one\ntwo\n", &[]);
        check("a.md", "one\n\ttwo\n", &["a.md:2: a tab"]);
        check("a.md", "one \n", &["a.md:1: a space at the end of the line"]);
        check("a.md", "one", &["a.md: the last line does not end"]);
        check("fuzz/corpus/path/tab", "\t", &[]);
    }

    #[test]
    fn an_exception_gives_its_reason() {
        let reason = "an `#[expect]` gives its reason";
        check("a.rs", "#[expect(unsafe_code, reason = \"mmap\")]\nfn f() {}\n", &[]);
        check(
            "a.rs",
            "fn f() {}\n#[expect(dead_code)]\nfn g() {}\n",
            &[&format!("a.rs:2: {reason}")],
        );
        check(
            "a.rs",
            "#![allow(dead_code)]\n",
            &["a.rs:1: write `#[expect(lint, reason = \"…\")]` instead of `#[allow]`"],
        );
    }

    #[test]
    fn tests_come_last() {
        check("a.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n", &[]);
        check(
            "a.rs",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n}\nfn f() {}\n",
            &["a.rs: `mod tests` comes last in a file"],
        );
    }

    #[test]
    fn manifests_inherit() {
        let whole =
            "license.workspace = true\nedition.workspace = true\n[lints]\nworkspace = true\n";
        check("crates/a/Cargo.toml", whole, &[]);
        check(
            "crates/a/Cargo.toml",
            "edition.workspace = true\n[lints]\nworkspace = true\n",
            &["crates/a/Cargo.toml: lacks `license.workspace = true`"],
        );
    }
}
