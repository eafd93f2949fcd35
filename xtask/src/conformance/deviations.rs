//! `conformance/SUITE/deviations.txt`: cases that fail on purpose, each with its reason.

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

/// One case per line, `case: reason`; lines that begin with `#` are comments.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once(": ") {
            Some((case, why)) if !why.trim().is_empty() => Ok((case.to_owned(), why.to_owned())),
            _ => Err(format!("deviations.txt: `{line}` is not `case: reason`").into()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deviation_has_a_reason() {
        let parsed = parse("# why\na 1: on purpose: yes\n").unwrap();
        assert_eq!(parsed["a 1"], "on purpose: yes");
        assert!(parse("a 1:\n").is_err());
        assert!(parse("a 1: \n").is_err());
    }
}
