//! `conformance/SUITE/deviations.txt`: cases that fail on purpose, with their reasons.

use std::{collections::BTreeMap, fs};

use crate::{Result, workspace};

/// Reads the file of `suite`; without a file nothing is explained.
pub fn read(suite: &str) -> Result<BTreeMap<String, String>> {
    let path = workspace::root().join("conformance").join(suite).join("deviations.txt");
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// A reason on a line of its own, then the cases it explains, each indented; `#` begins a comment.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let mut explained = BTreeMap::new();
    let mut reason = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => reason = line,
            Some(case) if reason.is_empty() => {
                return Err(format!("deviations.txt: `{case}` has no reason above it").into());
            }
            Some(case) => drop(explained.insert(case.to_owned(), reason.to_owned())),
        }
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deviation_has_a_reason() {
        let parsed = parse("# why\n\nOn purpose.\n  a: 1\n  b\nSo be it.\n  c\n").unwrap();
        let pairs: Vec<_> = parsed.iter().map(|(case, why)| format!("{case}|{why}")).collect();
        assert_eq!(pairs, ["a: 1|On purpose.", "b|On purpose.", "c|So be it."]);
        assert!(parse("  a\n").is_err());
    }
}
