//! `cargo xtask bench log`: what durable appends, replay, followers and audit entries cost, beside databases and servers
//! that promise the same.
//!
//! Everybody writes to the same disk in the same run, takes turns, and acknowledges only what is synced; what was
//! acknowledged is read back in each round, and a figure whose records are not all there is none.

mod course;
mod load;
mod report;
mod server;

use std::fs;

use self::report::Report;
use super::{CURL, RESULTS, TASKSET, machine};
use crate::{Result, flags::Flags, setup, workspace};

/// What `cargo xtask bench log` was told.
#[derive(Debug)]
struct Settings {
    parts: Vec<String>,
    peers: Vec<&'static server::Contestant>,
    rounds: usize,
    seconds: u64,
    records: u64,
    followers: u64,
    write: bool,
    date: String,
}

/// The parts of the benchmark, and what each is.
const PARTS: &[(&str, &str)] = &[
    ("appends", "durable appends in process, and SQLite"),
    ("servers", "durable appends over loopback"),
    ("replay", "everything read again"),
    ("fan-out", "followers by server-sent events"),
    ("audit", "audit entries and their signed heads"),
];

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    setup::packages(&[TASKSET, CURL, setup::FINDMNT])?;
    let results = course::run(&settings)?;
    publish(&settings, &report::assemble(machine::hardware()?, &settings, &results)?)?;
    match results.failures.as_slice() {
        [] => Ok(()),
        failures => Err(format!("what we promise is not so:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values =
            ["--part", "--peer", "--rounds", "--seconds", "--records", "--followers", "--date"];
        let flags = Flags::parse(arguments, &["--write"], &values)?;
        if let Some(word) = flags.words().first() {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        Ok(Self {
            parts: parts(&flags)?,
            peers: peers(&flags)?,
            rounds: flags.number("--rounds", 3)?.max(1) as usize,
            seconds: flags.number("--seconds", 2)?.max(1),
            records: flags.number("--records", 1_000_000)?.max(1),
            followers: flags.number("--followers", 1000)?.max(1),
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }

    /// Whether a part that is measured involves this server.
    fn wants(&self, kind: server::Kind) -> bool {
        self.has("servers")
            || (self.has("fan-out") && kind.has_followers())
            || (self.has("replay") && kind == server::Kind::Nats)
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|it| it == part)
    }
}

fn parts(flags: &Flags) -> Result<Vec<String>> {
    let named: Vec<String> = flags.all("--part").map(str::to_owned).collect();
    if let Some(name) = named.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name)) {
        return Err(format!("no part `{name}`\n{}", usage()).into());
    }
    let all = || PARTS.iter().map(|(part, _)| (*part).to_owned()).collect();
    Ok(if named.is_empty() { all() } else { named })
}

fn peers(flags: &Flags) -> Result<Vec<&'static server::Contestant>> {
    let named: Vec<&str> = flags.all("--peer").collect();
    let known = |name: &&&str| server::ALL.iter().any(|it| it.slug == **name);
    if let Some(name) = named.iter().find(|name| !known(name)) {
        return Err(format!("no server `{name}`\n{}", usage()).into());
    }
    let wanted = |it: &&server::Contestant| named.is_empty() || named.contains(&it.slug);
    Ok(server::ALL.iter().filter(wanted).collect())
}

fn usage() -> String {
    let rows = |rows: Vec<(&str, &str)>| {
        let rows = rows.into_iter().map(|(name, about)| format!("    {name:<16} {about}"));
        rows.collect::<Vec<_>>().join("\n")
    };
    let servers = server::ALL.iter().map(|it| (it.slug, it.label)).collect();
    format!(
        "  --part NAME            one of those below; may be repeated; all by default\n  \
           --peer NAME            one of the servers below; may be repeated; all by default\n  \
           --rounds N             rounds of everything (3)\n  \
           --seconds N            seconds of each measurement (2)\n  \
           --records N            records that are replayed (1,000,000)\n  \
           --followers N          followers of one stream (1000)\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           parts:\n{}\n\n  servers:\n{}",
        rows(PARTS.to_vec()),
        rows(servers)
    )
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("log.json"), report.json()?)?;
        fs::write(folder.join("log.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}
