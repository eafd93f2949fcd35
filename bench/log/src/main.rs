//! One measurement of the event log, the audit log, or somebody who is measured beside them.
//!
//! `selvedge-bench-log WHAT name=value …` does the work, checks that it is done, and prints one line of JSON.
//! What was acknowledged and is not found afterwards is an error, and no figure. `cargo xtask bench log` runs it.

mod appended;
mod audit;
mod disk;
mod fan_out;
mod http;
mod nats;
mod options;
mod ours;
mod postgres;
mod replay;
mod sqlite;
mod times;

use std::{error::Error, io::Write, process::ExitCode};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::options::Options;

/// What goes wrong ends the program.
type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let outcome = measure(std::env::args().skip(1));
    match outcome.and_then(|found| Ok(writeln!(std::io::stdout(), "{found}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that is closed takes no message either.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(mut arguments: impl Iterator<Item = String>) -> Result<Value> {
    let what = arguments.next().unwrap_or_default();
    let options = Options::parse(arguments)?;
    let runtime = runtime()?;
    match what.as_str() {
        "disk" => disk::syncs(&options),
        "ours" => runtime.block_on(ours::append(&options)),
        "ours-pipelined" => ours::pipelined(&options),
        "sqlite" => sqlite::append(&options),
        "http" => runtime.block_on(http::append(&options)),
        "nats" => runtime.block_on(nats::append(&options)),
        "postgres" => runtime.block_on(postgres::append(&options)),
        "fan-out" => runtime.block_on(fan_out::follow(&options)),
        "audit" => audit::append(&options),
        "replay-prepare" => runtime.block_on(replay::prepare(&options)),
        "replay" => runtime.block_on(replay::read(&options)),
        _ => Err(format!("`{what}` is nothing to measure").into()),
    }
}

/// As many threads as there are cores for this process.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}
