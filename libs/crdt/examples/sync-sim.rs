//! Many stories of devices and a relay: `sync-sim FIRST COUNT`. Prints what happened, and fails at the first seed that
//! breaks a promise.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

use std::{process::ExitCode, thread};

use selvedge_crdt::sim::{SyncReport, run_sync};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [first, count] = numbers[..] else {
        eprintln!("sync-sim FIRST COUNT");
        return ExitCode::from(2);
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            thread::spawn(move || stories((first + core..first + count).step_by(cores as usize)))
        })
        .collect();
    let mut report = SyncReport::default();
    for thread in threads {
        match thread.join() {
            Ok(Ok(part)) => report += part,
            Ok(Err(seed)) => {
                eprintln!("seed {seed} breaks a promise; `sync-sim {seed} 1` tells it again");
                return ExitCode::FAILURE;
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
    println!("{report}");
    ExitCode::SUCCESS
}

/// Tells all stories, or returns the first seed that breaks a promise.
fn stories(seeds: impl Iterator<Item = u64>) -> Result<SyncReport, u64> {
    let mut report = SyncReport::default();
    for seed in seeds {
        report += std::panic::catch_unwind(|| run_sync(seed)).map_err(|_| seed)?;
    }
    Ok(report)
}
