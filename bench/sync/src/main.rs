//! Load for sync relays, each in its own protocol, and documents without a browser.
//!
//! `selvedge-bench-sync relay '{…}'` loads a server, checks that every update arrived, and prints one line of JSON;
//! `selvedge-bench-sync documents '{…}'` does the same with documents in this process; `selvedge-bench-sync issuer` says whose tokens our relay is to take. What was written and did not
//! arrive is an error, and no figure. `cargo xtask bench sync` runs it.

mod automerge;
mod board;
mod client;
mod connection;
mod documents;
mod process;
mod relay;
mod selvedge;
mod times;
mod yjs;

use std::{error::Error, io::Write, process::ExitCode};

use serde_json::Value;

/// What goes wrong ends the program.
type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let outcome = measure(std::env::args().skip(1));
    match outcome.and_then(|found| Ok(writeln!(std::io::stdout(), "{found}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that is closed takes no message either.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(mut arguments: impl Iterator<Item = String>) -> Result<Value> {
    let what = arguments.next().unwrap_or_default();
    let order = arguments.next().unwrap_or_default();
    match what.as_str() {
        "relay" => relay::measure(&serde_json::from_str(&order)?),
        "documents" => documents::measure(&serde_json::from_str(&order)?),
        "issuer" => Ok(selvedge::issuer().into()),
        _ => Err(format!("`{what}` is nothing to measure").into()),
    }
}
