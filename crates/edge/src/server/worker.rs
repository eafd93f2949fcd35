//! One core's thread: serves, and obeys the edge.

use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    net::TcpListener,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use selvedge_config::Id;
use selvedge_telemetry::Level;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
    task::spawn_local,
};

use super::acceptor::Acceptor;
use crate::{
    agent::state::AgentState,
    bounds::Bounds,
    control::Shared,
    core::{Core, Parts},
    deadline::TICK,
    plan::{Place, Plan},
    site::READS_MAX,
};

/// Threads of one core that wait for what cannot be waited for otherwise: files, and names, of which
/// the resolver looks up 16 at once.
const BLOCKING_THREADS_MAX: usize = READS_MAX + 16;

/// What the edge tells a worker.
pub(super) enum Command {
    /// Accept on this socket, which is bound for `place`.
    Listen { place: Place, socket: TcpListener },
    /// Have these agents ready for the next config, and say which are not when the time is over.
    Prepare { agents: Arc<[Arc<AgentState>]>, within: Duration, done: SyncSender<Vec<Id>> },
    /// Put another config in force and say so.
    Swap { plan: Arc<Plan>, done: SyncSender<()> },
    /// Accept no more; end what is idle.
    Drain,
    /// End.
    Stop,
}

/// What a worker starts with.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
}

impl Worker {
    /// Runs until told to stop. A worker that ends otherwise is missed: in the log, and by whoever
    /// asks whether the edge is ready.
    pub(super) fn run(self) {
        let shared = self.shared.clone();
        watched(&shared, || self.serve());
    }

    fn serve(self) -> Result<(), String> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build_local(LocalOptions::default())
            .map_err(|error| error.to_string())?;
        let result = runtime.block_on(self.work());
        // A disk or a name server that does not answer keeps nobody from ending.
        runtime.shutdown_background();
        result
    }

    async fn work(self) -> Result<(), String> {
        let Self { index, plan, bounds, shared, mut commands } = self;
        let (telemetry, audit) = (shared.hub.core(index), shared.trail.lane(index));
        let core = Core::new(Parts { plan, bounds, telemetry, audit });
        let mut ticker = spawn_local(tick(core.clone()));
        let mut acceptors = Acceptors::default();
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                ended = &mut ticker => return Err(match ended {
                    Ok(never) => match never {},
                    Err(error) => format!("its clock stopped: {error}"),
                }),
            };
            match command {
                Some(Command::Listen { place, socket }) => acceptors.start(&core, place, socket),
                Some(Command::Prepare { agents, within, done }) => {
                    let missing = core.prepare(&agents, within);
                    // An edge that waits no more has ended.
                    spawn_local(async move { drop(done.send(missing.await)) });
                }
                Some(Command::Swap { plan, done }) => {
                    // Before the swap: what has been accepted is served under the config that it
                    // was accepted under, and nobody listens where the new config does not.
                    acceptors.stop(|place| plan.listener(place).is_none()).await;
                    core.swap(plan);
                    // The edge that waits for this cannot have gone without us.
                    let _ = done.send(());
                }
                Some(Command::Drain) => {
                    acceptors.stop(|_| true).await;
                    core.begin_drain();
                }
                Some(Command::Stop) | None => break,
            }
        }
        ticker.abort();
        core.telemetry.tick();
        Ok(())
    }
}

/// Runs a worker's `work` and tells what became of it, unless it ended in order.
fn watched(shared: &Shared, work: impl FnOnce() -> Result<(), String>) {
    let error = match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
    };
    shared.worker_lost();
    let message = "a worker ended; the others go on, restart to have it back";
    shared.hub.event(Level::Error, message, &[("error", &error)]);
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}

/// The sockets that this worker accepts on.
#[derive(Default)]
struct Acceptors(HashMap<Place, Acceptor>);

impl Acceptors {
    fn start(&mut self, core: &Rc<Core>, place: Place, socket: TcpListener) {
        match Acceptor::start(core, place.clone(), socket) {
            Ok(acceptor) => drop(self.0.insert(place, acceptor)),
            Err(error) => {
                core.warn("cannot accept", &[("address", &place.address()), ("error", &error)]);
            }
        }
    }

    /// Closes the sockets of the places that `is_over` holds of.
    async fn stop(&mut self, is_over: impl Fn(&Place) -> bool) {
        let over: Vec<_> = self.0.extract_if(|place, _| is_over(place)).collect();
        for (_, acceptor) in over {
            acceptor.stop().await;
        }
    }
}

/// Time, on this core.
async fn tick(core: Rc<Core>) -> Infallible {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut next_slow = Instant::now();
    loop {
        interval.tick().await;
        let now = Instant::now();
        core.tick(now);
        if now >= next_slow {
            core.tick_slow(now);
            next_slow = now + SLOW_TICK;
        }
    }
}

/// How often pools are looked through and telemetry is handed over.
const SLOW_TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuditTrail, control::tests::Bench};

    #[track_caller]
    fn check_lost(work: impl FnOnce() -> Result<(), String>, event: &str) {
        let bench = Bench::new();
        let shared = Shared::new(&bench.hub, &AuditTrail::default());
        watched(&shared, work);
        assert_eq!(shared.workers_lost(), 1);
        bench.event(event);
    }

    #[test]
    fn a_worker_that_ends_is_missed() {
        check_lost(|| Err("no runtime".to_owned()), "error=\"no runtime\"");
        check_lost(|| panic!("{} is not {}", 1, 2), "error=\"it panicked: 1 is not 2\"");
        check_lost(|| panic!("impossible"), "error=\"it panicked: impossible\"");
    }

    #[test]
    fn a_worker_that_was_told_to_end_is_not() {
        let bench = Bench::new();
        let shared = Shared::new(&bench.hub, &AuditTrail::default());
        watched(&shared, || Ok(()));
        assert_eq!(shared.workers_lost(), 0);
    }
}
