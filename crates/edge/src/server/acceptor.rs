//! Accepting on one socket of one core.

use std::{fs::File, io, net::SocketAddr, rc::Rc, time::Duration};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, spawn_local},
};

use super::sockets::BACKLOG;
use crate::{core::Core, plan::Place, serve::serve};

/// The task that accepts on one socket.
pub(super) struct Acceptor {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How long nothing is accepted when the system has no descriptors left, not even one held back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

impl Acceptor {
    /// Accepts on `socket`, which is bound for `place`.
    pub(super) fn start(
        core: &Rc<Core>,
        place: Place,
        socket: std::net::TcpListener,
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(socket)?;
        let reserve = Reserve(Some(open_null()?));
        let (stop, stopped) = oneshot::channel();
        let task = spawn_local(accept(core.clone(), place, listener, reserve, stopped));
        Ok(Self { stop, task })
    }

    /// Takes the connections that the kernel holds already, and closes the socket.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // A panic there has been told on standard error, and the socket is closed all the same.
        let _ = self.task.await;
    }
}

async fn accept(
    core: Rc<Core>,
    place: Place,
    listener: TcpListener,
    mut reserve: Reserve,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            biased;
            // First, or a flood of connections would keep a listener that is to go.
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => begin(&core, stream, peer, &place),
                Err(error) if is_the_connections(&error) => {}
                Err(error) => {
                    tell(&core, &place, &error);
                    let refused = is_exhaustion(&error) && reserve.refuse_one(&listener);
                    match refused {
                        true => count_refused(&core, &place),
                        false => tokio::time::sleep(EXHAUSTED_PAUSE).await,
                    }
                }
            },
        }
    }
    if let Err(error) = accept_rest(&core, &place, listener) {
        tell(&core, &place, &error);
    }
}

/// Accepts what is there, at most what the kernel holds at once.
fn accept_rest(core: &Rc<Core>, place: &Place, listener: TcpListener) -> io::Result<()> {
    let listener = listener.into_std()?;
    for _ in 0..BACKLOG {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                begin(core, TcpStream::from_std(stream)?, peer, place);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if is_the_connections(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A descriptor held back: when there is no other, clients are refused with it instead of left to
/// wait in the kernel's queue for what may never come.
struct Reserve(Option<File>);

impl Reserve {
    /// Accepts one connection in place of the descriptor and closes it; false where that could not be
    /// done.
    fn refuse_one(&mut self, listener: &TcpListener) -> bool {
        let had_one = self.0.take().is_some();
        let accepted = had_one.then(|| SockRef::from(listener).accept());
        let refused = matches!(accepted, Some(Ok(_)));
        drop(accepted);
        // Another thread may have been faster; the next try may have more luck.
        self.0 = open_null().ok();
        refused
    }
}

/// A descriptor that stands for nothing.
fn open_null() -> io::Result<File> {
    File::open("/dev/null")
}

fn count_refused(core: &Core, place: &Place) {
    let plan = &core.snapshot().plan;
    if let Some((index, _)) = plan.listener(place) {
        core.telemetry.connection_refused(plan.labels.listener(index), "descriptors");
    }
}

fn begin(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr, place: &Place) {
    if let Some(served) = serve(core, stream, peer, place) {
        spawn_local(served);
    }
}

fn tell(core: &Core, place: &Place, error: &io::Error) {
    if core.bounds.accept_faults.may_be_told() {
        core.warn("cannot accept", &[("address", &place.address()), ("error", error)]);
    }
}

/// Whether the process or the system has no descriptor left.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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
