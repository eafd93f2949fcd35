//! The edge as a whole: sockets bound, one thread per core, reload, drain.

mod acceptor;
mod descriptors;
mod sockets;
mod worker;

use std::{
    collections::BTreeSet,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use selvedge_config::{Config, Id, Limits};
use selvedge_telemetry::{Hub, Level};
use tokio::sync::mpsc;

pub use self::descriptors::provide_descriptors;
use self::{
    sockets::{Bound, Sockets},
    worker::{Command, Worker},
};
use crate::{
    admin::{AdminSocket, ReloadRequest},
    agent::state::AgentState,
    audit::AuditTrail,
    bounds::Bounds,
    control::{Control, InForce, Stage},
    plan::{Parts, Plan, PlanError},
};

/// A running edge.
pub struct Edge {
    hub: Hub,
    bounds: Arc<Bounds>,
    plan: Arc<Plan>,
    workers: Vec<Handle>,
    bound: Bound,
    control: Control,
}

struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// Why an edge did not start, or a reload changed nothing.
#[derive(Debug)]
pub enum StartError {
    /// The config cannot be run here.
    Plan(PlanError),
    /// An address cannot be listened on.
    Bind {
        /// Which listener.
        listener: Id,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin listener's address cannot be listened on.
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread or runtime.
    Thread(io::Error),
    /// A worker has died.
    Worker,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::Bind { listener, address, source } => {
                write!(f, "listener {listener:?} cannot listen on {address}: {source}")?;
                f.write_str(bind_remedy(source))
            }
            Self::Admin { address, source } => {
                write!(f, "the admin listener cannot listen on {address}: {source}")?;
                f.write_str(bind_remedy(source))?;
                f.write_str("; `admin { address … }` moves it, `admin #false` switches it off")
            }
            Self::Thread(error) => write!(f, "cannot start a worker: {error}"),
            Self::Worker => f.write_str("a worker thread has ended; the log says why"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Plan(error) => std::error::Error::source(error),
            Self::Worker => None,
            Self::Bind { source, .. } | Self::Admin { source, .. } | Self::Thread(source) => {
                Some(source)
            }
        }
    }
}

/// Time for agents to be there, with their settings, before a config that asks them is in force.
pub(crate) const AGENTS_WITHIN: Duration = Duration::from_secs(5);

fn bind_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process listens there; `ss -ltnp` names it)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need root or CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// What was still going on when the drain's time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Client connections that were cut.
    pub cut: usize,
}

impl Edge {
    /// Binds every port, then starts to serve. Telemetry for `config` is in `hub` already.
    pub fn start(config: Arc<Config>, hub: Hub) -> Result<Self, StartError> {
        Self::start_telling(config, hub, &AuditTrail::default())
    }

    /// The same; what the audit log should know goes to `trail`, which is for as many cores as `config`
    /// has workers.
    pub fn start_telling(
        config: Arc<Config>,
        hub: Hub,
        trail: &AuditTrail,
    ) -> Result<Self, StartError> {
        let parts = Parts { hub: &hub, now: Instant::now() };
        let plan = Arc::new(Plan::new(config.clone(), None, &parts).map_err(StartError::Plan)?);
        let (bound, sockets) = sockets::bind(&config, &Bound::new(), config.workers)?;
        let bounds = Arc::new(Bounds::default());
        let admin = bind_admin(&config, None)?;
        provide_for(&config.limits, &hub);
        let in_force = InForce { plan: plan.clone(), bound: bound.clone(), admin };
        let control = Control::start(&hub, trail, in_force).map_err(StartError::Thread)?;
        let mut edge = Self { hub, bounds, plan, workers: Vec::new(), bound, control };
        edge.start_workers(sockets)?;
        edge.control.set_stage(Stage::Serving);
        Ok(edge)
    }

    fn start_workers(&mut self, sockets: Vec<Sockets>) -> Result<(), StartError> {
        for index in 0..self.plan.config.workers {
            let (commands, receiver) = mpsc::unbounded_channel();
            let worker = Worker {
                index,
                plan: self.plan.clone(),
                bounds: self.bounds.clone(),
                shared: self.control.shared().clone(),
                commands: receiver,
            };
            let thread = std::thread::Builder::new()
                .name(format!("edge-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            self.workers.push(Handle { commands, thread });
        }
        // Those that somebody else starts may take for ever, and clients would wait with us.
        let started = self.plan.agents.iter().filter(|agent| agent.door.started().is_some());
        self.await_agents(started.cloned().collect())?;
        self.hand_out(sockets)
    }

    /// Waits until all workers are connected to these agents, and these have their settings; those that
    /// take too long come to their failure mode.
    fn await_agents(&self, agents: Vec<Arc<AgentState>>) -> Result<(), StartError> {
        if agents.is_empty() {
            return Ok(());
        }
        let agents: Arc<[_]> = agents.into();
        let missing = self.ask_workers(|done| Command::Prepare {
            agents: agents.clone(),
            within: AGENTS_WITHIN,
            done,
        })?;
        let missing: BTreeSet<Id> = missing.into_iter().flatten().collect();
        for agent in missing {
            let message = "an agent is not there with its settings yet; serving goes on without it";
            self.hub.event(Level::Warn, message, &[("agent", &agent)]);
        }
        Ok(())
    }

    /// Tells every worker, and waits for what each answers; fails only where one has died.
    fn ask_workers<T>(
        &self,
        command: impl Fn(SyncSender<T>) -> Command,
    ) -> Result<Vec<T>, StartError> {
        let told = self.workers.iter().map(|worker| {
            let (done, answer) = sync_channel(1);
            worker.send(command(done))?;
            Ok(answer)
        });
        let told = told.collect::<Result<Vec<_>, StartError>>()?;
        told.iter().map(|answer| answer.recv().map_err(|_| StartError::Worker)).collect()
    }

    /// Gives each worker its socket of each address.
    fn hand_out(&self, sockets: Vec<Sockets>) -> Result<(), StartError> {
        for Sockets { place, sockets } in sockets {
            for (worker, socket) in self.workers.iter().zip(sockets) {
                worker.send(Command::Listen { place: place.clone(), socket })?;
            }
        }
        Ok(())
    }

    /// Where each listener listens, in the order of the config.
    pub fn addresses(&self) -> Vec<(Id, SocketAddr)> {
        let address = |place| self.bound.get(place).copied();
        let listeners = self.plan.listeners.iter();
        listeners
            .filter_map(|planned| Some((planned.listener.id.clone(), address(&planned.place)?)))
            .collect()
    }

    /// Where the admin listener listens; `None` where it is switched off.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.control.admin().map(|admin| admin.bound)
    }

    /// Where requests to reload arrive that are sent to the admin listener. To be asked for once by
    /// whoever loads configs; until then, and once it is dropped, such requests are refused.
    pub fn reload_requests(&self) -> mpsc::Receiver<ReloadRequest> {
        self.control.reload_requests()
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.bounds.connections.value()
    }

    /// Puts `config` in force: everything that can fail comes first, then all workers swap. On an
    /// error nothing has changed. Before they swap, agents that are new or have new settings are made
    /// ready for at most five seconds, in which the config before goes on.
    ///
    /// Connections stay; requests under way end under the config they began with. The number of
    /// workers is fixed at the start.
    pub fn reload(&mut self, config: Arc<Config>) -> Result<(), StartError> {
        if self.workers.iter().any(Handle::has_ended) {
            return Err(StartError::Worker);
        }
        let (bound, sockets) = sockets::bind(&config, &self.bound, self.workers.len())?;
        let admin = bind_admin(&config, self.control.admin())?;
        // Last, because it tells telemetry which names there are from now on.
        let parts = Parts { hub: &self.hub, now: Instant::now() };
        let plan = Plan::new(config, Some(&self.plan), &parts).map_err(StartError::Plan)?;
        let plan = Arc::new(plan);
        let prepared = self.prepare_agents(&plan);
        let swap = |()| self.ask_workers(|done| Command::Swap { plan: plan.clone(), done });
        if let Err(lost) = prepared.and_then(swap) {
            self.control.keep_agents(self.plan.agents.clone());
            return Err(lost);
        }
        self.hand_out(sockets)?;
        if plan.config.limits != self.plan.config.limits {
            provide_for(&plan.config.limits, &self.hub);
        }
        self.control.swap(InForce { plan: plan.clone(), bound: bound.clone(), admin });
        (self.plan, self.bound) = (plan, bound);
        Ok(())
    }

    /// Brings up the agents that `plan` adds or changes, beside those in force.
    fn prepare_agents(&self, plan: &Plan) -> Result<(), StartError> {
        let same = |agent: &AgentState| {
            let known = |known: &&Arc<AgentState>| Arc::ptr_eq(&known.door, &agent.door);
            let known = self.plan.agents.iter().find(known);
            known.is_some_and(|known| known.generation == agent.generation)
        };
        let fresh: Vec<_> = plan.agents.iter().filter(|agent| !same(agent)).cloned().collect();
        self.control.keep_agents(self.plan.agents.iter().chain(&fresh).cloned().collect());
        self.await_agents(fresh)
    }

    /// Stops accepting, lets requests end, and cuts what is left after `within`.
    pub fn drain(self, within: Duration) -> Drained {
        let until = Instant::now() + within;
        self.control.set_stage(Stage::Draining);
        for worker in &self.workers {
            // A worker that has died has nothing to drain.
            let _ = worker.send(Command::Drain);
        }
        while self.bounds.connections.value() > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let cut = self.bounds.connections.value();
        for worker in &self.workers {
            let _ = worker.send(Command::Stop);
        }
        for worker in self.workers {
            let _ = worker.thread.join();
        }
        Drained { cut }
    }
}

impl Handle {
    fn send(&self, command: Command) -> Result<(), StartError> {
        self.commands.send(command).map_err(|_| StartError::Worker)
    }

    fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }
}

/// A descriptor for each connection, to clients and to upstreams.
fn provide_for(limits: &Limits, hub: &Hub) {
    let connections = limits.connections.saturating_add(limits.upstream_connections);
    provide_descriptors(connections, "limits { connections …; upstream-connections … }", hub);
}

fn bind_admin(
    config: &Config,
    previous: Option<Arc<AdminSocket>>,
) -> Result<Option<Arc<AdminSocket>>, StartError> {
    AdminSocket::bind(config.admin.address, previous).map_err(|source| StartError::Admin {
        address: config.admin.address.expect("an address was bound"),
        source,
    })
}
