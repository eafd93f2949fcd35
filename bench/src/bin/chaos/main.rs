//! What an edge does while one of its agents fails, under load: `cargo xtask chaos`.
//!
//! `chaos --selvedge FILE --agent FILE [--fault NAME]... [--rate N] [--commit TEXT] [--date TEXT]` prints a page;
//! it ends with 1 where a request passed uninspected or failed that should not have.

mod course;
mod edge;
mod fault;
mod figures;
mod load;
mod page;
mod upstream;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use self::{
    course::{Course, Run},
    fault::{FAULTS, Fault},
};

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// What the command line says.
#[derive(Default)]
struct Arguments {
    selvedge: PathBuf,
    agent: PathBuf,
    faults: Vec<String>,
    rate: Option<u32>,
    commit: String,
    date: String,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut parsed = Self::default();
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| wrong(format!("{flag} needs a value")))?;
            match flag.as_str() {
                "--selvedge" => parsed.selvedge = value.into(),
                "--agent" => parsed.agent = value.into(),
                "--fault" => parsed.faults.push(value),
                "--rate" => parsed.rate = Some(value.parse().map_err(|_| wrong(value))?),
                "--commit" => parsed.commit = value,
                "--date" => parsed.date = value,
                _ => return Err(wrong(format!("unknown flag {flag}"))),
            }
        }
        Ok(parsed)
    }

    fn faults(&self) -> io::Result<Vec<&'static Fault>> {
        if self.faults.is_empty() {
            return Ok(FAULTS.iter().collect());
        }
        let named = |name: &String| {
            let known = FAULTS.iter().find(|fault| fault.name == name);
            let names = || FAULTS.map(|fault| fault.name).join("\", \"");
            known.ok_or_else(|| wrong(format!("no fault {name:?}; there are \"{}\"", names())))
        };
        self.faults.iter().map(named).collect()
    }
}

/// Requests per second where nobody says otherwise.
const RATE: u32 = 2000;

/// Whether every rule was kept.
fn measure() -> io::Result<bool> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let rate = arguments.rate.unwrap_or(RATE);
    let course = Course { selvedge: &arguments.selvedge, agent: &arguments.agent, rate };
    let mut runs: Vec<Run> = Vec::new();
    for fault in arguments.faults()? {
        let run = course.run(fault)?;
        say(&format!("{}: {}", fault.name, run.summary()));
        run.violations().iter().for_each(|violation| say(&format!("  VIOLATION: {violation}")));
        runs.push(run);
    }
    let page = page::markdown(
        &page::Setting { rate, commit: &arguments.commit, date: &arguments.date },
        &runs,
    );
    io::stdout().write_all(page.as_bytes())?;
    Ok(runs.iter().all(|run| run.violations().is_empty()))
}

/// Tells whoever waits.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "chaos: {line}");
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
