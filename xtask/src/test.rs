//! `cargo xtask test`: everything that must hold on every machine that has Rust.

use std::process::Command;

use crate::{Result, client, flags::Flags, notes, process, setup, wasm};

/// Runs the tests of the workspace, or of the crates named by `-p`, and the examples in their documentation.
///
/// The runner is nextest where it is installed, otherwise cargo's own.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &[], &["-p"])?;
    setup::packages(&[setup::CC])?;
    for package in [setup::OPENSSL, setup::REDIS] {
        if let Err(error) = setup::packages(&[package]) {
            println!("test: skipped: cases that need {} ({error})", package.program);
        }
    }
    if let Err(error) = setup::python(setup::MOTO) {
        println!("test: skipped: cases that need moto ({error})");
    }
    let examples = process::run(&mut examples(&flags));
    let tests = process::run(&mut tests(&flags));
    examples.and(tests).and(documents(&flags)).and(browser(&flags))
}

/// The documents in WASM, beside native ones.
fn documents(flags: &Flags) -> Result {
    let named: Vec<&str> = flags.all("-p").collect();
    let asked = named.is_empty() || named.contains(&"selvedge-crdt-wasm");
    if asked && flags.words().is_empty() { wasm::test() } else { Ok(()) }
}

/// What browsers run, in a browser.
fn browser(flags: &Flags) -> Result {
    let asked = flags.all("-p").next().is_none() && flags.words().is_empty();
    if asked { client::test().and_then(|()| notes::test()) } else { Ok(()) }
}

fn tests(flags: &Flags) -> Command {
    let mut command = if process::succeeds("cargo-nextest", &["nextest", "--version"]) {
        let mut nextest = process::cargo(&["nextest", "run", "--no-fail-fast", "--no-tests=fail"]);
        nextest
            .args(["--profile", if std::env::var_os("CI").is_some() { "ci" } else { "default" }]);
        nextest
    } else {
        process::cargo(&["test", "--no-fail-fast", "--all-targets"])
    };
    command.args(scope(flags)).args(flags.words());
    command
}

fn examples(flags: &Flags) -> Command {
    let mut command = process::cargo(&["test", "--no-fail-fast", "--doc"]);
    command.args(scope(flags)).args(flags.words());
    command
}

fn scope(flags: &Flags) -> Vec<&str> {
    let named: Vec<&str> = flags.all("-p").flat_map(|name| ["-p", name]).collect();
    if named.is_empty() { vec!["--workspace"] } else { named }
}
