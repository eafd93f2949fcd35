//! `cargo xtask chaos`: an edge under load whose agents fail in every way that we know of.
//!
//! The program that breaks them, and measures, is `chaos` of the bench crate; this builds it and keeps its page.

use std::{fs, process::Stdio};

use crate::{Result, flags::Flags, process, workspace};

/// Where the page is kept.
const PAGE: &str = "docs/reference/chaos.md";

/// Builds, measures, prints the page, and writes it to [`PAGE`] if asked. It fails where a request passed
/// uninspected, or failed where it should not have.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--write"], &["--fault", "--rate", "--profile"])?;
    if let Some(word) = flags.words().first() {
        return Err(format!("nothing is called `{word}` here").into());
    }
    let profile = flags.all("--profile").last().unwrap_or("release");
    println!("chaos: building with --profile {profile}");
    let packages = ["-p", "selvedge", "-p", "selvedge-bench"];
    let build = [&["build", "--quiet", "--profile", profile][..], &packages].concat();
    process::run(&mut process::cargo(&build))?;
    let (page, outcome) = measure(&flags, profile)?;
    println!("{page}");
    if flags.has("--write") {
        if flags.all("--fault").next().is_some() {
            return Err(
                "a page with some of the faults is none: leave `--fault` or `--write` out".into()
            );
        }
        fs::write(workspace::root().join(PAGE), page)?;
        println!("chaos: written to {PAGE}");
    }
    outcome
}

/// The page, and whether every rule was kept.
fn measure(flags: &Flags, profile: &str) -> Result<(String, Result)> {
    let folder = workspace::target().join(if profile == "dev" { "debug" } else { profile });
    let mut command = process::command(folder.join("chaos"));
    command.arg("--selvedge").arg(folder.join("selvedge"));
    command.arg("--agent").arg(folder.join("hostile_agent"));
    command.args(["--commit", &format!("{} (profile {profile})", commit()?)]);
    command.args(["--date", &today()?]);
    for flag in ["--fault", "--rate"] {
        for value in flags.all(flag) {
            command.args([flag, value]);
        }
    }
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    let page = String::from_utf8(output.stdout)?;
    match output.status.code() {
        Some(0) => Ok((page, Ok(()))),
        Some(1) => Ok((page, Err("rules were broken; they are listed above".into()))),
        _ => Err(format!("chaos: {}", output.status).into()),
    }
}

fn commit() -> Result<String> {
    let commit = process::output("git", &["rev-parse", "--short", "HEAD"])?;
    let clean = process::output("git", &["status", "--porcelain"])?.is_empty();
    Ok(format!("{}{}", commit.trim(), if clean { "" } else { " with changes" }))
}

fn today() -> Result<String> {
    Ok(process::output("date", &["--utc", "+%F"])?.trim().to_owned())
}
