//! `cargo xtask bench waf`: what the firewall's engine costs, beside what others' engines cost.
//!
//! All engines have the same rules and replay the same requests, on one core, in time of the processor, a slice each in
//! turn; no request is replayed twice by the same engine but for hostile ones. An engine that lets attacks pass or
//! refuses what is clean is not fast but wrong: that voids the run.

pub mod contestant;
mod course;
mod report;

use std::fs;

use self::{contestant::Contestant, report::Report};
use super::{RESULTS, TASKSET, machine};
use crate::{
    Result,
    flags::Flags,
    setup,
    waf::{self, Build, Place},
    workspace,
};

/// What `cargo xtask bench waf` was told.
#[derive(Debug)]
struct Settings {
    contestants: Vec<&'static Contestant>,
    rounds: usize,
    requests: usize,
    hostile: bool,
    write: bool,
    date: String,
}

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    if let Some(reason) = waf::missing(&[&waf::traffic_archive(), &waf::core_rule_set_folder()]) {
        return Err(reason.into());
    }
    setup::packages(&[TASKSET])?;
    println!("bench: building with --profile dist");
    let place = Place::prepare(Build::Dist)?;
    let results = course::run(&settings, &place)?;
    publish(&settings, &report::assemble(machine::hardware()?, &settings, &results))?;
    match results.failures.as_slice() {
        [] => Ok(()),
        failures => Err(format!("wrong answers:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values = ["--engine", "--rounds", "--requests", "--date"];
        let flags = Flags::parse(arguments, &["--write", "--no-hostile"], &values)?;
        if let Some(word) = flags.words().first() {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        Ok(Self {
            contestants: contestants(&flags)?,
            rounds: flags.number("--rounds", 12)?.max(1) as usize,
            requests: flags.number("--requests", u64::MAX)? as usize,
            hostile: !flags.has("--no-hostile"),
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }
}

fn contestants(flags: &Flags) -> Result<Vec<&'static Contestant>> {
    let named: Vec<&str> = flags.all("--engine").collect();
    if let Some(name) = named.iter().find(|name| contestant::ALL.iter().all(|it| it.slug != **name))
    {
        return Err(format!("no engine `{name}`\n{}", usage()).into());
    }
    let wanted = |it: &&Contestant| named.is_empty() || named.contains(&it.slug);
    Ok(contestant::ALL.iter().filter(wanted).collect())
}

fn usage() -> String {
    let engines: Vec<String> =
        contestant::ALL.iter().map(|it| format!("    {:<16} {}", it.slug, it.label)).collect();
    format!(
        "  --engine NAME          one of those below; may be repeated; all by default\n  \
           --rounds N             slices that the requests are cut into (12)\n  \
           --requests N           so many of the recorded requests (all)\n  \
           --no-hostile           leave out hostile bodies\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           engines:\n{}",
        engines.join("\n")
    )
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("waf.json"), report.json()?)?;
        fs::write(folder.join("waf.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}
