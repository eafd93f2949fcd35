//! The edge while it runs: obeys signals and the admin listener, and comes to an end.

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use selvedge_audit::{
    entry::Outcome as Result_,
    event::{Event, Fact},
};
use selvedge_config::{Config, Id, diff};
use selvedge_edge::{Asker, Drained, Edge, ReloadRequest, StartError, revision};
use selvedge_telemetry::{Hub, Level, SettingsError};
use tokio::sync::{mpsc, oneshot};

use super::{
    EdgeArgs,
    audit::{self, AuditKeeper},
    notify::{Notifier, Reachable},
    sealed,
    signals::{Order, Signals},
    telemetry,
};
use crate::{
    cli::Outcome,
    core::Link,
    exit::{Exit, Failure, chain},
    findings::{Findings, counted, load_to_run},
    terminal::{Paint, complain},
};

/// The running edge and what it needs to obey.
pub(super) struct Role<'a> {
    pub(super) args: &'a EdgeArgs,
    pub(super) config: Arc<Config>,
    /// What the supervisor handed over to prove to the core who we are.
    pub(super) link: Option<Link>,
    pub(super) hub: Hub,
    pub(super) edge: Edge,
    /// Counts the configs that took effect.
    pub(super) revision: u64,
    /// The same for the audit log, which tells configs by what is in them.
    pub(super) digest: String,
    pub(super) keeper: AuditKeeper,
    pub(super) notifier: Notifier,
}

/// Listeners that the audit log is told of a start.
const LISTENERS_MAX: usize = 256;
/// How long logs and spans may take to be written at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl Role<'_> {
    /// Says that clients are served, and where.
    pub(super) fn announce(&mut self, warnings: &Findings) {
        self.hub.config_loaded(self.revision);
        self.warn(warnings);
        let reachable = self.reachable();
        self.keeper.tell(self.started(&reachable));
        if !self.args.quiet {
            self.say_serving(&reachable);
        }
        self.notifier.ready(&reachable);
    }

    /// That the edge serves, and with what.
    fn started(&self, reachable: &Reachable) -> Event {
        let mut event = self.own("edge.start", Result_::Done);
        let listeners = reachable.listeners.iter().map(|(id, url)| format!("{id} {url}"));
        let details = [
            ("listeners", Fact::List(listeners.take(LISTENERS_MAX).collect())),
            ("pid", Fact::Number(std::process::id().into())),
            ("version", Fact::Text(env!("CARGO_PKG_VERSION").to_owned())),
            ("workers", Fact::Number(i64::try_from(self.config.workers).unwrap_or(i64::MAX))),
        ];
        event.details = details.map(|(name, fact)| (name.to_owned(), fact)).into();
        event
    }

    /// Something that this edge did, under the config in force.
    fn own(&self, action: &str, outcome: Result_) -> Event {
        let config = self.args.config.display().to_string();
        let mut event = Event::by_system(audit::now(), action, ("config", &config));
        event.outcome = outcome;
        event.config = Some(self.digest.clone());
        event
    }

    fn say_serving(&self, reachable: &Reachable) {
        for (listener, url) in &reachable.listeners {
            self.say(Level::Info, "listening", &[("listener", listener), ("url", url)]);
        }
        if let Some(url) = &reachable.admin {
            self.say(Level::Info, "listening", &[("listener", &"(admin)"), ("url", url)]);
        }
        let (config, pid) = (self.args.config.display(), std::process::id());
        let workers = self.config.workers;
        let fields: Fields<'_> = &[("config", &config), ("workers", &workers), ("pid", &pid)];
        self.say(Level::Info, "serving", fields);
    }

    fn say(&self, level: Level, message: &str, fields: Fields<'_>) {
        self.hub.event(level, message, fields);
    }

    fn warn(&self, warnings: &Findings) {
        for entry in warnings.entries() {
            let at = entry.at();
            let help = entry.help.unwrap_or("`selvedge check` shows it");
            let fields: Fields<'_> =
                &[("code", &entry.code), ("at", &at), ("what", &entry.message), ("help", &help)];
            self.say(Level::Warn, "doubt about the config", fields);
        }
    }

    /// Where clients and operators find us.
    fn reachable(&self) -> Reachable {
        let addresses = self.edge.addresses().into_iter();
        let listeners = addresses
            .map(|(id, address)| {
                let scheme = if self.is_tls(&id) { "https" } else { "http" };
                (id, format!("{scheme}://{address}/"))
            })
            .collect();
        let admin = self.edge.admin_address().map(|address| format!("http://{address}/"));
        let core = self.config.core.as_ref();
        let has_core = core.is_some_and(|core| core.process().is_some());
        Reachable { listeners, admin, has_core }
    }

    fn is_tls(&self, listener: &Id) -> bool {
        self.config.listeners.iter().any(|one| one.id == *listener && one.tls.is_some())
    }

    /// Obeys until told to stop, then drains.
    pub(super) async fn serve(
        mut self,
        mut signals: Signals,
        mut requests: mpsc::Receiver<ReloadRequest>,
    ) -> Outcome {
        loop {
            match next_order(&mut signals, &mut requests).await {
                (Order::Reload, reply) => self.reload(reply),
                (Order::Reopen, _) => self.hub.reopen(),
                (Order::Stop, _) => return self.drain(signals).await,
            }
        }
    }

    /// Puts the file's present content in force, or says why not and goes on as before.
    fn reload(&mut self, reply: Option<ReloadRequest>) {
        self.notifier.reloading();
        let before = self.digest.clone();
        let outcome = self.try_reload();
        self.tell_of_reload((before, &outcome), reply.as_ref().map(|request| &request.asker));
        match &outcome {
            Ok(changes) => {
                let fields: Fields<'_> = &[("revision", &self.revision), ("changes", changes)];
                self.say(Level::Info, "config reloaded", fields);
            }
            Err(refused) => self.refuse(refused, reply.is_some()),
        }
        if let Some(ReloadRequest { asker: _, reply }) = reply {
            let revision = self.revision;
            let outcome = outcome.map(|changes| format!("revision {revision}: {changes}"));
            // Whoever asked may have gone; the log has it too.
            let _ = reply.send(outcome.map_err(|refused| refused.to_string()));
        }
        self.notifier.ready(&self.reachable());
    }

    /// What the audit log is told: who wanted it, and what became of it.
    fn tell_of_reload(
        &self,
        (before, outcome): (String, &Result<String, Refused>),
        asker: Option<&Asker>,
    ) {
        let result = if outcome.is_ok() { Result_::Done } else { Result_::Failed };
        let mut event = self.own("config.reload", result);
        match asker {
            Some(asker) => asker.sign(&mut event),
            None => {
                event.actor.id = Some("SIGHUP".to_owned());
                event.actor.auth = "signal".to_owned();
            }
        }
        let mut put = |name: &str, fact| event.details.insert(name.to_owned(), fact);
        put("old", Fact::Text(before));
        match outcome {
            Ok(changes) => {
                put("new", Fact::Text(self.digest.clone()));
                put("changes", Fact::List(changes.split(", ").map(str::to_owned).collect()));
            }
            Err(refused) => {
                put("why", Fact::Text(refused.summary()));
                event.reason = Some("config/refused".to_owned());
            }
        }
        self.keeper.tell(event);
    }

    /// Returns what changed, in words.
    fn try_reload(&mut self) -> Result<String, Refused> {
        let checked = load_to_run(&self.args.config).map_err(Refused::Config)?;
        let (config, link) = sealed(checked.config, self.link.as_ref(), &self.hub);
        self.hub.reconfigure(&telemetry::settings(&config)).map_err(Refused::Telemetry)?;
        if let Err(error) = self.edge.reload(config.clone()) {
            // What was open a moment ago; should it be gone, the new logs go on.
            let _ = self.hub.reconfigure(&telemetry::settings(&self.config));
            return Err(Refused::Start(error));
        }
        self.revision += 1;
        self.digest = revision(&config);
        self.keeper.follow(&config, link.as_ref());
        self.hub.config_loaded(self.revision);
        self.warn(&checked.warnings);
        self.say_what_waits(&config);
        let changes = diff(&self.config, &config).to_string();
        self.config = config;
        Ok(changes.trim_end().replace('\n', ", "))
    }

    /// The number of workers is only read when the process starts.
    fn say_what_waits(&self, next: &Config) {
        let was = self.config.workers;
        if next.workers != was {
            let fields: Fields<'_> = &[("running", &was), ("written", &next.workers)];
            self.say(Level::Warn, "the number of workers changes at the next start", fields);
        }
    }

    /// The whole report goes to whoever asked, and to standard error when a signal did.
    fn refuse(&self, refused: &Refused, is_answered: bool) {
        self.hub.config_refused();
        if let (Refused::Config(findings), false) = (refused, is_answered) {
            complain(&findings.render(Paint::on_stderr()));
        }
        let fields: Fields<'_> = &[("why", &refused.summary())];
        self.say(Level::Error, "config refused; the one before stays in force", fields);
    }

    /// Lets requests end within the drain's time; a second order to stop ends it at once.
    async fn drain(self, mut signals: Signals) -> Outcome {
        let mut stopped = self.own("edge.stop", Result_::Done);
        let Self { args, config, hub, edge, notifier, keeper, .. } = self;
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
                drained = &mut drained => {
                    let drained = drained.ok();
                    let cut = drained.map_or(0, |drained| drained.cut);
                    let cut = Fact::Number(i64::try_from(cut).unwrap_or(i64::MAX));
                    stopped.details.insert("cut".to_owned(), cut);
                    stopped.time = audit::now();
                    keeper.tell(stopped);
                    keeper.end();
                    return Ok(end(&hub, drained, args.quiet));
                }
                order = signals.next() => if order == Order::Stop {
                    return Err(Failure::new(Exit::Failure, "told twice to stop: requests were cut"));
                }
            }
        }
    }
}

/// A signal, or a request to the admin listener with the one who waits for its answer.
async fn next_order(
    signals: &mut Signals,
    requests: &mut mpsc::Receiver<ReloadRequest>,
) -> (Order, Option<ReloadRequest>) {
    tokio::select! {
        order = signals.next() => (order, None),
        Some(request) = requests.recv() => (Order::Reload, Some(request)),
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
    if lost.access_log {
        complain("warning: the access log was not written to its end\n");
    }
    if lost.spans > 0 {
        complain(&format!("warning: {} were not exported\n", counted(lost.spans, "span")));
    }
    if drained.is_some() { Exit::Success } else { Exit::Bug }
}

type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// Why a reload changed nothing.
enum Refused {
    Config(Findings),
    Telemetry(SettingsError),
    Start(StartError),
}

impl Refused {
    /// One line for the log.
    fn summary(&self) -> String {
        match self {
            Self::Config(findings) => findings.headline(),
            Self::Telemetry(error) => chain(error),
            Self::Start(error) => chain(error),
        }
    }
}

impl Display for Refused {
    /// All there is to say, for the one who asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(findings) => f.write_str(&findings.render(Paint { on: false })),
            Self::Telemetry(_) | Self::Start(_) => write!(f, "error: {}", self.summary()),
        }
    }
}
