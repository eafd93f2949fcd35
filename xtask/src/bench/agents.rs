//! `cargo xtask bench agents`: what it costs to ask agents, beside what it costs others to ask their services.
//!
//! Cores, rounds and ratios are those of `bench edge`. That agents were asked is not taken on trust: the origin refuses
//! every request without the field that the agent sets, and one refused request voids a figure.

mod config;
mod contestant;
mod course;
mod credentials;
mod report;
mod runner;
mod speed;

use std::fs;

pub use self::config::nginx_with;
use self::{contestant::ALL, report::Report, runner::Ground};
use super::{CURL, RESULTS, TASKSET, machine, peer::Place};
use crate::{Result, flags::Flags, process, setup, workspace};

/// What `cargo xtask bench agents` was told.
#[derive(Debug)]
struct Settings {
    rows: Vec<String>,
    rounds: usize,
    seconds: u64,
    latency_rounds: usize,
    speed: bool,
    write: bool,
    date: String,
}

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    setup::packages(setup::BENCH)?;
    setup::packages(&[setup::OPENSSL, CURL, TASKSET])?;
    build()?;
    let speeds = if settings.speed { speed::measure()? } else { Vec::new() };
    let place = Place::prepare()?;
    let machine = machine::describe(&place)?;
    let ground = Ground::prepare(&place)?;
    let results = course::run(&settings, &ground)?;
    publish(&settings, &report::assemble(machine, &settings, &results, &speeds))?;
    match results.failures().as_slice() {
        [] => Ok(()),
        failures => Err(format!("wrong answers:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values = ["--row", "--rounds", "--seconds", "--latency-rounds", "--date"];
        let flags = Flags::parse(arguments, &["--write", "--no-speed"], &values)?;
        let rows: Vec<String> = flags.all("--row").map(str::to_owned).collect();
        let unknown =
            |name: &&String| ALL.iter().all(|contestant| contestant.slug != name.as_str());
        if let Some(word) = flags.words().first().or_else(|| rows.iter().find(unknown)) {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        Ok(Self {
            rows,
            rounds: flags.number("--rounds", 5)?.max(1) as usize,
            seconds: flags.number("--seconds", 4)?.max(1),
            latency_rounds: flags.number("--latency-rounds", 5)? as usize,
            speed: !flags.has("--no-speed"),
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }

    fn wants(&self, slug: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == slug)
    }
}

fn usage() -> String {
    let rows: Vec<String> =
        ALL.iter().map(|it| format!("    {:<16} {}", it.slug, it.label)).collect();
    format!(
        "  --row NAME             one of those below; may be repeated; all by default\n  \
           --rounds N             rounds of throughput (5)\n  \
           --seconds N            seconds of each measurement (4)\n  \
           --latency-rounds N     rounds of latency; 0 leaves it out (5)\n  \
           --no-speed             leave out the auth agent without a socket\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           rows:\n{}",
        rows.join("\n")
    )
}

/// Builds what is measured the way users build it.
fn build() -> Result {
    println!("bench: building with --profile dist");
    let mut cargo = process::cargo(&["build", "--profile", "dist", "--quiet"]);
    cargo.args(["-p", "selvedge", "-p", "selvedge-bench"]);
    for program in ["selvedge", "origin", "bench_agent", "paced", "spoa"] {
        cargo.args(["--bin", program]);
    }
    process::run(&mut cargo)
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("agents.json"), report.json()?)?;
        fs::write(folder.join("agents.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}
