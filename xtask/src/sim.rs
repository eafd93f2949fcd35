//! `cargo xtask sim`: protocols and disks under a seed, with everything that can go wrong going wrong; and the real
//! program, killed again and again.

use std::{fs, process::Stdio};

use crate::{Result, flags::Flags, process, workspace};

/// Where the page is kept.
const PAGE: &str = "docs/reference/sim.md";

/// Stories unless `--seeds` says otherwise; each dies four times.
const SEEDS: u64 = 10_000;
/// Deaths unless `--kills` says otherwise.
const KILLS: u64 = 200;

/// Runs what is named, or all, and writes the page if asked. It fails where a promise was broken.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--write"], &["--seeds", "--first", "--kills"])?;
    let named = flags.words();
    if let Some(word) = named.iter().find(|word| SECTIONS.iter().all(|known| known.name != **word))
    {
        return Err(
            format!("no simulation `{word}`; there are log, kill, crdt, sync and model").into()
        );
    }
    for section in
        SECTIONS.iter().filter(|it| named.is_empty() || named.iter().any(|word| word == it.name))
    {
        let report = (section.run)(&flags)?;
        println!("{report}");
        if flags.has("--write") {
            let path = workspace::root().join(PAGE);
            let page = page(&fs::read_to_string(&path).unwrap_or_default(), section, &report);
            fs::write(path, page)?;
            println!("sim: written to {PAGE}");
        }
    }
    Ok(())
}

/// A simulation, and what the page says of it.
struct Section {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    run: fn(&Flags) -> Result<String>,
}

const SECTIONS: &[Section] = &[
    Section {
        name: "log",
        title: "The event log on a disk that fails",
        about: "`cargo xtask sim log [--first N] [--seeds N]` lives through stories of the event log on a disk in memory: batches of all kinds,\n\
            death at any write, sync, creation, rename or removal, also while the log is being opened; of what was not synced any\n\
            sectors are lost, kept or torn, in any order, and any names of files forgotten; syncs fail and leave pages that only look clean; the\n\
            disk fills up, also in the middle of a write; segments are prepared, indexed, moved and deleted meanwhile. After each death the log is compared with a plain model\n\
            of what was acknowledged: all of that is there, and of what was under way the first batches, each as a whole. A seed is\n\
            a story; one that breaks a promise is told again by `--first SEED --seeds 1`.\n",
        run: log,
    },
    Section {
        name: "kill",
        title: "The core, killed under load",
        about: "`cargo xtask sim kill [--kills N]` kills `selvedge core` with signal 9, again and again, while writers append through the edge:\n\
            half of them producers that repeat what was not answered, half of them plain; others make streams, close them, delete them, or leave\n\
            them to their lifetime. After each death a reader that shares no code with the log (`crates/eventlog/tests/it/reader.rs`) reads the\n\
            files as they are: whatever was acknowledged is where the answer said, whatever is there was sent, once, and in\n\
            its writer's order. The audit log is verified as `selvedge audit verify` does it, from the head that was believed after the death\n\
            before; and the streams that are there are just those that entries say were made and did not end. CI does the same with a few\n\
            deaths.\n",
        run: kill,
    },
    Section {
        name: "crdt",
        title: "Replicas that edit at the same time",
        about: "`cargo xtask sim crdt [--first N] [--seeds N]` lets four devices edit one document: every kind of field, deletions of all sorts and\n\
            undo, with clocks that differ, while they push and pull when they like, restart from a snapshot, lose their lease and come back\n\
            under a new id, and while the document is compacted and swept. In the end all must hold the same bytes, nothing that was swept\n\
            may be there unless somebody wrote it again, and what nobody deleted must be as it is without any compaction. Beside that, each\n\
            seed joins operations that nobody could have written, with the same dots, stamps and places again and again, by different\n\
            ways to the same bytes.\n",
        run: crdt,
    },
    Section {
        name: "sync",
        title: "Devices and a relay",
        about: "`cargo xtask sim sync [--first N] [--seeds N]` lets three to five devices, with the client's machine, and a relay, with the relay's, live\n\
            through a story of two documents, one of them encrypted in every fourth: connections are lost with what is under way on either side, and what an\n\
            old one still carries arrives late; devices die between any two steps of storing, are set back to an old copy of their disk, copied so that both write\n\
            on, or lose everything; clocks jump by a month, and the relay says that it is years later; it dies before a sync, is restored from an old backup, cuts its log off, compacts, and all stay\n\
            away for longer than a lease. Then nothing more goes wrong: before long all must hold the same bytes, every edit that was ever durable\n\
            must be there as long as somebody had it, and what is dead when nothing is compacted must be dead.\n",
        run: sync,
    },
    Section {
        name: "model",
        title: "Devices and a relay, searched through whole",
        about: "`cargo xtask sim model` takes the same machines into worlds that are small enough for everything: two devices that have a document\n\
            open, and so many edits and faults. `stateright` lets happen whatever may happen next, in every order: each message, each transaction stored,\n\
            each sync, each fault at each moment. In every state those who have all that the relay has hold the same bytes, what a device was told to be\n\
            safe is durable at the relay, and there is a way on; and where nothing is left to happen, every edit that was durable is everywhere.\n\
            States count as one if they differ in nothing that is printed of the machines, the disks and the messages under way. A connection is lost\n\
            with everything under way, and both sides notice at once: what comes late is in the stories above. `cargo xtask test` does the same with\n\
            smaller worlds.\n",
        run: model,
    },
];

fn log(flags: &Flags) -> Result<String> {
    let (first, seeds) = (flags.number("--first", 0)?, flags.number("--seeds", SEEDS)?);
    println!("sim: {seeds} stories of the event log");
    stories(("selvedge-eventlog", &["sim", "--"]), first, seeds)
}

fn crdt(flags: &Flags) -> Result<String> {
    let (first, seeds) = (flags.number("--first", 0)?, flags.number("--seeds", SEEDS)?);
    println!("sim: {seeds} stories of replicas");
    stories(("selvedge-crdt", &["crdt-sim", "--", "replicas"]), first, seeds)
}

fn sync(flags: &Flags) -> Result<String> {
    let (first, seeds) = (flags.number("--first", 0)?, flags.number("--seeds", SEEDS)?);
    println!("sim: {seeds} stories of devices and a relay");
    stories(("selvedge-crdt", &["crdt-sim", "--", "devices"]), first, seeds)
}

fn model(_: &Flags) -> Result<String> {
    println!("sim: small worlds, searched through whole");
    let report = workspace::target().join("sim-model.md");
    let mut command = process::cargo(&["test", "--quiet", "--release", "-p", "selvedge-crdt"]);
    command.args(["--test", "it", "--", "--ignored", "--exact", "session_model::larger_worlds"]);
    command.env("SELVEDGE_MODEL_REPORT", &report);
    process::run(&mut command)?;
    Ok(fs::read_to_string(report)?.trim_end().to_owned())
}

/// Runs an example of a package that tells stories.
fn stories((package, example): (&str, &[&str]), first: u64, seeds: u64) -> Result<String> {
    let build = ["run", "--quiet", "--release", "-p", package];
    let mut command = process::cargo(&build);
    command.args(["--features", "sim", "--example"]).args(example);
    command.args([first.to_string(), seeds.to_string()]);
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        return Err("a promise was broken; the seed is above".into());
    }
    let last = first + seeds.saturating_sub(1);
    let report = String::from_utf8(output.stdout)?;
    Ok(format!("Seeds {first} to {last}.\n\n{}", report.trim_end()))
}

fn kill(flags: &Flags) -> Result<String> {
    let kills = flags.number("--kills", KILLS)?;
    println!("sim: {kills} deaths of a core");
    let report = workspace::target().join("sim-kill.md");
    let mut command = process::cargo(&["test", "--quiet", "-p", "selvedge"]);
    command.args(["--test", "it", "--", "--exact"]);
    command.arg("kills::a_core_that_is_killed_under_load_loses_nothing_and_makes_nothing_up");
    command.env("SELVEDGE_KILLS", kills.to_string()).env("SELVEDGE_KILLS_REPORT", &report);
    process::run(&mut command)?;
    Ok(fs::read_to_string(report)?.trim_end().to_owned())
}

/// The page with a new report of one section; the others stay as they are.
fn page(before: &str, written: &Section, report: &str) -> String {
    let mut page = String::from("# Simulation\n");
    for section in SECTIONS {
        let report = match section.name == written.name {
            true => Some(report),
            false => last_report(before, section),
        };
        let report = report.unwrap_or("Not run yet.");
        page += &format!(
            "\n## {}\n\n{}\n### Last run: {}\n\n{report}\n",
            section.title, section.about, section.name
        );
    }
    page
}

/// What a page says of the last run of a section.
fn last_report<'p>(page: &'p str, section: &Section) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("### Last run: {}\n\n", section.name))?;
    Some(rest.split("\n## ").next().unwrap_or(rest).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_written_and_the_others_stay() {
        let [log, kill, ..] = SECTIONS else { panic!("two sections") };
        let first = page("", log, "| a | 1 |");
        assert!(first.contains("### Last run: kill\n\nNot run yet.\n"), "{first}");
        let both = page(&first, kill, "| b | 2 |");
        assert_eq!(
            (last_report(&both, log), last_report(&both, kill)),
            (Some("| a | 1 |"), Some("| b | 2 |"))
        );
        assert_eq!(page(&both, kill, "| b | 2 |"), both);
    }
}
