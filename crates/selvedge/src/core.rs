//! `selvedge core`: the process that stores, relays and proves, from its config to its drain.
//!
//! It is reached through the edge alone: over a unix socket by a process of the same user, or over
//! TLS by an edge elsewhere with a certificate. Who calls is settled here, once, for all services.

mod callers;
mod courier;
mod data_dir;
mod doors;
mod gate;
mod health;
mod housekeeping;
mod kept;
mod link;
mod metrics;
mod operator;
mod refusal;
mod role;
mod services;
mod shares;
mod spans;
mod tls;

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use selvedge_config::{Bound, Config, Core, CoreProcess};
use selvedge_telemetry::{Hub, Otlp, Settings};

use self::role::Role;
pub(crate) use self::{
    data_dir::DataDir,
    link::{Link, seal},
    operator::Operator,
    services::NOT_BUILT_IN,
};
use crate::{
    cli::Outcome,
    edge::{follow_supervisor, signals::Signals, telemetry::exporter},
    exit::{Exit, Failure},
    findings::load_to_run,
    terminal::Paint,
};

/// Bounds of a core that no config sets; none where the config has no core on this machine.
pub(crate) fn fixed_bounds(config: &Config) -> Vec<Bound> {
    match config.core.as_ref().and_then(Core::process) {
        Some(_) => doors::fixed_bounds(),
        None => Vec::new(),
    }
}

/// Options of `selvedge core`.
#[derive(Args, Debug)]
pub(crate) struct CoreArgs {
    /// Config file
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Leave out the events of a normal start and end
    #[arg(long, short)]
    quiet: bool,
    /// End when the process of this id, which started us, has gone
    #[arg(long, value_name = "PID", hide = true)]
    supervisor: Option<i32>,
    /// Read the secret that the edge has as well from standard input
    #[arg(long, hide = true)]
    link_from_stdin: bool,
}

/// What a core is started with: its part of the config.
struct Started {
    core: Core,
    process: Arc<CoreProcess>,
    config: Config,
}

/// Runs the core until it is told to stop: config, data-dir, doors, services, callers, drain.
pub(crate) fn run(args: &CoreArgs) -> Outcome {
    follow_supervisor(args.supervisor)?;
    let link = Link::from_stdin_if(args.link_from_stdin)?;
    let checked =
        load_to_run(&args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
    let started = Started::new(checked.config)?;
    let hub = Hub::start(&telemetry(&started.config)).map_err(|error| Failure::from(&error))?;
    let data_dir = DataDir::open(&started.process.data_dir)?;
    let link = link.map_or_else(|| Link::of_folder(data_dir.run()), Ok)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(started.config.workers)
        .thread_name("core")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let mut role = Role::open(args, started, (data_dir, link, hub)).await?;
        role.announce(&checked.warnings);
        role.serve(signals).await
    })
}

impl Started {
    fn new(config: Config) -> Result<Self, Failure> {
        let Some(core) = config.core.clone() else {
            let text = "this config has no `core`; add `core { data-dir \"./data\" }`";
            return Err(Failure::new(Exit::Config, text));
        };
        let Some(process) = core.process().cloned() else {
            let text =
                "the core of this config runs elsewhere (`remote`); nothing is to be run here";
            return Err(Failure::new(Exit::Config, text));
        };
        Ok(Self { core, process, config })
    }
}

/// Events and spans. Requests are counted by the core itself; the edge logs them.
fn telemetry(config: &Config) -> Settings {
    let otlp = config.telemetry.otlp.as_ref().map(|otlp| {
        let edge = exporter(otlp);
        Otlp { service: format!("{}-core", edge.service), ..edge }
    });
    Settings { otlp, ..Settings::quiet(1) }
}
