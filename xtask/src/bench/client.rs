//! `cargo xtask bench client`: the notes app in Chromium, served by `selvedge up`; and the library below it beside Yjs.
//!
//! Figures are what somebody sees who has the app: from the first visit or the key to the frame that is painted. What they are of
//! is looked at in the page: a text that is not there, a note that is missing, a search that found another one is no figure.

mod app;
mod libraries;
mod place;
mod report;

use std::fs;

use self::{place::Place, report::Report};
use super::{RESULTS, machine, measured::Measured};
use crate::{Result, flags::Flags, workspace};

pub use place::setup;

/// What `cargo xtask bench client` was told.
#[derive(Debug)]
struct Settings {
    /// Parts that are measured; all where it is empty.
    only: Vec<String>,
    rounds: usize,
    /// Notes of the large vault.
    notes: u64,
    /// Operations that wait for a connection.
    operations: u64,
    /// Keys that are pressed in each note.
    keys: u64,
    smoke: bool,
    write: bool,
    date: String,
}

/// The parts of the benchmark, and what each is.
const PARTS: &[(&str, &str)] = &[
    ("first", "the first visit, and a reload without a network"),
    ("vault", "a large vault: opened, searched, written in"),
    ("reconnect", "what was written without a network comes to somebody else"),
    ("libraries", "stores and connections without an app, beside Yjs"),
];

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    let place = Place::prepare(&settings)?;
    let app = app::run(&settings, &place)?;
    let libraries = if settings.wants("libraries") {
        libraries::run(&settings, &place)
    } else {
        Measured::default()
    };
    let report = report::assemble(machine::hardware()?, &settings, (&app, &libraries, &place));
    publish(&settings, &report)?;
    place.clear()?;
    match [app.failures, libraries.failures].concat().as_slice() {
        [] => Ok(()),
        failures => Err(format!("what we promise is not so:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values = ["--only", "--rounds", "--notes", "--operations", "--keys", "--date"];
        let flags = Flags::parse(arguments, &["--smoke", "--write"], &values)?;
        if let Some(word) = flags.words().first() {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        let smoke = flags.has("--smoke");
        let or = |full, little| if smoke { little } else { full };
        Ok(Self {
            only: parts(&flags)?,
            rounds: flags.number("--rounds", or(5, 1))?.max(1) as usize,
            notes: flags.number("--notes", or(10_000, 500))?.max(NOTES_MIN),
            operations: flags.number("--operations", or(1_000, 40))?.max(1),
            keys: flags.number("--keys", or(240, 40))?.max(1),
            smoke,
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == part)
    }
}

/// What is searched for lies in a few of so many.
const NOTES_MIN: u64 = 100;

fn parts(flags: &Flags) -> Result<Vec<String>> {
    let named: Vec<String> = flags.all("--only").map(str::to_owned).collect();
    match named.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        Some(name) => Err(format!("no part `{name}`\n{}", usage()).into()),
        None => Ok(named),
    }
}

fn usage() -> String {
    let parts = PARTS.iter().map(|(name, about)| format!("    {name:<18} {about}"));
    format!(
        "  --only PART            one of those below; may be repeated; all by default\n  \
           --rounds N             rounds of everything (5)\n  \
           --notes N              notes of the large vault (10,000)\n  \
           --operations N         operations that wait for a connection (1,000)\n  \
           --keys N               keys that are pressed in each note (240)\n  \
           --smoke                little of everything, with debug builds: whether it works\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           parts:\n{}",
        parts.collect::<Vec<_>>().join("\n")
    )
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("client.json"), report.json()?)?;
        fs::write(folder.join("client.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(line: &str) -> Result<Settings> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Settings::parse(&arguments)
    }

    #[test]
    fn a_smoke_test_is_little_of_everything() {
        let (full, smoke) = (parse("").unwrap(), parse("--smoke --rounds 2").unwrap());
        assert_eq!(
            (full.rounds, full.notes, full.operations, full.smoke),
            (5, 10_000, 1_000, false)
        );
        assert_eq!((smoke.rounds, smoke.notes, smoke.operations, smoke.smoke), (2, 500, 40, true));
    }

    #[test]
    fn only_known_parts_are_measured() {
        let settings = parse("--only vault --only first").unwrap();
        assert!(settings.wants("first") && settings.wants("vault") && !settings.wants("libraries"));
        assert!(parse("").unwrap().wants("libraries"));
        assert!(parse("--only valut").unwrap_err().to_string().starts_with("no part `valut`"));
        assert!(parse("vault").is_err());
    }
}
