//! `selvedge confine`: the edge starts agents through it. It takes restrictions upon itself and
//! becomes the agent; nobody else has a use for it.

use std::path::PathBuf;

use clap::Args;
use selvedge_edge::Confinement;

use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::complain,
};

/// Options of `selvedge confine`.
#[derive(Args, Debug)]
pub(crate) struct ConfineArgs {
    /// The restrictions as JSON
    policy: String,
    /// The program to become
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Becomes the program; returns only when that fails.
pub(crate) fn run(args: &ConfineArgs) -> Outcome {
    let policy: Confinement = serde_json::from_str(&args.policy)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("the restrictions: {error}")))?;
    let warn = |text: &str| complain(&format!("warning: {text}\n"));
    let error = policy.run(&args.program, &args.arguments, warn);
    Err(Failure::chain(Exit::Unavailable, &error))
}
