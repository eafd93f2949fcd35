//! `cargo xtask tidy`: what a compiler does not check.

mod dependencies;
mod documents;
mod layers;
mod source;

use std::{fmt, fs};

use crate::{Result, client, flags::Flags, notes, process, workspace};

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs every check, says everything that is wrong, and fails if anything is.
pub fn run(arguments: &[String]) -> Result {
    Flags::parse(arguments, &[], &[])?;
    let broken: Vec<&str> = CHECKS
        .iter()
        .filter_map(|(name, check)| {
            println!("tidy: {name}");
            let error = check().err()?;
            eprintln!("{error}");
            Some(*name)
        })
        .collect();
    if broken.is_empty() {
        println!("tidy: all is in order");
        return Ok(());
    }
    Err(format!("tidy: not in order: {}", broken.join(", ")).into())
}

/// A check and what it is called.
type Check = (&'static str, fn() -> Result);

const CHECKS: &[Check] = &[
    ("format", format),
    ("format of TypeScript", || client::tidy().and(notes::tidy())),
    ("source", || report(read_files(source::findings)?)),
    ("documents", || report(documents::findings()?)),
    ("layers", || report(layers::findings()?)),
    ("dependencies", dependencies::check),
    ("lints", lints),
];

fn format() -> Result {
    let own = process::run(&mut process::cargo(&["fmt", "--all", "--check"]));
    let others = ["bench/log/Cargo.toml", "bench/sync/Cargo.toml", "conformance/tonic/Cargo.toml"]
        .map(|manifest| {
            process::run(&mut process::cargo(&["fmt", "--manifest-path", manifest, "--check"]))
        });
    others.into_iter().fold(own, Result::and)
}

fn lints() -> Result {
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(&mut process::cargo(&clippy))?;
    // Workspaces of their own, which nothing else here would build before somebody measures.
    for bench in ["bench/log/Cargo.toml", "bench/sync/Cargo.toml"] {
        let clippy = ["clippy", "--quiet", "--manifest-path", bench, "--", "-D", "warnings"];
        process::run(&mut process::cargo(&clippy))?;
    }
    Ok(())
}

fn read_files(findings: fn(&str, &str) -> Vec<Finding>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for path in workspace::files()? {
        // What is not UTF-8 is not text: corpora and images.
        if let Ok(text) = fs::read_to_string(workspace::root().join(&path)) {
            found.extend(findings(&path.to_string_lossy(), &text));
        }
    }
    Ok(found)
}

fn report(findings: Vec<Finding>) -> Result {
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
    Err(lines.join("\n").into())
}
