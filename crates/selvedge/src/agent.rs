//! `selvedge agent KIND`: one of Selvedge's own agents, as the edge starts it.

use std::ffi::OsString;

use clap::Args;

use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
};

/// Options of `selvedge agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// Which one
    #[arg(value_parser = selvedge_agents::KINDS)]
    kind: String,
    /// Listen on this socket instead of the one that the edge hands over
    #[arg(long, value_name = "PATH")]
    listen: Option<OsString>,
    /// Threads that answer; otherwise SELVEDGE_THREADS, otherwise one per core
    #[arg(long, value_name = "NUMBER")]
    threads: Option<u16>,
}

/// Serves until told to end.
pub(crate) fn run(args: &AgentArgs) -> Outcome {
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(path) = &args.listen {
        arguments.extend(["--listen".into(), path.clone()]);
    }
    if let Some(threads) = args.threads {
        arguments.extend(["--threads".into(), threads.to_string().into()]);
    }
    let ended = selvedge_agents::run(&args.kind, arguments);
    let code = ended.expect("the command line knows the kinds");
    match code == std::process::ExitCode::SUCCESS {
        true => Ok(Exit::Success),
        false => Err(Failure::new(Exit::Failure, "the agent cannot be served; see above")),
    }
}
