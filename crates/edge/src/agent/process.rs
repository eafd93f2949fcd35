//! One started agent: its listening socket, its process, and what is known of both.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use selvedge_agent::Subscriptions;

use super::{confine::Confinement, measures::Measures};

/// How an agent's process is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The executable.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Threads that answer; it finds the number in `SELVEDGE_THREADS`.
    pub(crate) threads: usize,
    /// What it may not do; the parent is filled in when it starts.
    pub(crate) confinement: Confinement,
    /// Pauses between starts, from the first to the longest.
    pub(crate) backoff: (Duration, Duration),
}

/// Where an agent listens. One that we start has its socket from us, and it stays when the process
/// goes: whoever connects meanwhile is heard by the next one.
#[derive(Debug)]
pub(crate) struct Door {
    path: PathBuf,
    started: Option<Started>,
    /// Connections of cores on which the agent is ready and answers.
    ready: AtomicUsize,
    /// Connections of cores on which it was ready and answers no more.
    silent: AtomicUsize,
    introduction: Mutex<Option<Introduction>>,
    measures: Arc<Measures>,
}

/// What an agent said of itself when it was last ready.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) wants: Subscriptions,
}

/// A connection on which the agent is ready, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Connected {
    door: Arc<Door>,
    answers: bool,
}

impl Connected {
    /// The agent has stopped to answer; `true` if this was the last connection on which it did.
    pub(crate) fn fall_silent(&mut self) -> bool {
        self.move_to(false);
        self.door.connections() == 0
    }

    /// The agent answers; `true` if there was no connection left on which it did.
    pub(crate) fn answer(&mut self) -> bool {
        let was_silent = self.door.connections() == 0;
        self.move_to(true);
        was_silent
    }

    /// Whether the agent answers on this connection.
    pub(crate) fn answers(&self) -> bool {
        self.answers
    }

    fn move_to(&mut self, answers: bool) {
        self.counter().fetch_sub(1, Relaxed);
        self.answers = answers;
        self.counter().fetch_add(1, Relaxed);
    }

    fn counter(&self) -> &AtomicUsize {
        if self.answers { &self.door.ready } else { &self.door.silent }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.counter().fetch_sub(1, Relaxed);
    }
}

/// The process behind a door.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) launch: Launch,
    socket: OwnedFd,
    /// Removed, with the socket in it, when the door goes.
    _folder: tempfile::TempDir,
    condition: Mutex<Condition>,
    starts: AtomicU32,
    /// When any core last heard of it, in milliseconds since `made`.
    heard: AtomicU64,
    made: Instant,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Not started yet.
    Waiting,
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
        /// Since when.
        since: Instant,
    },
    /// It ended, and is started again at the given moment.
    Resting {
        /// How it ended.
        ended: String,
        /// When it is started again.
        until: Instant,
    },
    /// It is not wanted any more.
    Gone,
}

/// Connections that may wait for the agent to accept them.
const BACKLOG: i32 = 128;

impl Door {
    /// The door of an agent that somebody else runs.
    pub(crate) fn of_address(path: PathBuf) -> Self {
        Self::new(path, None)
    }

    /// Binds the socket of an agent to be started.
    pub(crate) fn bind(id: &str, launch: Launch) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("selvedge-agent-").tempdir_in(runtime_dir())?;
        let path = folder.path().join(format!("{}.sock", file_name(id)));
        let socket = bind(&path)?;
        let started = Started {
            launch,
            socket,
            _folder: folder,
            condition: Mutex::new(Condition::Waiting),
            starts: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            made: Instant::now(),
        };
        Ok(Self::new(path, Some(started)))
    }

    fn new(path: PathBuf, started: Option<Started>) -> Self {
        let (ready, silent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            path,
            started,
            ready,
            silent,
            introduction: Mutex::default(),
            measures: Arc::default(),
        }
    }

    /// Where to connect to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The agent is ready on one more connection.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.ready.fetch_add(1, Relaxed);
        Connected { door: self.clone(), answers: true }
    }

    /// Connections on which the agent is ready and answers, over all cores.
    pub(crate) fn connections(&self) -> usize {
        self.ready.load(Relaxed)
    }

    /// Connections on which it was ready and answers no more.
    pub(crate) fn silent_connections(&self) -> usize {
        self.silent.load(Relaxed)
    }

    /// The agent says who it is and what it wants.
    pub(crate) fn introduce(&self, introduction: Introduction) {
        *self.introduction.lock().unwrap_or_else(PoisonError::into_inner) = Some(introduction);
    }

    /// What it said last; `None` before it was ever ready.
    pub(crate) fn introduction(&self) -> Option<Introduction> {
        self.introduction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the agent measures itself.
    pub(crate) fn measures(&self) -> &Arc<Measures> {
        &self.measures
    }

    /// What we know of the process; `None` where somebody else runs it.
    pub(crate) fn started(&self) -> Option<&Started> {
        self.started.as_ref()
    }
}

impl Started {
    /// A handle to the listening socket for the next process.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_condition(&self, condition: Condition) {
        if matches!(condition, Condition::Running { .. }) {
            self.starts.fetch_add(1, Relaxed);
        }
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// A core has heard of it.
    pub(crate) fn note_heard(&self) {
        self.heard.store(self.made.elapsed().as_millis() as u64, Relaxed);
    }

    /// How long no core has heard of it.
    pub(crate) fn silence(&self) -> Duration {
        self.made.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Relaxed)))
    }

    /// Starts after the first.
    pub(crate) fn restarts(&self) -> u32 {
        self.starts.load(Relaxed).saturating_sub(1)
    }
}

/// A folder that only its owner reaches is made here.
fn runtime_dir() -> PathBuf {
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    named.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// The id as part of a path: short and without separators.
fn file_name(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(32).collect()
}

fn bind(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(UnixListener::from(OwnedFd::from(socket))))
}
