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

use std::collections::BTreeSet;

use report::{Report, Tally};
use suites::{PAGES, Page, Suite};

use crate::{Result, flags::Flags, workspace};

/// Runs the suites named, or all, and fails if a case fails that `deviations.txt` does not explain.
///
/// `--quick` takes the suites that finish in seconds, as CI does; `--write` writes the pages
/// all of whose suites were run.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--quick", "--write"], &[])?;
    let chosen = chosen(&flags)?;
    let whole = |page: &&Page| page.suites.iter().all(|suite| is_among(&chosen, suite));
    let pages: Vec<&Page> = PAGES.iter().filter(whole).collect();
    if flags.has("--write") && pages.is_empty() {
        return Err(
            "--write needs every suite of a page: name them all, or none without --quick".into()
        );
    }
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
        pages.into_iter().try_for_each(|page| write(page, &tallies))?;
    }
    judge(&tallies)
}

fn write(page: &Page, tallies: &[(&'static Suite, Tally)]) -> Result {
    let own: Vec<&Suite> = page.suites.iter().collect();
    let tallies = tallies.iter().filter(|(suite, _)| is_among(&own, suite));
    let tallies: Vec<(&Suite, Tally)> =
        tallies.map(|(suite, tally)| (*suite, tally.clone())).collect();
    std::fs::write(workspace::root().join(page.file), page::whole(page, &tallies))?;
    println!("conformance: wrote {}", page.file);
    Ok(())
}

fn is_among(suites: &[&Suite], suite: &Suite) -> bool {
    suites.iter().any(|other| other.name == suite.name)
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
