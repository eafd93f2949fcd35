//! One thread and its connections.

use std::{cell::Cell, io, rc::Rc, sync::Arc, thread};

use tokio::{
    net::UnixStream,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, watch},
    task::spawn_local,
};

use super::{Options, connection, keeper::Door, say};
use crate::Agent;

/// Connections that may wait for a thread; others are closed.
const WAITING_MAX: usize = 64;

/// Connections of one thread; others are closed. An edge has one for each of its cores.
const CONNECTIONS_MAX: usize = 256;

/// What all connections have in common.
pub(super) struct Shared<A> {
    pub(super) options: Arc<Options>,
    pub(super) door: Door<A>,
    /// Whether the process was told to end.
    pub(super) draining: watch::Receiver<bool>,
    /// Held by what must end before the process does.
    pub(super) alive: mpsc::Sender<()>,
}

impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        let Self { options, door, draining, alive } = self;
        let (options, door) = (options.clone(), door.clone());
        Self { options, door, draining: draining.clone(), alive: alive.clone() }
    }
}

/// Where a thread takes its connections from; it ends with the last of them once this is dropped.
pub(super) struct Worker(mpsc::Sender<std::os::unix::net::UnixStream>);

impl Worker {
    pub(super) fn start<A: Agent>(index: usize, shared: &Shared<A>) -> io::Result<Self> {
        let (sender, streams) = mpsc::channel(WAITING_MAX);
        let shared = shared.clone();
        let name = format!("agent-{index}");
        thread::Builder::new().name(name).spawn(move || work(shared, streams))?;
        Ok(Self(sender))
    }

    /// Gives the thread a connection, or closes it if too many wait.
    pub(super) fn give(&self, stream: UnixStream) {
        let given =
            stream.into_std().and_then(|stream| self.0.try_send(stream).map_err(io::Error::other));
        if let Err(error) = given {
            say(&format!("a connection is closed: {error}"));
        }
    }
}

fn work<A: Agent>(shared: Shared<A>, streams: mpsc::Receiver<std::os::unix::net::UnixStream>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            runtime.block_on(take(shared, streams));
            runtime.shutdown_background();
        }
        Err(error) => say(&format!("a thread cannot work: {error}")),
    }
}

async fn take<A: Agent>(
    shared: Shared<A>,
    mut streams: mpsc::Receiver<std::os::unix::net::UnixStream>,
) {
    let open = Rc::new(Cell::new(0));
    let (mine, mut ended) = mpsc::channel::<()>(1);
    while let Some(stream) = streams.recv().await {
        let stream = match UnixStream::from_std(stream) {
            Ok(stream) if open.get() < CONNECTIONS_MAX => stream,
            Ok(_) => {
                say(&format!("a connection is closed: there are {CONNECTIONS_MAX} already"));
                continue;
            }
            Err(error) => {
                say(&format!("a connection is closed: {error}"));
                continue;
            }
        };
        open.set(open.get() + 1);
        let guard = Open { open: open.clone(), _alive: mine.clone() };
        let served = connection::serve(stream, shared.clone());
        spawn_local(async move {
            served.await;
            drop(guard);
        });
    }
    drop(mine);
    ended.recv().await;
}

/// Counts a connection for as long as it is held.
struct Open {
    open: Rc<Cell<usize>>,
    _alive: mpsc::Sender<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}
