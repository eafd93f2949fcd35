//! `cargo xtask ci`: what every change must pass.

use crate::{Result, flags::Flags, process};

/// Runs `.ci/run`, the list that CI runs too; there is no second list to keep in step.
pub fn run(arguments: &[String]) -> Result {
    Flags::parse(arguments, &[], &[])?;
    process::run(process::command("bash").arg(".ci/run"))
}
