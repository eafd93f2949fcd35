//! Many stories under seeds: `crdt-sim replicas|devices FIRST COUNT`. Prints what happened, and fails at the first seed that
//! breaks a promise.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

use std::{fmt::Display, ops::AddAssign, process::ExitCode, thread};

use selvedge_crdt::sim::{run, run_sync};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    match (words.first().map(String::as_str), &numbers[..]) {
        (Some("replicas"), [first, count]) => tell(run, *first, *count),
        (Some("devices"), [first, count]) => tell(run_sync, *first, *count),
        _ => {
            eprintln!("crdt-sim replicas|devices FIRST COUNT");
            ExitCode::from(2)
        }
    }
}

/// Tells stories on all cores, and prints what they come to.
fn tell<R>(story: fn(u64) -> R, first: u64, count: u64) -> ExitCode
where
    R: AddAssign + Default + Display + Send + 'static,
{
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let seeds = move |core| (first + core..first + count).step_by(cores as usize);
    let threads: Vec<_> =
        (0..cores).map(|core| thread::spawn(move || stories(story, seeds(core)))).collect();
    let mut report = R::default();
    for thread in threads {
        match thread.join() {
            Ok(Ok(part)) => report += part,
            Ok(Err(seed)) => {
                eprintln!("seed {seed} breaks a promise; with `{seed} 1` it is told again");
                return ExitCode::FAILURE;
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
    println!("{report}");
    ExitCode::SUCCESS
}

/// Tells all stories, or returns the first seed that breaks a promise.
fn stories<R: AddAssign + Default>(
    story: fn(u64) -> R,
    seeds: impl Iterator<Item = u64>,
) -> Result<R, u64> {
    let mut report = R::default();
    for seed in seeds {
        report += std::panic::catch_unwind(|| story(seed)).map_err(|_| seed)?;
    }
    Ok(report)
}
