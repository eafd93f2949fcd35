//! `cargo xtask conformance`: other people's tests against a running selvedge.
//!
//! A suite is a program that prints one JSON object per line: `{"version": …}` once, and
//! `{"case": …, "outcome": "pass" | "fail" | "skip", "detail": …}` per case. Before its result is
//! believed, a suite must find fault with something that is wrong on purpose.

mod deviations;
mod page;
mod report;
mod stage;
mod suites;

use std::{collections::BTreeSet, fs};

use report::{Report, Tally};
use suites::{PAGES, Page, Suite};

use crate::{Result, flags::Flags, process, workspace};

/// Runs the suites named, or all, and fails if a case fails that `deviations.txt` does not explain.
///
/// `--quick` takes the suites that finish in seconds, as CI does; `--write` writes what came of those that were run onto
/// their pages, where all others keep what was said of them.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--quick", "--write"], &[])?;
    let chosen = chosen(&flags)?;
    let stage = stage::Stage::prepare()?;
    let mut tallies = Vec::new();
    for suite in &chosen {
        match perform(suite, &stage) {
            Ok(tally) => tallies.push((*suite, tally)),
            Err(error) => return Err(format!("{}: {error}", suite.name).into()),
        }
    }
    print!("\n{}", page::table(&tallies));
    if flags.has("--write") {
        // What could not run here says nothing new.
        tallies.retain(|(suite, _)| (suite.unavailable)().is_none());
        let of = |page: &&Page| tallies.iter().any(|(suite, _)| is_among(page, suite));
        PAGES.iter().filter(of).try_for_each(|page| write(page, &tallies))?;
    }
    judge(&tallies)
}

fn write(page: &Page, tallies: &[(&'static Suite, Tally)]) -> Result {
    let path = workspace::root().join(page.file);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let today = process::output("date", &["--utc", "+%F"])?;
    fs::write(path, page::whole(page, tallies, (&before, today.trim())))?;
    println!("conformance: wrote {}", page.file);
    Ok(())
}

fn is_among(page: &Page, suite: &Suite) -> bool {
    page.suites.iter().any(|other| other.name == suite.name)
}

/// What the suites need from PyPI, for `cargo xtask setup`.
pub fn python_packages() -> impl Iterator<Item = &'static [&'static str]> {
    suites::all().map(|suite| suite.python)
}

fn chosen(flags: &Flags) -> Result<Vec<&'static Suite>> {
    if flags.words().is_empty() {
        let quick = flags.has("--quick");
        return Ok(suites::all().filter(|suite| suite.quick || !quick).collect());
    }
    let find = |word: &String| {
        let names = || suites::all().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
        let found = suites::all().find(|suite| suite.name == word);
        found.ok_or_else(|| format!("no suite `{word}`; there are {}", names()).into())
    };
    flags.words().iter().map(find).collect()
}

fn perform(suite: &Suite, stage: &stage::Stage) -> Result<Tally> {
    println!("conformance: {}", suite.name);
    if let Some(reason) = (suite.unavailable)() {
        println!("conformance: skipped: {}: {reason}", suite.name);
        return Ok(Tally::skipped(reason));
    }
    let wrong = (suite.run)(stage, suites::Subject::Wrong)?;
    if wrong.failed() == 0 {
        return Err("found no fault with a subject that is wrong on purpose".into());
    }
    let report: Report = (suite.run)(stage, suites::Subject::Selvedge)?;
    let tally = Tally::of(report, &deviations::read(suite.name)?)?;
    let reasons: BTreeSet<_> = tally.skipped.iter().map(|(_, reason)| reason).collect();
    for reason in reasons {
        println!("conformance: skipped: part of {}: {reason}", suite.name);
    }
    Ok(tally)
}

fn judge(tallies: &[(&'static Suite, Tally)]) -> Result {
    let mut faults = Vec::new();
    for (suite, tally) in tallies {
        for (case, detail) in &tally.failed {
            faults.push(format!("{}: {case}: {detail}", suite.name));
        }
        for case in &tally.stale {
            faults.push(format!("{}: {case}: passes; strike it from deviations.txt", suite.name));
        }
    }
    if faults.is_empty() {
        println!("conformance: every deviation is explained");
        return Ok(());
    }
    Err(format!("conformance: {} faults\n  {}", faults.len(), faults.join("\n  ")).into())
}
