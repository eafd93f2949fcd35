//! `selvedge edge`: the edge in the foreground, from its config to its drain.

pub(crate) mod audit;
pub(crate) mod notify;
mod role;
pub(crate) mod signals;
pub(crate) mod telemetry;

use std::{io, path::PathBuf, sync::Arc};

use clap::Args;
use selvedge_config::{Config, Core};
use selvedge_edge::{AuditTrail, Edge, revision};
use selvedge_telemetry::{Hub, Level};

use self::{audit::AuditKeeper, notify::Notifier, role::Role, signals::Signals};
use crate::{
    cli::Outcome,
    core::{self, Link},
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
    /// Read the secret that the core has as well from standard input
    #[arg(long, hide = true)]
    link_from_stdin: bool,
}

/// Runs the edge until it is told to stop: config, logs, ports, clients, drain.
pub(crate) fn run(args: &EdgeArgs) -> Outcome {
    follow_supervisor(args.supervisor)?;
    let link = Link::from_stdin_if(args.link_from_stdin)?;
    let checked =
        load_to_run(&args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
    let settings = telemetry::settings(&checked.config);
    let hub = Hub::start(&settings).map_err(|error| Failure::from(&error))?;
    let (config, proof) = sealed(checked.config, link.as_ref(), &hub);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let (trail, feed) = AuditTrail::new(config.workers);
        let edge = Edge::start_telling(config.clone(), hub.clone(), &trail)
            .map_err(|error| Failure::from(&error))?;
        let keeper = AuditKeeper::start((trail, feed), (&config, proof.as_ref()), &hub)?;
        // Before anybody is told that we serve, and asks.
        let requests = edge.reload_requests();
        let mut role = Role {
            args,
            digest: revision(&config),
            config,
            link,
            hub,
            edge,
            revision: 1,
            keeper,
            notifier: Notifier::from_env(),
        };
        role.announce(&checked.warnings);
        role.serve(signals, requests).await
    })
}

/// The config with the proof of who we are on what goes to the core. Without it the edge serves all the
/// same; the core then believes nothing that it says of callers, and takes no events from it.
fn sealed(mut config: Config, handed: Option<&Link>, hub: &Hub) -> (Arc<Config>, Option<Link>) {
    let mut proof = None;
    let process = config.core.as_ref().and_then(Core::process).cloned();
    if let Some(process) = process {
        let link = handed.cloned().map_or_else(|| Link::of_data_dir(&process.data_dir), Ok);
        match link {
            Ok(link) => {
                core::seal(&mut config, &link);
                proof = Some(link);
            }
            Err(error) => {
                let message = "the core will not believe what agents say of callers";
                hub.event(Level::Warn, message, &[("why", &error)]);
            }
        }
    }
    (Arc::new(config), proof)
}

/// Asks the kernel for SIGTERM when the supervisor dies, and ends at once if it has died already.
pub(crate) fn follow_supervisor(supervisor: Option<i32>) -> Result<(), Failure> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    let Some(supervisor) = supervisor else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)?;
    match getppid() {
        Some(parent) if parent.as_raw_pid() == supervisor => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "the supervisor has gone")),
    }
}
