//! One core's thread: accepts, serves, and obeys the edge.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use selvedge_telemetry::{Hub, Level};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use crate::{
    bounds::Bounds,
    core::{Core, Parts},
    deadline::TICK,
    plan::{Place, Plan},
    serve::serve,
};

/// What the edge tells a worker.
pub(super) enum Command {
    /// Accept on this socket, which is bound for `place`.
    Listen { place: Place, socket: std::net::TcpListener },
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
    pub(super) telemetry: Hub,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
}

impl Worker {
    /// Runs until told to stop.
    pub(super) fn run(self) {
        let hub = self.telemetry.clone();
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let outcome = match runtime {
            Ok(runtime) => Ok(runtime.block_on(self.work())),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = outcome {
            hub.event(Level::Error, "worker ended", &[("error", &error)]);
        }
    }

    async fn work(self) {
        let Self { index, plan, bounds, telemetry, mut commands } = self;
        let core = Core::new(Parts { plan, bounds, telemetry: telemetry.core(index) });
        let ticker = spawn_local(tick(core.clone()));
        let mut acceptors = HashMap::new();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Listen { place, socket } => {
                    match accept_on(&core, place.clone(), socket) {
                        Ok(stop) => drop(acceptors.insert(place, stop)),
                        Err(error) => {
                            let address = place.address();
                            core.warn("cannot accept", &[("address", &address), ("error", &error)])
                        }
                    }
                }
                Command::Swap { plan, done } => {
                    acceptors.retain(|place, _| plan.listener(place).is_some());
                    core.swap(plan);
                    // The edge that waits for this cannot have gone without us.
                    let _ = done.send(());
                }
                Command::Drain => {
                    acceptors.clear();
                    core.begin_drain();
                }
                Command::Stop => break,
            }
        }
        ticker.abort();
        core.telemetry.tick();
    }
}

/// Time, on this core.
async fn tick(core: Rc<Core>) {
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

/// Starts to accept; dropping what is returned stops it once the kernel's queue is empty.
fn accept_on(
    core: &Rc<Core>,
    place: Place,
    socket: std::net::TcpListener,
) -> io::Result<oneshot::Sender<()>> {
    let listener = TcpListener::from_std(socket)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (core, place) = (core.clone(), Rc::new(place));
    spawn_local(async move {
        let mut stopped = stopped;
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => take(&core, &place, accepted).await,
                _ = &mut stopped => return,
            }
        }
    });
    Ok(stop)
}

/// How long nothing is accepted when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

async fn take(
    core: &Rc<Core>,
    place: &Rc<Place>,
    accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>,
) {
    match accepted {
        Ok((stream, peer)) => {
            spawn_local(serve(core.clone(), stream, peer, place.clone()));
        }
        Err(error) if is_the_connections(&error) => {}
        Err(error) => {
            core.warn("cannot accept", &[("address", &place.address()), ("error", &error)]);
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
    }
}

/// Whether the one connection failed, and not the listener.
fn is_the_connections(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
