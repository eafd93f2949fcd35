//! `cargo xtask bench sync`: documents beside Yjs, Loro and Automerge, and relays beside Hocuspocus, y-websocket and
//! automerge-repo's sync server.
//!
//! Libraries do the same work in Node.js of the same release; servers have a core of their own and get the same load from the
//! same program. Every figure is of work that was looked at afterwards: fields are read back, replicas compared, and
//! an update counts when another client has it.

mod documents;
mod place;
mod relays;
mod report;
mod server;

use std::fs;

use self::{place::Place, report::Report};
use super::{CURL, RESULTS, TASKSET, machine, measured::Measured};
use crate::{Result, flags::Flags, setup, workspace};

/// What `cargo xtask bench sync` was told.
#[derive(Debug)]
struct Settings {
    parts: Vec<String>,
    /// Slugs of contestants; all where it is empty.
    only: Vec<String>,
    rounds: usize,
    seconds: f64,
    connections: u32,
    subscribers: u32,
    smoke: bool,
    write: bool,
    date: String,
}

/// What a smoke test takes for a measurement.
const SMOKE_SECONDS: f64 = 0.5;

/// The parts of the benchmark, and what each is.
const PARTS: &[(&str, &str)] =
    &[("documents", "libraries, in Node.js"), ("relays", "servers, over loopback")];

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    setup::packages(&[TASKSET, CURL])?;
    let place = Place::prepare()?;
    let wants = |part: &str| settings.parts.iter().any(|it| it == part);
    let documents =
        if wants("documents") { documents::run(&settings, &place) } else { Measured::default() };
    let relays =
        if wants("relays") { relays::run(&settings, &place)? } else { Measured::default() };
    publish(
        &settings,
        &report::assemble(machine::hardware()?, &settings, (&documents, &relays, &place)),
    )?;
    match [documents.failures, relays.failures].concat().as_slice() {
        [] => Ok(()),
        failures => Err(format!("what we promise is not so:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values = [
            "--part",
            "--only",
            "--rounds",
            "--seconds",
            "--connections",
            "--subscribers",
            "--date",
        ];
        let flags = Flags::parse(arguments, &["--smoke", "--write"], &values)?;
        if let Some(word) = flags.words().first() {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        let smoke = flags.has("--smoke");
        let or = |full, little| if smoke { little } else { full };
        let all = || PARTS.iter().map(|(part, _)| *part).collect();
        let parts = known(&flags, "--part", all())?;
        Ok(Self {
            parts: if parts.is_empty() {
                PARTS.iter().map(|(part, _)| (*part).to_owned()).collect()
            } else {
                parts
            },
            only: known(&flags, "--only", contestants().map(|(slug, _)| slug).collect())?,
            rounds: flags.number("--rounds", or(3, 1))?.max(1) as usize,
            seconds: if smoke {
                SMOKE_SECONDS
            } else {
                flags.number("--seconds", 3)?.max(1) as f64
            },
            connections: flags.number("--connections", or(5000, 100))?.max(1) as u32,
            subscribers: flags.number("--subscribers", or(1000, 50))?.max(1) as u32,
            smoke,
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }

    fn wants(&self, slug: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == slug)
    }
}

/// The values of a flag, all of which must be among `all`.
fn known(flags: &Flags, name: &str, all: Vec<&str>) -> Result<Vec<String>> {
    let named: Vec<String> = flags.all(name).map(str::to_owned).collect();
    match named.iter().find(|it| !all.contains(&it.as_str())) {
        Some(other) => Err(format!("{name}: `{other}` is not known\n{}", usage()).into()),
        None => Ok(named),
    }
}

fn contestants() -> impl Iterator<Item = (&'static str, &'static str)> {
    documents::ALL.iter().chain(&server::ALL).map(|it| (it.slug, it.label))
}

fn usage() -> String {
    let rows = |rows: Vec<(&str, &str)>| {
        let rows = rows.into_iter().map(|(name, about)| format!("    {name:<18} {about}"));
        rows.collect::<Vec<_>>().join("\n")
    };
    format!(
        "  --part NAME            one of those below; may be repeated; all by default\n  \
           --only NAME            one of the contestants below; may be repeated; all by default\n  \
           --rounds N             rounds of everything (3)\n  \
           --seconds N            seconds of each measurement of a relay (3)\n  \
           --connections N        idle connections (5000)\n  \
           --subscribers N        subscribers of one document (1000)\n  \
           --smoke                little of everything: whether it works\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           parts:\n{}\n\n  contestants:\n{}",
        rows(PARTS.to_vec()),
        rows(contestants().collect())
    )
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("sync.json"), report.json()?)?;
        fs::write(folder.join("sync.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}
