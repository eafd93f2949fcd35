//! Everything that a person or CI does to this repository, behind one door: `cargo xtask`.
//!
//! It knows the repository and the machine, and nothing of HTTP: what a protocol needs is measured by
//! suites and servers that it starts.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod bench;
mod chaos;
mod ci;
mod client;
mod conformance;
mod flags;
mod fuzz;
mod notes;
mod npm;
mod process;
mod setup;
mod sim;
mod test;
mod tidy;
mod waf;
mod wasm;
mod workspace;

use std::{error::Error, process::ExitCode};

/// What a command answers: nothing, or why it failed, in words for the person at the terminal.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// One word after `cargo xtask`.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "setup",
        usage: "",
        about: "install what tests, benchmarks and conformance suites need",
        run: setup::run,
    },
    Command {
        name: "test",
        usage: "[-p CRATE]... [FILTER]",
        about: "unit, integration and documentation tests, and the fuzz corpora",
        run: test::run,
    },
    Command {
        name: "tidy",
        usage: "",
        about: "formatting, lints, layers, names, licences, documentation links",
        run: tidy::run,
    },
    Command {
        name: "bench",
        usage: "edge|agents|client|log|sync|waf [--write]",
        about: "throughput, latency, memory beside nginx and HAProxy; agents, browsers, log, documents, rules beside others",
        run: bench::run,
    },
    Command {
        name: "chaos",
        usage: "[--fault NAME]... [--write]",
        about: "agents that fail in every way, under load",
        run: chaos::run,
    },
    Command {
        name: "sim",
        usage: "[log] [--first N] [--seeds N] [--write]",
        about: "the event log on a disk that fails, beside a model of what it promised",
        run: sim::run,
    },
    Command {
        name: "conformance",
        usage: "[SUITE]... [--write]",
        about: "other people's tests against a running selvedge",
        run: conformance::run,
    },
    Command {
        name: "fuzz",
        usage: "[TARGET]... [--seconds N]",
        about: "look for inputs that break a parser",
        run: fuzz::run,
    },
    Command {
        name: "wasm",
        usage: "[--opt LEVEL]...",
        about: "the package of documents for browsers and Node, with its size",
        run: wasm::run,
    },
    Command {
        name: "client",
        usage: "",
        about: "the package for browsers, tried in Chromium",
        run: client::run,
    },
    Command {
        name: "notes",
        usage: "[--build]",
        about: "the notes app that `selvedge up` serves, tried in Chromium",
        run: notes::run,
    },
    Command { name: "ci", usage: "", about: "what every change must pass", run: ci::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result {
    let Some((name, rest)) = arguments.split_first() else {
        print_usage();
        return Ok(());
    };
    if matches!(name.as_str(), "-h" | "--help" | "help") {
        print_usage();
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => Err(format!("no command `{name}`; `cargo xtask help` lists them").into()),
    }
}

fn print_usage() {
    println!("cargo xtask COMMAND\n");
    for Command { name, usage, about, run: _ } in COMMANDS {
        println!("  {:<32} {about}", format!("{name} {usage}"));
    }
}
