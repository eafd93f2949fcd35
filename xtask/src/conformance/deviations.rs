//! `conformance/SUITE/deviations.txt`: cases that fail on purpose, with their reasons.

use std::{collections::BTreeMap, fs};

use crate::{Result, workspace};

/// Why a case does not pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Deviation {
    pub reason: String,
    /// The case passes now and then, by a race of the suite's own: neither outcome tells anything.
    pub by_chance: bool,
}

/// Deviations by the name of their case.
pub type Deviations = BTreeMap<String, Deviation>;

/// Reads the file of `suite`; without a file nothing is explained.
pub fn read(suite: &str) -> Result<Deviations> {
    let path = workspace::root().join("conformance").join(suite).join("deviations.txt");
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// A reason on a line of its own, then the cases it explains, each indented, those that pass by
/// chance behind a `~ `; `#` begins a comment.
fn parse(text: &str) -> Result<Deviations> {
    let mut explained = BTreeMap::new();
    let mut reason = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => reason = line,
            Some(case) if reason.is_empty() => {
                return Err(format!("deviations.txt: `{case}` has no reason above it").into());
            }
            Some(case) => {
                let (case, by_chance) =
                    case.strip_prefix("~ ").map_or((case, false), |case| (case, true));
                let deviation = Deviation { reason: reason.to_owned(), by_chance };
                explained.insert(case.to_owned(), deviation);
            }
        }
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deviation_has_a_reason() {
        let parsed = parse("# why\n\nOn purpose.\n  a: 1\n  b\nSo be it.\n  ~ c\n").unwrap();
        let lines: Vec<_> = parsed
            .iter()
            .map(|(case, why)| format!("{case}|{}|{}", why.reason, why.by_chance))
            .collect();
        assert_eq!(lines, ["a: 1|On purpose.|false", "b|On purpose.|false", "c|So be it.|true"]);
        assert!(parse("  a\n").is_err());
    }
}
