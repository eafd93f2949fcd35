//! Licences, sources, one stack of each kind, known holes: `cargo deny` with `deny.toml`.

use crate::{Result, process, setup};

/// Fails on a licence, source or crate that `deny.toml` does not allow, and on a known vulnerability
/// where the advisory database can be fetched.
pub fn check() -> Result {
    let deny = setup::tool(setup::CARGO_DENY)?;
    let run = |what: &[&str]| {
        let mut command = process::command(&deny);
        command.args(["--log-level", "error", "check", "--hide-inclusion-graph"]).args(what);
        process::run(&mut command)
    };
    run(&["licenses", "bans", "sources"])?;
    match process::capture(process::command(&deny).args(["--log-level", "error", "fetch", "db"])) {
        Ok(_) => run(&["advisories"]),
        Err(_) => {
            println!("tidy: skipped: advisories (their database cannot be fetched from here)");
            Ok(())
        }
    }
}
