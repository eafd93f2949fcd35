//! What a suite said.

use serde_json::Value;

use super::deviations::Deviations;
use crate::Result;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// One case of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub outcome: Outcome,
    pub detail: String,
}

/// Everything a suite said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub version: String,
    pub cases: Vec<Case>,
    /// What is to be said beside the cases, in Markdown.
    pub notes: Vec<String>,
}

impl Report {
    /// Reads a driver's lines; what is not a JSON object is for people and passed over.
    pub fn parse(text: &str) -> Result<Self> {
        let mut report = Self::default();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line)?;
            if let Some(version) = value["version"].as_str() {
                report.version = version.to_owned();
            } else if let Some(note) = value["note"].as_str() {
                report.notes.push(note.to_owned());
            } else {
                report.cases.push(case(&value).ok_or_else(|| format!("not a case: {line}"))?);
            }
        }
        if report.cases.is_empty() {
            return Err("the suite ran no case".into());
        }
        Ok(report)
    }

    /// Number of cases that failed.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.outcome == Outcome::Fail).count()
    }
}

fn case(value: &Value) -> Option<Case> {
    let outcome = match value["outcome"].as_str()? {
        "pass" => Outcome::Pass,
        "fail" => Outcome::Fail,
        "skip" => Outcome::Skip,
        _ => return None,
    };
    let detail = value["detail"].as_str().unwrap_or_default().to_owned();
    Some(Case { name: value["case"].as_str()?.to_owned(), outcome, detail })
}

/// A report beside the deviations we explain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub version: String,
    pub passed: usize,
    /// Case and explanation.
    pub deviations: Vec<(String, String)>,
    /// Case and what went wrong.
    pub failed: Vec<(String, String)>,
    /// Case and reason.
    pub skipped: Vec<(String, String)>,
    /// Explained, but it passes.
    pub stale: Vec<String>,
    /// What is to be said beside the cases, in Markdown.
    pub notes: Vec<String>,
}

impl Tally {
    /// A suite that could not run at all.
    pub fn skipped(reason: String) -> Self {
        let skipped = vec![("all".to_owned(), reason)];
        Self { version: "-".to_owned(), skipped, ..Self::default() }
    }

    /// Sorts the cases of `report`; an explanation of a case that is not there is an error.
    pub fn of(report: Report, explained: &Deviations) -> Result<Self> {
        let unknown = explained.keys().find(|name| !report.cases.iter().any(|c| c.name == **name));
        if let Some(name) = unknown {
            return Err(format!("deviations.txt explains `{name}`, which is no case").into());
        }
        let (version, notes) = (report.version, report.notes);
        let mut tally = Self { version, notes, ..Self::default() };
        for Case { name, outcome, detail } in report.cases {
            match (outcome, explained.get(&name)) {
                (Outcome::Pass, None) => tally.passed += 1,
                (Outcome::Pass, Some(why)) if !why.by_chance => tally.stale.push(name),
                (Outcome::Pass | Outcome::Fail, Some(why)) => {
                    tally.deviations.push((name, why.reason.clone()));
                }
                (Outcome::Fail, None) => tally.failed.push((name, detail)),
                (Outcome::Skip, _) => tally.skipped.push((name, detail)),
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::deviations::Deviation, *};

    const LINES: &str = r#"
for people
{"version": "1.2"}
{"note": "a table"}
{"case": "a", "outcome": "pass"}
{"case": "b", "outcome": "fail", "detail": "no"}
{"case": "c", "outcome": "fail", "detail": "no"}
{"case": "d", "outcome": "skip", "detail": "no data"}
"#;

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    fn explained(name: &str, by_chance: bool) -> Deviations {
        let reason = "on purpose".to_owned();
        BTreeMap::from([(name.to_owned(), Deviation { reason, by_chance })])
    }

    #[test]
    fn failures_are_explained_or_count() {
        let report = Report::parse(LINES).unwrap();
        assert_eq!((report.version.as_str(), report.failed()), ("1.2", 2));
        let tally = Tally::of(report, &explained("b", false)).unwrap();
        assert_eq!((tally.passed, tally.notes.as_slice()), (1, &["a table".to_owned()][..]));
        assert_eq!(tally.deviations, [pair("b", "on purpose")]);
        assert_eq!(tally.failed, [pair("c", "no")]);
        assert_eq!(tally.skipped, [pair("d", "no data")]);
    }

    #[test]
    fn explanations_do_not_outlive_their_case() {
        let tally = |explained| Tally::of(Report::parse(LINES).unwrap(), &explained);
        assert_eq!(tally(explained("a", false)).unwrap().stale, ["a"]);
        assert!(tally(explained("z", false)).is_err());
    }

    #[test]
    fn what_passes_by_chance_is_a_deviation_either_way() {
        for case in ["a", "b"] {
            let tally = Tally::of(Report::parse(LINES).unwrap(), &explained(case, true)).unwrap();
            assert_eq!(tally.deviations, [pair(case, "on purpose")]);
            assert!(tally.stale.is_empty());
        }
    }

    #[test]
    fn a_suite_that_ran_nothing_has_failed() {
        assert!(Report::parse("{\"version\": \"1\"}\n").is_err());
        assert!(Report::parse("{\"case\": \"a\", \"outcome\": \"perhaps\"}").is_err());
    }
}
