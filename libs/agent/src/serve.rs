//! The driver of agents: a process that listens, answers and drains.

mod connection;
mod exchange;
mod inbox;
mod keeper;
mod link;
mod options;
mod socket;
mod worker;

use std::{
    future::Future,
    io::{self, Write},
    os::unix::net::UnixListener,
    process::ExitCode,
    sync::Arc,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::spawn_local,
};

pub use self::options::Options;
use self::{
    keeper::Keeper,
    socket::Socket,
    worker::{Shared, Worker},
};
use crate::Agent;

/// What the process says when its arguments make no sense, as `sysexits.h` numbers it.
const EXIT_USAGE: u8 = 64;

/// Runs an agent as a process: from its socket to the last connection after `SIGTERM`.
///
/// The socket is the one of `--listen PATH`, otherwise a listening one that the edge (or systemd)
/// left as descriptor 3 (`LISTEN_FDS`) or as standard input. Connections are dealt to threads in turn.
/// What there is to say goes to standard error, a line each, which the edge takes into its log.
///
/// ```no_run
/// # use selvedge_agent::{Agent, Subscriptions, Verdict};
/// # struct Deny;
/// # impl Agent for Deny {
/// #     type Settings = serde::de::IgnoredAny;
/// #     type Exchange = ();
/// #     async fn start(_: Self::Settings, _: Option<&Self>) -> Result<Self, String> { Ok(Self) }
/// #     fn wants(&self) -> Subscriptions { Subscriptions::none() }
/// # }
/// use selvedge_agent::Options;
///
/// fn main() -> std::process::ExitCode {
///     let options = Options::new("deny", env!("CARGO_PKG_VERSION"));
///     selvedge_agent::serve::<Deny>(options.arguments(std::env::args_os().skip(1)))
/// }
/// ```
pub fn serve<A: Agent>(options: Options) -> ExitCode {
    let options = match options.parsed() {
        Ok(options) => options,
        Err(error) => {
            say(&error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let served = socket::take(options.listen.as_deref()).and_then(|Socket { listener, file }| {
        let served = serve_until::<A>(options, listener, told_to_end());
        drop(file);
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Runs an agent on this socket until `shutdown` is over and the connections have drained: for programs
/// that bring their own process, and for tests. It blocks; it must not be called from a runtime.
pub fn serve_until<A: Agent>(
    options: Options,
    listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let result = runtime.block_on(accept::<A>(options, listener, shutdown));
    // What agents left running in the background keeps nobody from ending.
    runtime.shutdown_background();
    result
}

async fn accept<A: Agent>(
    options: Options,
    listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (keeper, door) = Keeper::<A>::new();
    spawn_local(keeper.run());
    let (drain, draining) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let limit = options.drain;
    let threads = options.threads();
    let shared = Shared { options: Arc::new(options), door, draining, alive };
    let workers: Vec<Worker> =
        (0..threads).map(|index| Worker::start(index, &shared)).collect::<io::Result<_>>()?;
    let mut turns = workers.iter().cycle();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => turns.next().expect("there is a thread").give(stream),
                Err(error) => {
                    say(&format!("cannot accept: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop((listener, shared));
    // Every worker holds the other end.
    let _ = drain.send(true);
    drop(workers);
    if tokio::time::timeout(limit, ended.recv()).await.is_err() {
        say("some connections did not end in time and are cut off");
    }
    Ok(())
}

/// How long nothing is accepted after a socket failed to: it would only fail again at once.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Waits for `SIGTERM` or `SIGINT`.
async fn told_to_end() {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    match signals {
        Ok((mut terminate, mut interrupt)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        Err(error) => {
            say(&format!("signals are not heard: {error}"));
            std::future::pending().await
        }
    }
}

/// A line for whoever captures standard error; if nobody can, there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
