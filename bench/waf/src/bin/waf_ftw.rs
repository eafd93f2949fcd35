//! The Core Rule Set's regression tests. Reads stages, a line of JSON each; prints what a suite prints.
//!
//! `waf_ftw detection|blocking STAGES RULES…`. `detection`: what each stage expects. `blocking`: whether what rules of
//! level 1 must find is refused, and whether requests that no rule may find pass.
//! `waf_ftw records STAGES OUT`: the requests, as a file of records.
#![expect(clippy::print_stdout, reason = "a suite prints its cases")]

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use selvedge_bench_waf::{
    ftw::{Gate, Outcome, Response, Stage},
    record,
    subject::{self, Subject, status},
};
use selvedge_waf::{
    policy::{Limits, Policy},
    rule::{Item, RuleSet, Severity},
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let stages = stages(Path::new(&words.next().unwrap_or_default()))?;
    let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    match (mode.as_str(), files.as_slice()) {
        ("detection", files) => detection(&stages, files),
        ("blocking", files) => blocking(&stages, files),
        ("records", [out]) => records(&stages, out),
        _ => Err("say `detection`, `blocking` or `records`".into()),
    }
}

/// The stages, each with the file of its rule.
fn stages(path: &Path) -> Result<Vec<(String, Stage)>, Box<dyn Error>> {
    let stage = |line: &str| {
        let value: Value = serde_json::from_str(line)?;
        let file = value["file"].as_str().unwrap_or_default().to_owned();
        Ok((file, Stage::new(&value).ok_or("a stage without a name")?))
    };
    fs::read_to_string(path)?.lines().map(stage).collect()
}

fn detection(stages: &[(String, Stage)], files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    // Bounds are other tests' business: the suite has arguments of 64 KB, and expects to be asked about them.
    let limits = Limits { work: u64::MAX, ..Limits::default() };
    let policy = Policy { limits, ..Policy::default() };
    let mut subject = Subject::new(&subject::load(files)?, policy)?;
    println!("{}", json!({ "version": version(stages) }));
    let mut tally = Tally::default();
    for (file, stage) in stages {
        let fault = stage.fault(&exchange(&mut subject, stage));
        tally.say(file, stage, fault);
    }
    tally.finish();
    Ok(())
}

/// What each request meets at level 1, where the suite leaves no doubt about it.
fn blocking(stages: &[(String, Stage)], files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let set = subject::load(files)?;
    let decisive = decisive(&set);
    let mut subject = Subject::new(&set, Policy::default())?;
    println!("{}", json!({ "version": version(stages) }));
    let mut tally = Tally::default();
    for (file, stage) in stages {
        let attack = stage.expected().iter().any(|id| decisive.contains(id));
        if !attack && !stage.is_ordinary() {
            continue;
        }
        let status = refusal(&mut subject, stage);
        let fault = match (attack, status) {
            (true, 403) | (false, 0) => None,
            (true, 0) => Some("an attack passes".to_owned()),
            (true, other) => Some(format!("an attack is refused with {other}")),
            (false, _) => Some(format!("refused for {:?}", ids(&subject))),
        };
        tally.say(file, stage, fault);
    }
    tally.finish();
    Ok(())
}

fn records(stages: &[(String, Stage)], out: &Path) -> Result<(), Box<dyn Error>> {
    let requests: Vec<_> = stages.iter().map(|(_, stage)| stage.request().0).collect();
    let names: Vec<_> = stages.iter().map(|(_, stage)| stage.name.as_str()).collect();
    fs::write(out.with_extension("names"), names.join("\n") + "\n")?;
    Ok(record::write(out, &requests)?)
}

/// Rules of level 1 one match of which suffices to refuse.
fn decisive(set: &RuleSet) -> HashSet<u64> {
    let rules = set.items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(rule),
        Item::Marker(_) => None,
    });
    let first = |tags: &[std::sync::Arc<str>]| tags.iter().any(|tag| &**tag == "paranoia-level/1");
    let decisive =
        rules.filter(|rule| rule.severity == Some(Severity::Critical) && first(&rule.tags));
    decisive.map(|rule| rule.id).collect()
}

fn exchange(subject: &mut Subject, stage: &Stage) -> Outcome {
    let (request, gate) = stage.request();
    if let Gate::Shut(status) = gate
        && stage.due_status() == Some(status)
    {
        return Outcome { status, ids: Vec::new(), log: String::new() };
    }
    let response = Response::to(&request);
    let refused = match status(&subject.request(&request)) {
        0 => status(&subject.response(&response)),
        refused => refused,
    };
    let status = match (gate, refused) {
        (Gate::Shut(status), _) => status,
        (Gate::Open, 0) => response.status,
        (Gate::Open, refused) => refused,
    };
    Outcome { status, ids: ids(subject), log: log(subject) }
}

/// 0, or the status that request or response are refused with.
fn refusal(subject: &mut Subject, stage: &Stage) -> u16 {
    let (request, _) = stage.request();
    match status(&subject.request(&request)) {
        0 => status(&subject.response(&Response::to(&request))),
        refused => refused,
    }
}

fn ids(subject: &Subject) -> Vec<u64> {
    subject.matches().iter().map(|matched| matched.id).collect()
}

/// As ModSecurity writes it, as far as the suite looks at it.
fn log(subject: &Subject) -> String {
    let line = |matched: &selvedge_waf::engine::Match| {
        let (id, message, data) = (matched.id, shown(&matched.message), shown(&matched.log_data));
        format!("[id \"{id}\"] [msg \"{message}\"] [data \"{data}\"]")
    };
    subject.matches().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// With what is not printable as `\x0a`.
fn shown(text: &str) -> String {
    let shown = |c: char| match c {
        '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", c as u32),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

fn version(stages: &[(String, Stage)]) -> String {
    format!("CRS 4.28-dev, {} stages", stages.len())
}

/// Passed and all, by file.
#[derive(Default)]
struct Tally(BTreeMap<String, (usize, usize)>);

impl Tally {
    fn say(&mut self, file: &str, stage: &Stage, fault: Option<String>) {
        let (passed, all) = self.0.entry(file.to_owned()).or_default();
        *passed += usize::from(fault.is_none());
        *all += 1;
        let outcome = if fault.is_none() { "pass" } else { "fail" };
        let detail = fault.unwrap_or_default();
        println!("{}", json!({ "case": stage.name, "outcome": outcome, "detail": detail }));
    }

    /// A table for the page.
    fn finish(self) {
        let mut table = "| tests of | stages | as expected |\n|---|--:|--:|\n".to_owned();
        for (file, (passed, all)) in self.0 {
            table += &format!("| {file} | {all} | {passed} |\n");
        }
        println!("{}", json!({ "note": table }));
    }
}
