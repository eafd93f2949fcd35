//! What happens beside the requests: health checks, certificates that change, the admin listener.
//! One thread of its own.

mod certificates;
mod gauges;
pub(crate) mod probe;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use selvedge_telemetry::{Hub, Level};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::JoinSet,
};

use crate::{
    admin::{self, AdminSocket, ReloadRequest},
    agent::{state::AgentState, supervise},
    audit::AuditTrail,
    plan::{Place, Plan},
};
pub(crate) use gauges::publish;

/// The control thread; it ends with this handle.
pub(crate) struct Control {
    /// `None` once the thread is to end.
    orders: Option<Orders>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the control thread is told.
struct Orders {
    in_force: watch::Sender<Arc<InForce>>,
    agents: watch::Sender<Agents>,
}

/// The agents to be kept running.
pub(crate) type Agents = Vec<Arc<AgentState>>;

/// What the control thread works on until the next reload.
pub(crate) struct InForce {
    pub(crate) plan: Arc<Plan>,
    /// Places of listeners, each with its address as bound.
    pub(crate) bound: BTreeMap<Place, SocketAddr>,
    /// `None`: no admin listener.
    pub(crate) admin: Option<Arc<AdminSocket>>,
}

/// What outlives a reload.
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) trail: AuditTrail,
    stage: AtomicU8,
    workers_lost: AtomicUsize,
    /// To whoever carries out reloads, if anybody does.
    reloads: Mutex<Option<mpsc::Sender<ReloadRequest>>>,
}

/// How far the edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not all is running yet.
    Starting,
    /// Everything runs.
    Serving,
    /// No new connections; what is open comes to an end.
    Draining,
}

/// Where tasks of this thread learn of reloads; it closes when the thread is to end.
pub(crate) type Watch = watch::Receiver<Arc<InForce>>;

/// Name lookups and certificate files being read at once; more wait.
pub(crate) const BLOCKING_THREADS_MAX: usize = 16;
/// Reloads asked for and not begun; more are told to come back.
pub(crate) const RELOADS_MAX: usize = 4;

impl Control {
    pub(crate) fn start(hub: &Hub, trail: &AuditTrail, in_force: InForce) -> io::Result<Self> {
        let (agents, wanted) = watch::channel(in_force.plan.agents.clone());
        let (in_force, followed) = watch::channel(Arc::new(in_force));
        let shared = Arc::new(Shared::new(hub, trail));
        let shares = shared.clone();
        let thread = std::thread::Builder::new()
            .name("edge-control".to_owned())
            .spawn(move || work(shares, followed, wanted))?;
        let orders = Some(Orders { in_force, agents });
        Ok(Self { orders, shared, thread: Some(thread) })
    }

    /// Goes on with another config.
    pub(crate) fn swap(&self, in_force: InForce) {
        self.keep_agents(in_force.plan.agents.clone());
        if let Some(orders) = &self.orders {
            orders.in_force.send_replace(Arc::new(in_force));
        }
    }

    /// Keeps these agents running and no others, until the next swap.
    pub(crate) fn keep_agents(&self, agents: Agents) {
        if let Some(orders) = &self.orders {
            orders.agents.send_replace(agents);
        }
    }

    /// Tells how far the edge is.
    pub(crate) fn set_stage(&self, stage: Stage) {
        self.shared.stage.store(stage as u8, Relaxed);
    }

    /// What outlives a reload.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The admin listener in force.
    pub(crate) fn admin(&self) -> Option<Arc<AdminSocket>> {
        self.orders.as_ref()?.in_force.borrow().admin.clone()
    }

    /// Where reloads that are asked for will arrive from now on.
    pub(crate) fn reload_requests(&self) -> mpsc::Receiver<ReloadRequest> {
        let (sender, receiver) = mpsc::channel(RELOADS_MAX);
        *self.shared.reloads.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told on standard error.
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn new(hub: &Hub, trail: &AuditTrail) -> Self {
        Self {
            hub: hub.clone(),
            trail: trail.clone(),
            stage: AtomicU8::new(Stage::Starting as u8),
            workers_lost: AtomicUsize::new(0),
            reloads: Mutex::default(),
        }
    }

    /// A worker has ended that nobody told to.
    pub(crate) fn worker_lost(&self) {
        self.workers_lost.fetch_add(1, Relaxed);
    }

    /// Workers that have ended without being told to.
    pub(crate) fn workers_lost(&self) -> usize {
        self.workers_lost.load(Relaxed)
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }

    /// Hands a request to whoever carries out reloads.
    pub(crate) fn ask_reload(
        &self,
        request: ReloadRequest,
    ) -> Result<(), TrySendError<ReloadRequest>> {
        let reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        match &*reloads {
            Some(sender) => sender.try_send(request),
            None => Err(TrySendError::Closed(request)),
        }
    }
}

fn work(shared: Arc<Shared>, in_force: Watch, agents: watch::Receiver<Agents>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            runtime.block_on(run(shared, in_force, agents));
            // A name server that does not answer must not hold up the end.
            runtime.shutdown_background();
        }
        Err(error) => {
            let message = "no health checks, no admin listener";
            shared.hub.event(Level::Error, message, &[("error", &error)]);
        }
    }
}

/// Runs until the edge has gone.
async fn run(shared: Arc<Shared>, in_force: Watch, agents: watch::Receiver<Agents>) {
    let hub = &shared.hub;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(probe::run(hub.clone(), in_force.clone()));
    tasks.spawn_local(certificates::run(hub.clone(), in_force.clone(), certificates::EVERY));
    tasks.spawn_local(gauges::run(in_force.clone()));
    tasks.spawn_local(supervise::run(shared.clone(), agents));
    tasks.spawn_local(admin::run(shared.clone(), in_force));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            hub.event(Level::Error, "a control task panicked; restart", &[("error", &error)]);
        }
    }
}
