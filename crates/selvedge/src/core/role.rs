//! The core while it runs: opened, announced, obeying signals, drained.

use std::{
    fmt::Display,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use selvedge_config::{CORE, CoreAudit, CoreProcess, CoreToken};
use selvedge_edge::revision;
use selvedge_identity::Desk;
use selvedge_telemetry::{Hub, Level};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    CoreArgs, Started,
    callers::Gatekeeper,
    data_dir::DataDir,
    doors::{self, Doors},
    gate::{Gate, InForce},
    health::Vitals,
    housekeeping::Housekeeping,
    link::Link,
    metrics::Metrics,
    operator,
    services::{self, Foundation, Journal, Service},
    telemetry,
};
use crate::{
    cli::Outcome,
    edge::{
        notify::{Notifier, Reachable},
        signals::{Order, Signals},
    },
    exit::{Exit, Failure},
    findings::{Findings, load_to_run},
    terminal::{Paint, complain},
};

/// The running core and what it needs to obey.
pub(super) struct Role<'a> {
    args: &'a CoreArgs,
    started: Started,
    hub: Hub,
    gate: Arc<Gate>,
    services: Arc<[Box<dyn Service>]>,
    open: doors::Open,
    reachable: Reachable,
    drain: watch::Sender<bool>,
    notifier: Notifier,
    house: Housekeeping,
    housekeeping: JoinHandle<()>,
    journal: Arc<Journal>,
    operator: CoreToken,
    /// Let go of last.
    _data_dir: DataDir,
}

/// How long logs may take to be written at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

impl<'a> Role<'a> {
    /// Binds every door, opens every service, then lets callers in.
    pub(super) async fn open(
        args: &'a CoreArgs,
        started: Started,
        (data_dir, link, hub): (DataDir, Link, Hub),
    ) -> Result<Self, Failure> {
        provide_descriptors(&started.process, &hub);
        let doors = Doors::bind(&started.process).await?;
        let (drain, draining) = watch::channel(false);
        let revision = revision(&started.config);
        let foundation = Foundation::open(&started.process, &revision, hub.clone())?;
        if let Some(doubt) = foundation.kept.doubt() {
            hub.event(Level::Warn, "core: what is acknowledged may be lost", &[("reason", &doubt)]);
        }
        let behind_s = foundation.kept.log().clock_behind_ms() / 1000;
        if behind_s > 0 {
            let text =
                "core: the clock is behind the times in the log, and one of the two is wrong";
            hub.event(Level::Warn, text, &[("behind_s", &behind_s)]);
        }
        let services: Arc<[Box<dyn Service>]> =
            services::open(&foundation, &started.process)?.into();
        let names: Vec<_> = services.iter().map(|service| service.name()).collect();
        let certificates = doors.certificates();
        let vitals = Vitals {
            services: services.clone(),
            metrics: Arc::new(Metrics::new(&names)),
            draining: draining.clone(),
            hub: hub.clone(),
            certificates: certificates.clone(),
        };
        let keeper = Gatekeeper { link, hub: hub.clone() };
        let operator = operator::renew(data_dir.run(), &started.core, &started.process.socket)?;
        let in_force = in_force(&started.process, &operator);
        tell_of_tokens(&in_force.desk, &hub);
        let gate = Arc::new(Gate::new(&started.core.path, keeper, vitals, in_force));
        let reachable = reachable(&started.process.socket, &doors);
        let house = Housekeeping { gate: gate.clone(), hub: hub.clone(), certificates };
        if let Some(certificates) = &house.certificates {
            house.tell_doubts(&certificates.borrow());
        }
        let desk = doors::Desk { gate: gate.clone(), hub: hub.clone(), draining };
        let open = doors.open(&desk);
        let housekeeping = tokio::spawn(house.clone().run());
        Ok(Self {
            args,
            started,
            hub,
            gate,
            services,
            open,
            reachable,
            drain,
            notifier: Notifier::from_env(),
            house,
            housekeeping,
            journal: foundation.journal,
            operator,
            _data_dir: data_dir,
        })
    }

    /// Says that callers are served, and where.
    pub(super) fn announce(&mut self, warnings: &Findings) {
        if !self.args.quiet {
            for (_, url) in &self.reachable.listeners {
                self.say(Level::Info, "core listening", &[("url", url)]);
            }
            let names: Vec<_> = self.services.iter().map(|service| service.name()).collect();
            let (data_dir, names) = (self.started.process.data_dir.display(), names.join(","));
            let (path, pid) = (&self.started.core.path, std::process::id());
            let fields: Fields<'_> =
                &[("data-dir", &data_dir), ("path", path), ("services", &names), ("pid", &pid)];
            self.say(Level::Info, "core serving", fields);
        }
        // The edge tells the warnings of a config they share; alone, nobody else would.
        if self.args.supervisor.is_none() && warnings.warnings() > 0 {
            let count = warnings.warnings();
            let fields: Fields<'_> =
                &[("warnings", &count), ("help", &"`selvedge check` shows them")];
            self.say(Level::Warn, "doubt about the config", fields);
        }
        self.notifier.ready(&self.reachable);
    }

    /// Obeys until told to stop, then drains.
    pub(super) async fn serve(mut self, mut signals: Signals) -> Outcome {
        loop {
            match signals.next().await {
                Order::Reload => self.reload(),
                Order::Reopen => self.hub.reopen(),
                Order::Stop => return self.stop(signals).await,
            }
        }
    }

    /// Puts what can change while it runs in force, or says why not and goes on as before.
    fn reload(&mut self) {
        self.notifier.reloading();
        match self.try_reload() {
            Ok(()) => self.say(Level::Info, "core: config reloaded", &[]),
            Err(failure) => {
                complain(&failure.text);
                self.tell_of_refusal(&failure);
                let fields: Fields<'_> = &[("config", &self.args.config.display())];
                self.say(
                    Level::Error,
                    "core: config refused; the one before stays in force",
                    fields,
                );
            }
        }
        self.notifier.ready(&self.reachable);
    }

    fn try_reload(&mut self) -> Result<(), Failure> {
        let checked =
            load_to_run(&self.args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
        let next = Started::new(checked.config)?;
        let renewed = match (&self.house.certificates, &next.process.listen) {
            (Some(certificates), Some(listen)) => {
                let current = certificates.borrow().clone();
                current.next(listen)?.map(|renewed| (certificates, renewed))
            }
            _ => None,
        };
        // That it changes is in the audit log before it does.
        let revision = revision(&next.config);
        self.tell_of_reload(&next, &revision)?;
        let settings = telemetry(&next.config);
        self.hub.reconfigure(&settings).map_err(|error| Failure::from(&error))?;
        if let Some((certificates, renewed)) = renewed {
            self.house.put_in_force(certificates, renewed);
        }
        self.journal.set_revision(&revision);
        let mut fresh = in_force(&next.process, &self.operator);
        fresh.desk.follow(&self.gate.in_force().desk);
        tell_of_tokens(&fresh.desk, &self.hub);
        self.gate.put_in_force(fresh);
        self.services.iter().for_each(|service| service.reconfigure(&next.config));
        self.say_what_waits(&next);
        self.started = Started { core: self.started.core.clone(), ..next };
        Ok(())
    }

    fn tell_of_reload(&self, next: &Started, revision: &str) -> Result<(), Failure> {
        let changes = selvedge_config::diff(&self.started.config, &next.config).to_string();
        let mut event = self.journal.own("config.reload", ("config", "core"));
        event.config = Some(revision.to_owned());
        event.details.insert("changes".to_owned(), services::list(changes.lines()));
        self.journal.write_now(&event)?;
        Ok(())
    }

    fn tell_of_refusal(&self, failure: &Failure) {
        let mut event = self.journal.own("config.reload", ("config", "core"));
        event.outcome = selvedge_audit::entry::Outcome::Failed;
        event.reason = Some("refused".to_owned());
        let why = failure.text.lines().next().unwrap_or_default().to_owned();
        event.details.insert("error".to_owned(), selvedge_audit::event::Fact::Text(why));
        if let Err(error) = self.journal.write_now(&event) {
            let what = "core: the refused config is not in the audit log";
            self.say(Level::Error, what, &[("error", &error)]);
        }
    }

    /// Paths, sockets and folders are only looked at when the process starts.
    fn say_what_waits(&self, next: &Started) {
        let address = |process: &CoreProcess| process.listen.as_ref().map(|listen| listen.address);
        let (old, new) = (&self.started, next);
        let fixed = [
            ("path", old.core.path == new.core.path),
            ("data-dir", old.process.data_dir == new.process.data_dir),
            ("log", old.process.nats == new.process.nats),
            ("socket", old.process.socket == new.process.socket),
            ("listen", address(&old.process) == address(&new.process)),
            ("audit", is_same_audit(&old.process.audit, &new.process.audit)),
            (
                "limits connections",
                old.process.limits.connections == new.process.limits.connections,
            ),
        ];
        for (name, _) in fixed.into_iter().filter(|(_, is_same)| !is_same) {
            self.say(Level::Warn, "core: this changes at the next start", &[("setting", &name)]);
        }
    }

    /// Lets requests end within the drain's time; a second order to stop cuts them. What was done is written down
    /// either way.
    async fn stop(self, signals: Signals) -> Outcome {
        let Self { args, started, hub, gate, services, open, drain, notifier, house, .. } = self;
        // Until the very end, nobody else may write there.
        let _data_dir = self._data_dir;
        notifier.stopping();
        if !args.quiet {
            let connections = gate.metrics().connections.now();
            hub.event(Level::Info, "core draining", &[("connections", &connections)]);
        }
        services.iter().for_each(|service| service.drain());
        drain.send_replace(true);
        self.housekeeping.abort();
        let cut = until_told_again(open.drain(started.config.drain_timeout), signals).await;
        let closed = tokio::task::spawn_blocking(move || {
            services.iter().rev().for_each(|service| service.close());
            house.keep_usage();
        });
        let exit = end(&hub, (cut, closed.await.is_ok()), args.quiet);
        match cut {
            Some(_) => Ok(exit),
            None => Err(Failure::new(Exit::Failure, "told twice to stop: requests were cut")),
        }
    }

    fn say(&self, level: Level, message: &str, fields: Fields<'_>) {
        self.hub.event(level, message, fields);
    }
}

/// What the drain comes to; `None` once there is a second order to stop.
async fn until_told_again(
    drained: impl Future<Output = usize>,
    mut signals: Signals,
) -> Option<usize> {
    tokio::pin!(drained);
    loop {
        tokio::select! {
            cut = &mut drained => return Some(cut),
            order = signals.next() => if order == Order::Stop { return None },
        }
    }
}

/// A descriptor for each connection and handshake.
fn provide_descriptors(process: &CoreProcess, hub: &Hub) {
    let handshakes = process.listen.as_ref().map_or(0, |_| doors::HANDSHAKES_MAX);
    let connections = process.limits.connections.saturating_add(handshakes);
    selvedge_edge::provide_descriptors(connections, "core { limits { connections … } }", hub);
}

/// Whether what a reload does not change of the audit log is the same.
fn is_same_audit(old: &CoreAudit, new: &CoreAudit) -> bool {
    let CoreAudit { origin, node, cosign_every, witnesses, watched, .. } = old;
    *origin == new.origin
        && *node == new.node
        && *cosign_every == new.cosign_every
        && *witnesses == new.witnesses
        && *watched == new.watched
}

fn in_force(process: &CoreProcess, operator: &CoreToken) -> InForce {
    let CoreProcess {
        data_dir,
        tokens,
        grants,
        limits,
        socket: _,
        listen: _,
        streams: _,
        sync: _,
        audit: _,
        nats: _,
        views: _,
    } = process;
    let mut tokens = tokens.clone();
    tokens.push(operator.clone());
    let desk = Desk::new(tokens, grants.clone(), Some(data_dir));
    InForce { desk, limits: limits.clone() }
}

/// Lines of the file of tokens that let nobody in: somebody believes they do.
fn tell_of_tokens(desk: &Desk, hub: &Hub) {
    match desk.look(SystemTime::now()) {
        Ok(wrong) => {
            for line in wrong {
                let message = "core: a line of the file of tokens is not understood, or its id is there twice";
                hub.event(Level::Warn, message, &[("line", &line)]);
            }
        }
        Err(error) => {
            hub.event(Level::Error, "core: tokens cannot be read", &[("error", &error)]);
        }
    }
}

fn reachable(socket: &Path, doors: &Doors) -> Reachable {
    let unix = (CORE.into(), format!("unix:{}", socket.display()));
    let tls = doors.tls_address().map(|address| (CORE.into(), format!("https://{address}/")));
    Reachable { listeners: std::iter::once(unix).chain(tls).collect(), ..Reachable::default() }
}

/// Says how the drain went and writes what is left of the logs.
fn end(hub: &Hub, (cut, is_closed): (Option<usize>, bool), quiet: bool) -> Exit {
    match cut {
        Some(0) if quiet => {}
        Some(0) => hub.event(Level::Info, "core stopped", &[]),
        // Whoever told us twice is told on standard error.
        None => {}
        Some(cut) => hub.event(Level::Warn, "core stopped; connections were cut", &[("cut", &cut)]),
    }
    if !is_closed {
        hub.event(Level::Error, "core: a service did not close as it should", &[]);
    }
    hub.shutdown(FLUSH_TIMEOUT);
    if is_closed { Exit::Success } else { Exit::Bug }
}
