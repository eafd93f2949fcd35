//! `cargo xtask bench`: what users would notice, measured. `agents`, `client`, `log`, `sync`, `waf` and `waf-proxy` have modules of their own; the rest is `edge`.
//!
//! `cargo xtask bench edge`: Selvedge beside nginx and HAProxy, on the same cores, in the same minutes.
//!
//! The proxy has core 0; load and origin share core 1. Rounds are interleaved (A B C A B C …), so that a noisy
//! neighbour hits all alike; every figure is a median of rounds, every ratio a median of ratios within a round; and no
//! figure counts before the answers behind it have been checked. The method in full: `docs/reference/benchmarks`.

mod agents;
mod check;
mod client;
mod config;
mod course;
mod figures;
mod goal;
mod load;
mod log;
mod machine;
mod measured;
mod node;
mod peer;
mod pinned;
mod report;
mod scenario;
mod sync;
mod table;
mod waf;
mod waf_proxy;

use std::{fs, path::PathBuf};

use self::{
    course::Course,
    load::Tools,
    peer::{Kind, Place},
};
use crate::{Result, flags::Flags, process, setup, workspace};

/// Where results are committed.
const RESULTS: &str = "docs/reference/benchmarks";

/// What `cargo xtask bench edge` was told.
#[derive(Debug)]
struct Settings {
    scenarios: Vec<String>,
    peers: Vec<Kind>,
    rounds: usize,
    seconds: u64,
    latency_rounds: usize,
    memory: bool,
    write: bool,
    date: String,
}

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    match arguments.split_first() {
        Some((first, rest)) if first == "agents" => return agents::run(rest),
        Some((first, rest)) if first == "client" => return client::run(rest),
        Some((first, rest)) if first == "log" => return log::run(rest),
        Some((first, rest)) if first == "sync" => return sync::run(rest),
        Some((first, rest)) if first == "waf" => return waf::run(rest),
        Some((first, rest)) if first == "waf-proxy" => return waf_proxy::run(rest),
        _ => {}
    }
    let settings = Settings::parse(arguments)?;
    setup::packages(setup::BENCH)?;
    setup::packages(&[setup::OPENSSL, CURL, TASKSET])?;
    build(&settings.peers)?;
    let place = Place::prepare()?;
    let tools = Tools::prepare(&place, settings.latency_rounds > 0)?;
    let machine = machine::describe(&place)?;
    let results = Course { settings: &settings, place: &place, tools: &tools }.run()?;
    publish(&settings, &report::assemble(machine, &results))?;
    match results.failures().as_slice() {
        [] => Ok(()),
        failures => Err(format!("wrong answers:\n  {}", failures.join("\n  ")).into()),
    }
}

/// What benchmarks need of npm, for a machine that will be used offline.
pub fn setup() -> Result {
    client::setup()
}

const CURL: setup::Package = setup::Package { name: "curl", program: "curl" };
const TASKSET: setup::Package = setup::Package { name: "util-linux", program: "taskset" };

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let switches = ["--write", "--no-memory"];
        let values =
            ["--scenario", "--peers", "--rounds", "--seconds", "--latency-rounds", "--date"];
        let flags = Flags::parse(arguments, &switches, &values)?;
        match flags.words() {
            [edge] if edge == "edge" => {}
            _ => {
                return Err(format!(
                    "say what to measure: `bench edge`, `bench agents`, `bench client`, `bench log`, `bench sync`, `bench waf` or `bench waf-proxy`\n{}",
                    usage()
                )
                .into());
            }
        }
        Ok(Self {
            scenarios: scenarios(&flags)?,
            peers: peers(&flags)?,
            rounds: flags.number("--rounds", 5)?.max(1) as usize,
            seconds: flags.number("--seconds", 4)?.max(1),
            latency_rounds: flags.number("--latency-rounds", 3)? as usize,
            memory: !flags.has("--no-memory"),
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }
}

fn usage() -> String {
    let scenarios: Vec<String> = scenario::ALL
        .iter()
        .map(|scenario| format!("    {:<16} {}", scenario.name, scenario.about))
        .collect();
    let peers = Kind::ALL.map(Kind::name).join(",");
    format!(
        "  --scenario NAME        one of those below; may be repeated; all by default\n  \
           --peers LIST           of {peers}; all but direct by default\n  \
           --rounds N             rounds of throughput (5)\n  \
           --seconds N            seconds of each measurement (4)\n  \
           --latency-rounds N     rounds of latency; 0 leaves it out (3)\n  \
           --no-memory            leave out memory\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}, keeping scenarios that were not measured\n\n  \
           scenarios:\n{}",
        scenarios.join("\n")
    )
}

fn scenarios(flags: &Flags) -> Result<Vec<String>> {
    let known = |name: &str| scenario::ALL.iter().any(|scenario| scenario.name == name);
    let named: Vec<String> = flags.all("--scenario").map(str::to_owned).collect();
    match named.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("no scenario `{name}`\n{}", usage()).into()),
        None => Ok(named),
    }
}

fn peers(flags: &Flags) -> Result<Vec<Kind>> {
    let Some(list) = flags.all("--peers").last() else {
        return Ok(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Direct).collect());
    };
    list.split(',')
        .map(|name| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            kind.ok_or_else(|| format!("no peer `{name}`\n{}", usage()).into())
        })
        .collect()
}

/// Builds what is measured the way users build it.
fn build(peers: &[Kind]) -> Result {
    println!("bench: building with --profile dist");
    let mut packages = vec!["build", "--profile", "dist", "--quiet", "-p", "selvedge-bench"];
    if peers.contains(&Kind::Selvedge) {
        packages.extend(["-p", "selvedge"]);
    }
    process::run(&mut process::cargo(&packages))
}

/// Builds what is packaged, and nothing else.
fn build_selvedge() -> Result {
    println!("bench: building selvedge with --profile dist");
    process::run(&mut process::cargo(&["build", "--profile", "dist", "--quiet", "-p", "selvedge"]))
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &report::Report) -> Result {
    println!("\n{}", report.markdown());
    if !settings.write {
        return Ok(());
    }
    let folder = workspace::root().join(RESULTS);
    fs::create_dir_all(&folder)?;
    let json = folder.join("edge.json");
    let report = report.merged_into(fs::read_to_string(&json).ok().as_deref())?;
    fs::write(json, report.json()?)?;
    fs::write(folder.join("edge.md"), report.markdown())?;
    println!("bench: written to {RESULTS}");
    Ok(())
}

/// A program as it is packaged.
fn packaged(program: &str) -> PathBuf {
    workspace::target().join("dist").join(program)
}
