//! Keeps a role running as a process of its own.
//!
//! The child tells how far it is by `sd_notify`, as it would tell systemd; what it says is passed on
//! to whoever supervises us. It is in a process group of its own, so that Ctrl-C reaches it once,
//! through us, and the kernel ends it when we die.

use std::{
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
};

use super::backoff::Backoff;
use crate::{
    cli::Outcome,
    edge::{
        notify::{Notifier, Reachable},
        signals::{Order, Signals},
    },
    exit::{Exit, Failure},
    terminal::complain,
};

/// Runs `selvedge edge` and starts it again when it ends by itself.
pub(super) struct Supervisor {
    config: PathBuf,
    /// Leave out the events of a normal start.
    quiet: bool,
    /// Where the child tells how far it is; a private folder, so that nobody else can.
    mailbox: UnixDatagram,
    folder: TempDir,
    above: Notifier,
    was_ready: bool,
    is_stopping: bool,
}

const MAILBOX: &str = "notify";
/// Longer messages are cut, and what is cut off is not understood.
const MESSAGE_MAX: usize = 16 << 10;

impl Supervisor {
    pub(super) fn new(config: PathBuf, quiet: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("selvedge-").tempdir()?;
        let mailbox = UnixDatagram::bind(folder.path().join(MAILBOX))?;
        let above = Notifier::from_env();
        Ok(Self { config, quiet, mailbox, folder, above, was_ready: false, is_stopping: false })
    }

    /// Runs until told to stop or until another start would change nothing. `announce` is called
    /// the first time that clients are served.
    pub(super) async fn run(
        &mut self,
        signals: &mut Signals,
        announce: impl FnOnce(&Reachable) -> io::Result<()>,
    ) -> Outcome {
        let mut backoff = Backoff::default();
        let mut announce = Some(announce);
        loop {
            let started = Instant::now();
            let status = self.run_once(signals, &mut announce).await?;
            if let Some(exit) = self.verdict(status) {
                return Ok(exit);
            }
            let wait = backoff.after(started.elapsed());
            complain(&format!(
                "selvedge: the edge ended ({status}); starting it again in {wait:?}\n"
            ));
            if self.wait(wait, signals).await == Order::Stop {
                return Ok(Exit::Success);
            }
        }
    }

    /// One life of the child.
    async fn run_once(
        &mut self,
        signals: &mut Signals,
        announce: &mut Option<impl FnOnce(&Reachable) -> io::Result<()>>,
    ) -> Result<ExitStatus, Failure> {
        let mut child = self.spawn()?;
        let mut message = vec![0; MESSAGE_MAX];
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                order = signals.next() => self.forward(order, &child),
                length = self.mailbox.recv(&mut message) => {
                    let message = String::from_utf8_lossy(&message[..length?]);
                    self.above.tell(&message);
                    if let Some(reachable) = Reachable::from_message(&message) {
                        self.was_ready = true;
                        announce.take().map_or(Ok(()), |announce| announce(&reachable))?;
                    }
                }
            }
        }
    }

    fn spawn(&self) -> Result<Child, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.arg("edge").arg("--config").arg(&self.config);
        command.arg("--supervisor").arg(std::process::id().to_string());
        if self.quiet {
            command.arg("--quiet");
        }
        command.env("NOTIFY_SOCKET", self.folder.path().join(MAILBOX));
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command.spawn().map_err(|error| {
            Failure::new(Exit::Unavailable, format!("the edge cannot be started: {error}"))
        })
    }

    fn forward(&mut self, order: Order, child: &Child) {
        let signal = match order {
            Order::Reload => Signal::HUP,
            Order::Reopen => Signal::USR1,
            Order::Stop => {
                self.is_stopping = true;
                Signal::TERM
            }
        };
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended this very moment.
            let _ = kill_process(id, signal);
        }
    }

    /// How we end, now that the child has; `None`: it is to be started again.
    fn verdict(&self, status: ExitStatus) -> Option<Exit> {
        let exit = status.code().map(Exit::of_child);
        let is_hopeless = matches!(exit, Some(Exit::Config | Exit::Usage));
        let is_last = self.is_stopping || !self.was_ready || is_hopeless;
        is_last.then_some(exit.unwrap_or(Exit::Failure))
    }

    /// Waits, unless told to stop meanwhile.
    async fn wait(&mut self, wait: Duration, signals: &mut Signals) -> Order {
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Order::Reload,
                order = signals.next() => if order == Order::Stop {
                    return order;
                },
            }
        }
    }
}
