//! One role as a process of its own: started, listened to, started again when it ends by itself.
//!
//! The child tells how far it is by `sd_notify`, as it would tell systemd. It is in a process group of
//! its own, so that Ctrl-C reaches it once, through us, and the kernel ends it when we die.

use std::{
    ffi::OsString,
    future, io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixDatagram,
    process::{Child, Command},
};

use super::backoff::Backoff;
use crate::exit::{Exit, Failure};

/// One role under supervision.
pub(super) struct Ward {
    /// Its name on the command line, and for people.
    name: &'static str,
    arguments: Vec<OsString>,
    /// What it reads from standard input.
    handed: String,
    /// Where it tells how far it is; in a private folder, so that nobody else can.
    mailbox: UnixDatagram,
    mailbox_name: OsString,
    child: Option<Child>,
    started: Instant,
    backoff: Backoff,
    due: Option<Instant>,
    /// It once served.
    pub(super) was_ready: bool,
}

/// What becomes known of a role.
#[derive(Debug)]
pub(super) enum News {
    /// It told us something.
    Said(String),
    /// It ended.
    Ended(ExitStatus),
    /// It is time to start it again.
    Due,
}

/// Longer messages are cut, and what is cut off is not understood.
const MESSAGE_MAX: usize = 16 << 10;

impl Ward {
    /// `selvedge NAME ARGUMENTS`, not started yet. `handed` is what it reads from standard input.
    pub(super) fn new(
        name: &'static str,
        arguments: Vec<OsString>,
        (handed, folder): (String, &Path),
    ) -> io::Result<Self> {
        let path = folder.join(name);
        Ok(Self {
            name,
            arguments,
            handed,
            mailbox: UnixDatagram::bind(&path)?,
            mailbox_name: path.into_os_string(),
            child: None,
            started: Instant::now(),
            backoff: Backoff::default(),
            due: None,
            was_ready: false,
        })
    }

    /// Starts it, unless it runs.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        self.due = None;
        if self.child.is_some() {
            return Ok(());
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(self.name).args(&self.arguments);
        command.arg("--supervisor").arg(std::process::id().to_string());
        command.env("NOTIFY_SOCKET", &self.mailbox_name);
        command.stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let text = format!("the {} cannot be started: {error}", self.name);
            Failure::new(Exit::Unavailable, text)
        })?;
        if let Some(mut input) = child.stdin.take() {
            // One that ended before it read says itself why.
            let _ = input.write_all(self.handed.as_bytes()).await;
        }
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    /// Has it started again after a while, and returns that while.
    pub(super) fn start_later(&mut self) -> Duration {
        let wait = self.backoff.after(self.started.elapsed());
        self.due = Some(Instant::now() + wait);
        wait
    }

    /// Whether it runs.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// It is not started again until somebody says so.
    pub(super) fn forget(&mut self) {
        self.due = None;
    }

    /// Sends it a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id);
        if let Some(id) = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have ended this very moment.
            let _ = kill_process(id, signal);
        }
    }

    /// Waits for news. Cancel-safe: none is lost.
    pub(super) async fn news(&mut self) -> io::Result<News> {
        let mut message = [0; MESSAGE_MAX];
        tokio::select! {
            status = ended(&mut self.child) => {
                self.child = None;
                Ok(News::Ended(status?))
            }
            length = self.mailbox.recv(&mut message) => {
                Ok(News::Said(String::from_utf8_lossy(&message[..length?]).into_owned()))
            }
            () = until(self.due) => {
                self.due = None;
                Ok(News::Due)
            }
        }
    }
}

async fn ended(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => future::pending().await,
    }
}
