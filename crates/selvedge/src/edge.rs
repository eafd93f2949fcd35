//! `selvedge edge`: the edge in the foreground, from its config to its drain.

pub(crate) mod notify;
mod role;
pub(crate) mod signals;
mod telemetry;

use std::{io, path::PathBuf, sync::Arc};

use clap::Args;
use selvedge_edge::Edge;
use selvedge_telemetry::Hub;

use self::{notify::Notifier, role::Role, signals::Signals};
use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    findings::load_to_run,
    terminal::Paint,
};

/// Options of `selvedge edge`.
#[derive(Args, Debug)]
pub(crate) struct EdgeArgs {
    /// Config file
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Leave out the events of a normal start and end
    #[arg(long, short)]
    quiet: bool,
    /// End when the process of this id, which started us, has gone
    #[arg(long, value_name = "PID", hide = true)]
    supervisor: Option<i32>,
}

/// Runs the edge until it is told to stop: config, logs, ports, clients, drain.
pub(crate) fn run(args: &EdgeArgs) -> Outcome {
    follow_supervisor(args.supervisor)?;
    let checked =
        load_to_run(&args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
    let config = Arc::new(checked.config);
    let settings = telemetry::settings(&config);
    let hub = Hub::start(&settings).map_err(|error| Failure::from(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let edge =
            Edge::start(config.clone(), hub.clone()).map_err(|error| Failure::from(&error))?;
        let mut role =
            Role { args, config, hub, edge, revision: 1, notifier: Notifier::from_env() };
        role.announce(&checked.warnings);
        role.serve(signals).await
    })
}

/// Asks the kernel for SIGTERM when the supervisor dies, and ends at once if it has died already.
fn follow_supervisor(supervisor: Option<i32>) -> Result<(), Failure> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    let Some(supervisor) = supervisor else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)?;
    match getppid() {
        Some(parent) if parent.as_raw_pid() == supervisor => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "the supervisor has gone")),
    }
}
