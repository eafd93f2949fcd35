//! `selvedge edge`: the edge in the foreground, from its config to its drain.

mod notify;
mod signals;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use selvedge_config::{Config, Id, LogTarget, diff};
use selvedge_edge::{Drained, Edge, StartError};
use selvedge_telemetry::{Hub, Level, Settings, SettingsError};
use tokio::sync::oneshot;

use self::{
    notify::Notifier,
    signals::{Order, Signals},
};
use crate::{
    cli::Outcome,
    exit::{Exit, Failure, chain},
    findings::{Findings, load},
    terminal::{Paint, complain, wants_color},
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

/// How long logs and spans may take to be written at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the edge until it is told to stop.
pub(crate) fn run(args: &EdgeArgs) -> Outcome {
    follow_supervisor(args.supervisor)?;
    let paint = Paint { on: wants_color(&io::stderr()) };
    let checked = load(&args.config).map_err(|findings| findings.into_failure(paint))?;
    let config = Arc::new(checked.config);
    let hub = Hub::start(&telemetry(&config)).map_err(|error| telemetry_failure(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let edge = Edge::start(config.clone(), hub.clone()).map_err(|error| Failure::from(&error))?;
        let mut role = Role { args, config, hub, edge, revision: 1, notifier: Notifier::from_env() };
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

/// The running edge and what it needs to obey.
struct Role<'a> {
    args: &'a EdgeArgs,
    config: Arc<Config>,
    hub: Hub,
    edge: Edge,
    /// Counts the configs that took effect.
    revision: u64,
    notifier: Notifier,
}

/// Why a reload changed nothing.
enum Refused {
    Config(Findings),
    Telemetry(SettingsError),
    Start(StartError),
}

impl Role<'_> {
    /// Says that clients are served, and where.
    fn announce(&mut self, warnings: &Findings) {
        self.hub.config_loaded(self.revision);
        self.say_findings(Level::Warn, warnings);
        let urls = self.urls();
        if !self.args.quiet {
            self.say_listening(&urls);
        }
        self.notifier.ready(&urls);
    }

    fn say_listening(&self, urls: &[(Id, String)]) {
        for (listener, url) in urls {
            self.hub.event(Level::Info, "listening", &[("listener", listener), ("url", url)]);
        }
        let config = self.args.config.display();
        let fields: [(&str, &dyn std::fmt::Display); 3] = [
            ("config", &config),
            ("workers", &self.config.workers),
            ("pid", &std::process::id()),
        ];
        self.hub.event(Level::Info, "serving", &fields);
    }

    /// Where each listener can be reached.
    fn urls(&self) -> Vec<(Id, String)> {
        let is_tls = |id: &Id| {
            self.config.listeners.iter().any(|one| one.id == *id && one.tls.is_some())
        };
        let url = |id: &Id, address: SocketAddr| {
            format!("{}://{address}", if is_tls(id) { "https" } else { "http" })
        };
        let addresses = self.edge.addresses().into_iter();
        addresses.map(|(id, address)| (id.clone(), url(&id, address))).collect()
    }

    fn say_findings(&self, level: Level, findings: &Findings) {
        for entry in findings.entries() {
            let at = entry.at();
            let help = entry.help.unwrap_or_default();
            let fields: [(&str, &dyn std::fmt::Display); 4] =
                [("code", &entry.code), ("at", &at), ("what", &entry.message), ("help", &help)];
            self.hub.event(level, "config", &fields[..if help.is_empty() { 3 } else { 4 }]);
        }
    }

    /// Obeys until told to stop, then drains.
    async fn serve(mut self, mut signals: Signals) -> Outcome {
        loop {
            match signals.next().await {
                Order::Reload => self.reload(),
                Order::Reopen => self.hub.reopen(),
                Order::Stop => return self.drain(signals).await,
            }
        }
    }

    /// Puts the file's present content in force, or says why not and goes on as before.
    fn reload(&mut self) {
        self.notifier.reloading();
        match self.try_reload() {
            Ok(changes) => {
                self.revision += 1;
                self.hub.config_loaded(self.revision);
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("revision", &self.revision), ("changes", &changes)];
                self.hub.event(Level::Info, "config reloaded", &fields);
            }
            Err(refused) => self.refuse(&refused),
        }
        self.notifier.ready(&self.urls());
    }

    /// Returns what changed, in words.
    fn try_reload(&mut self) -> Result<String, Refused> {
        let checked = load(&self.args.config).map_err(Refused::Config)?;
        let config = Arc::new(checked.config);
        self.hub.reconfigure(&telemetry(&config)).map_err(Refused::Telemetry)?;
        if let Err(error) = self.edge.reload(config.clone()) {
            // The logs that were open a moment ago; if they are not to be had any more, the new ones serve.
            let _ = self.hub.reconfigure(&telemetry(&self.config));
            return Err(Refused::Start(error));
        }
        self.hub.reopen();
        self.say_findings(Level::Warn, &checked.warnings);
        self.say_what_waits(&config);
        let changes = diff(&self.config, &config).to_string();
        self.config = config;
        Ok(changes.trim_end().replace('\n', ", "))
    }

    /// Some settings are only read when the process starts.
    fn say_what_waits(&self, next: &Config) {
        let was = self.config.workers;
        if next.workers != was {
            let fields: [(&str, &dyn std::fmt::Display); 2] =
                [("workers", &was), ("remedy", &"restart to change it")];
            self.hub.event(Level::Warn, "the number of workers stays until a restart", &fields);
        }
    }

    fn refuse(&self, refused: &Refused) {
        self.hub.config_refused();
        let why = match refused {
            Refused::Config(findings) => {
                complain(&findings.render(Paint { on: wants_color(&io::stderr()) }));
                let errors = findings.errors();
                let first = findings.entries().find(|entry| entry.is_error);
                let first = first.map(|entry| format!("{}: {}", entry.at(), entry.message));
                format!("{}; errors: {errors}", first.unwrap_or_default())
            }
            Refused::Telemetry(error) => chain(error),
            Refused::Start(error) => chain(error),
        };
        self.hub.event(
            Level::Error,
            "config refused; the one before stays in force",
            &[("why", &why)],
        );
    }

    /// Lets requests end within the drain's time; a second order to stop ends it at once.
    async fn drain(self, mut signals: Signals) -> Outcome {
        let Self { args, config, hub, edge, notifier, .. } = self;
        notifier.stopping();
        if !args.quiet {
            hub.event(Level::Info, "draining", &[("connections", &edge.connections())]);
        }
        let (done, mut drained) = oneshot::channel();
        let within = config.drain_timeout;
        std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
            // Nobody waits any more after a second signal.
            let _ = done.send(edge.drain(within));
        })?;
        loop {
            tokio::select! {
                drained = &mut drained => return Ok(end(&hub, drained.ok(), args.quiet)),
                order = signals.next() => if matches!(order, Order::Stop) {
                    return Err(Failure::new(Exit::Failure, "told twice to stop: requests were cut"));
                }
            }
        }
    }
}

/// Says how the drain went and writes what is left of the logs.
fn end(hub: &Hub, drained: Option<Drained>, quiet: bool) -> Exit {
    match drained {
        Some(Drained { cut: 0 }) if quiet => {}
        Some(Drained { cut: 0 }) => hub.event(Level::Info, "stopped", &[]),
        Some(Drained { cut }) => {
            hub.event(Level::Warn, "stopped; connections were cut", &[("cut", &cut)]);
        }
        None => hub.event(Level::Error, "the drain failed", &[]),
    }
    let lost = hub.shutdown(FLUSH_TIMEOUT);
    if lost.access_log || lost.spans > 0 {
        complain(&format!("warning: not all was written: {lost:?}\n"));
    }
    if drained.is_some() { Exit::Success } else { Exit::Bug }
}

fn telemetry(config: &Config) -> Settings {
    let selvedge_config::Telemetry { access_log, otlp } = &config.telemetry;
    Settings {
        access_log: access_log.as_ref().map(log_target),
        otlp: otlp.as_ref().map(exporter),
        events: selvedge_telemetry::LogTarget::Stderr,
        cores: config.workers,
    }
}

fn log_target(target: &LogTarget) -> selvedge_telemetry::LogTarget {
    match target {
        LogTarget::Stdout => selvedge_telemetry::LogTarget::Stdout,
        LogTarget::Stderr => selvedge_telemetry::LogTarget::Stderr,
        LogTarget::File(path) => selvedge_telemetry::LogTarget::File(path.clone()),
    }
}

fn exporter(otlp: &selvedge_config::Otlp) -> selvedge_telemetry::Otlp {
    let selvedge_config::Otlp { endpoint, headers, sample, queue, service } = otlp.clone();
    selvedge_telemetry::Otlp { endpoint, headers, sample, queue, service }
}

fn telemetry_failure(error: &SettingsError) -> Failure {
    let exit = match error {
        SettingsError::Open(_) | SettingsError::Endpoint(_) => Exit::Config,
        SettingsError::Thread(_) => Exit::Unavailable,
    };
    Failure::chain(exit, error)
}
