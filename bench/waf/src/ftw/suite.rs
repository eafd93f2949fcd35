//! What every runner of the regression tests shares: stages as they are read, and cases as they are told.
#![expect(clippy::print_stdout, reason = "a suite prints its cases")]

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    fs,
    path::Path,
    sync::Arc,
};

use selvedge_waf::rule::{Item, RuleSet, Severity};
use serde_json::{Value, json};

use super::Stage;
use crate::record::Kind;

/// A stage, and the file of its rule.
pub type Case = (String, Stage);

/// Reads stages, a line of JSON each.
pub fn stages(path: &Path) -> Result<Vec<Case>, Box<dyn Error>> {
    let stage = |line: &str| {
        let value: Value = serde_json::from_str(line)?;
        let file = value["file"].as_str().unwrap_or_default().to_owned();
        Ok((file, Stage::new(&value).ok_or("a stage without a name")?))
    };
    fs::read_to_string(path)?.lines().map(stage).collect()
}

/// Rules of level 1 one match of which suffices to refuse.
pub fn decisive(set: &RuleSet) -> HashSet<u64> {
    let rules = set.items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(rule),
        Item::Marker(_) => None,
    });
    let first = |tags: &[Arc<str>]| tags.iter().any(|tag| &**tag == "paranoia-level/1");
    let decisive =
        rules.filter(|rule| rule.severity == Some(Severity::Critical) && first(&rule.tags));
    decisive.map(|rule| rule.id).collect()
}

/// What a stage's request must come to at level 1; `None` where the suite leaves a doubt about it.
pub fn nature(stage: &Stage, decisive: &HashSet<u64>) -> Option<Kind> {
    if stage.expected().iter().any(|id| decisive.contains(id)) {
        return Some(Kind::Attack);
    }
    stage.is_ordinary().then_some(Kind::Ordinary)
}

/// Passed and all, by file.
#[derive(Default)]
pub struct Tally(BTreeMap<String, (usize, usize)>);

impl Tally {
    /// Tells what is to be judged.
    pub fn begin(stages: &[Case]) -> Self {
        let version = format!("CRS 4.28-dev, {} stages", stages.len());
        println!("{}", json!({ "version": version }));
        Self::default()
    }

    /// Tells how a case ended.
    pub fn say(&mut self, file: &str, stage: &Stage, fault: Option<String>) {
        let (passed, all) = self.0.entry(file.to_owned()).or_default();
        *passed += usize::from(fault.is_none());
        *all += 1;
        let outcome = if fault.is_none() { "pass" } else { "fail" };
        let detail = fault.unwrap_or_default();
        println!("{}", json!({ "case": stage.name, "outcome": outcome, "detail": detail }));
    }

    /// A table for the page.
    pub fn finish(self) {
        let mut table = "| tests of | stages | as expected |\n|---|--:|--:|\n".to_owned();
        for (file, (passed, all)) in self.0 {
            table += &format!("| {file} | {all} | {passed} |\n");
        }
        println!("{}", json!({ "note": table }));
    }
}
