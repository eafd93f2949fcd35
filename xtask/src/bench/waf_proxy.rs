//! `cargo xtask bench waf-proxy`: what a firewall costs where its users meet it, in front of an application.
//!
//! nginx with libmodsecurity beside Selvedge with its agent, each with the same rules and without any, on one core, with
//! the same requests over connections that are kept. No request is sent twice to the same contestant. One that lets attacks
//! pass or refuses what is clean is not fast but wrong: that voids the run.

mod config;
mod contestant;
mod course;
mod report;

use std::fs;

use self::{contestant::Contestant, report::Report};
use super::{CURL, RESULTS, TASKSET, machine, peer};
use crate::{
    Result,
    flags::Flags,
    process, setup,
    waf::{self, Build, Place},
    workspace,
};

/// What `cargo xtask bench waf-proxy` was told.
#[derive(Debug)]
struct Settings {
    contestants: Vec<&'static Contestant>,
    rounds: usize,
    requests: usize,
    shaped: usize,
    write: bool,
    date: String,
}

/// Measures, prints a report, and writes it to [`RESULTS`] if asked.
pub fn run(arguments: &[String]) -> Result {
    let settings = Settings::parse(arguments)?;
    if let Some(reason) = waf::missing(&[&waf::traffic_archive(), &waf::core_rule_set_folder()]) {
        return Err(reason.into());
    }
    setup::packages(setup::BENCH)?;
    setup::packages(&[setup::OPENSSL, CURL, TASKSET, setup::NGINX_MODSECURITY])?;
    println!("bench: building with --profile dist");
    let place = Place::prepare(Build::Dist)?;
    place.product()?;
    let origin = ["build", "--quiet", "--profile", "dist", "-p", "selvedge-bench", "--bin"];
    process::run(process::cargo(&origin).arg("origin"))?;
    let results = course::run(&settings, &place, &peer::Place::prepare()?)?;
    publish(&settings, &report::assemble(machine::hardware()?, &settings, &results))?;
    match results.failures.as_slice() {
        [] => Ok(()),
        failures => Err(format!("wrong answers:\n  {}", failures.join("\n  ")).into()),
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let values = ["--proxy", "--rounds", "--requests", "--shaped", "--date"];
        let flags = Flags::parse(arguments, &["--write"], &values)?;
        if let Some(word) = flags.words().first() {
            return Err(format!("`{word}` is nothing to measure\n{}", usage()).into());
        }
        Ok(Self {
            contestants: contestants(&flags)?,
            rounds: flags.number("--rounds", 5)?.max(1) as usize,
            requests: flags.number("--requests", u64::MAX)? as usize,
            shaped: flags.number("--shaped", 600)?.max(10) as usize,
            write: flags.has("--write"),
            date: flags.all("--date").last().map_or_else(machine::today, |date| Ok(date.into()))?,
        })
    }
}

fn contestants(flags: &Flags) -> Result<Vec<&'static Contestant>> {
    let named: Vec<&str> = flags.all("--proxy").collect();
    if let Some(name) = named.iter().find(|name| contestant::ALL.iter().all(|it| it.slug != **name))
    {
        return Err(format!("no proxy `{name}`\n{}", usage()).into());
    }
    let wanted = |it: &&Contestant| named.is_empty() || named.contains(&it.slug);
    Ok(contestant::ALL.iter().filter(wanted).collect())
}

fn usage() -> String {
    let proxies: Vec<String> =
        contestant::ALL.iter().map(|it| format!("    {:<18} {}", it.slug, it.label)).collect();
    format!(
        "  --proxy NAME           one of those below; may be repeated; all by default\n  \
           --rounds N             slices that the requests are cut into (5)\n  \
           --requests N           so many of the recorded requests (all)\n  \
           --shaped N             so many requests of each shape in a round (600)\n  \
           --date YYYY-MM-DD      date of the report (today)\n  \
           --write                write to {RESULTS}\n\n  \
           proxies:\n{}",
        proxies.join("\n")
    )
}

/// Prints the report, and writes it where asked.
fn publish(settings: &Settings, report: &Report) -> Result {
    println!("\n{}", report.markdown());
    if settings.write {
        let folder = workspace::root().join(RESULTS);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("waf-proxy.json"), report.json()?)?;
        fs::write(folder.join("waf-proxy.md"), report.markdown())?;
        println!("bench: written to {RESULTS}");
    }
    Ok(())
}
