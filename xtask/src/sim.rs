//! `cargo xtask sim`: protocols and disks under a seed, with everything that can go wrong going wrong.

use std::{fs, process::Stdio};

use crate::{Result, flags::Flags, process, workspace};

/// Where the page is kept.
const PAGE: &str = "docs/reference/sim.md";

/// Stories unless `--seeds` says otherwise; each dies four times.
const SEEDS: u64 = 10_000;

/// Tells the stories of the log, and writes the page if asked. It fails where a promise was broken.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--write"], &["--seeds", "--first"])?;
    match flags.words() {
        [] => {}
        [word] if word == "log" => {}
        words => return Err(format!("no simulation `{}`; there is log", words.join(" ")).into()),
    }
    let (first, seeds) = (flags.number("--first", 0)?, flags.number("--seeds", SEEDS)?);
    let report = log(first, seeds)?;
    println!("{report}");
    if flags.has("--write") {
        fs::write(workspace::root().join(PAGE), page(first, seeds, &report))?;
        println!("sim: written to {PAGE}");
    }
    Ok(())
}

fn log(first: u64, seeds: u64) -> Result<String> {
    println!("sim: {seeds} stories of the event log");
    let build = ["run", "--quiet", "--release", "-p", "selvedge-eventlog"];
    let mut command = process::cargo(&build);
    command.args(["--features", "sim", "--example", "sim", "--"]);
    command.args([first.to_string(), seeds.to_string()]);
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        return Err("a promise was broken; the seed is above".into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn page(first: u64, seeds: u64, report: &str) -> String {
    let last = first + seeds.saturating_sub(1);
    format!(
        "# Simulation\n\n\
         `cargo xtask sim log [--first N] [--seeds N]` lives through stories of the event log on a disk in memory: batches of all kinds,\n\
         death at any write, sync, creation, rename or removal, also while the log is being opened; of what was not synced any\n\
         sectors are lost, kept or torn, in any order, and any names of files forgotten; syncs fail and leave pages that only look clean; the\n\
         disk fills up; segments are indexed, moved and deleted meanwhile. After each death the log is compared with a plain model\n\
         of what was acknowledged: all of that is there, and of what was under way the first batches, each as a whole. A seed is\n\
         a story; one that breaks a promise is told again by `--first SEED --seeds 1`.\n\n\
         ## Last run\n\nSeeds {first} to {last}.\n\n{report}\n"
    )
}
