//! `selvedge diff`: what a reload would change.

use std::path::{Path, PathBuf};

use clap::Args;
use selvedge_config::Config;

use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    findings::load,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// Config file as it is
    old: PathBuf,
    /// Config file as it shall be
    new: PathBuf,
}

/// Compares two configs by what they mean.
pub(crate) fn run(args: &DiffArgs, terminal: &mut Terminal) -> Outcome {
    let changes = selvedge_config::diff(&config(&args.old)?, &config(&args.new)?);
    terminal.write(&changes.to_string())?;
    Ok(Exit::Success)
}

fn config(file: &Path) -> Result<Config, Failure> {
    let checked = load(file).map_err(|findings| findings.into_failure(Paint::on_stderr()))?;
    Ok(checked.config)
}
