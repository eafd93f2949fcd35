//! The log as a program uses it: a handle that can be cloned, and a thread that commits.

mod prepare;

use std::{
    fmt, io, mem,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prepare::Preparer;

use crate::{
    AppendError, Batch, Chunk, Disk, Folder, Follower, Lsn, OpenError, ReadError, Settings,
    Snapshot, StreamId, StreamOptions, Ticket, core::Core, error::opening, locked, read_locked,
    shared::Shared, ticket::Reply,
};

/// A log that is open. Clones are the same log; when the last one is dropped, everything that was
/// submitted is written and the log is closed.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    driver: Arc<Driver>,
}

/// A stream as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its number.
    pub id: StreamId,
    /// Its name.
    pub name: Arc<str>,
    /// First sequence that is kept.
    pub start: u64,
    /// Next sequence.
    pub tail: u64,
    /// Whether nothing can be appended any more.
    pub closed: bool,
    /// When the newest record was written, in milliseconds since 1970; 0 if there never was one.
    pub time_ms: u64,
    /// What it was created or configured with.
    pub options: StreamOptions,
}

/// The thread that commits, and what waits for it.
struct Driver {
    intake: Arc<Intake>,
    committer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Intake {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<(Batch, Reply)>,
    /// Of batches that are not durable yet, also those that the committer has.
    bytes: usize,
    /// Batches at which the committer, which sleeps, wants to be woken.
    wanted: Option<usize>,
    closed: bool,
}

impl Log {
    /// Opens the log in a folder, which is created where it is missing.
    pub fn open(folder: &Path, settings: Settings) -> Result<Self, OpenError> {
        let folder = Folder::open(folder).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => opening("opening the log's folder")(error),
        })?;
        Self::open_on(Arc::new(folder), settings)
    }

    /// Opens the log on a disk.
    pub fn open_on(disk: Arc<dyn Disk>, settings: Settings) -> Result<Self, OpenError> {
        let core = Core::open(disk, settings, now_ms())?;
        let shared = Arc::clone(&core.shared);
        let intake = Arc::new(Intake::default());
        let preparer = Preparer::start(&core).map_err(opening("starting a thread"))?;
        let committer = {
            let intake = Arc::clone(&intake);
            let thread = thread::Builder::new().name("log-commit".into());
            thread
                .spawn(move || commit(core, preparer, &intake))
                .map_err(opening("starting the committer"))?
        };
        Ok(Self { shared, driver: Arc::new(Driver { intake, committer: Some(committer) }) })
    }

    /// Returns a number for a stream to be created. A number that is not used is lost.
    pub fn new_stream(&self) -> StreamId {
        StreamId(self.shared.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    /// Submits a batch. It is in the log, as a whole, when the ticket says so.
    ///
    /// Batches of one thread are written in the order of submission. Where too much is pending, the
    /// batch is refused as overload.
    pub fn append(&self, batch: impl Into<Batch>) -> Ticket {
        let batch = batch.into();
        let (reply, ticket) = Reply::new();
        self.driver.submit(batch, reply, self.shared.settings.pending_bytes_max);
        ticket
    }

    /// Creates a stream, and answers with its number.
    pub fn create(
        &self,
        name: &str,
        options: StreamOptions,
    ) -> impl Future<Output = Result<StreamId, AppendError>> + Send + use<> {
        let stream = self.new_stream();
        let ticket = self.append(Batch::create(stream, name, options));
        async move { ticket.await.map(|_| stream) }
    }

    /// Returns the number of the stream that has a name.
    pub fn stream(&self, name: &str) -> Option<StreamId> {
        read_locked(&self.shared.directory).by_name.get(name).map(|stream| stream.id)
    }

    /// Returns what a stream is now.
    pub fn info(&self, stream: StreamId) -> Result<StreamInfo, ReadError> {
        self.shared.stream(stream).map(|stream| stream.info())
    }

    /// Returns up to `max` streams whose names begin with `prefix` and come after `after`, by name.
    pub fn list(&self, prefix: &str, after: &str, max: usize) -> Vec<StreamInfo> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = if after < prefix { Included(prefix) } else { Excluded(after) };
        let directory = read_locked(&self.shared.directory);
        let names = directory.by_name.range::<str, _>((from, Unbounded));
        let names = names.take_while(|(name, _)| name.starts_with(prefix));
        names.take(max).map(|(_, stream)| stream.info()).collect()
    }

    /// Reads records from `from` on, about `bytes` of the log and at least one batch, if there is any.
    ///
    /// Blocks the thread for a read of the disk where memory does not have them.
    pub fn read(&self, stream: StreamId, from: u64, bytes: usize) -> Result<Chunk, ReadError> {
        self.shared.read(stream, from, bytes)
    }

    /// Does the same where memory has the records that come next, and never touches the disk: `None` means that
    /// [`Self::read`] would.
    pub fn read_cached(
        &self,
        stream: StreamId,
        from: u64,
        bytes: usize,
    ) -> Result<Option<Chunk>, ReadError> {
        self.shared.read_cached(stream, from, bytes)
    }

    /// Follows a stream from a sequence on.
    pub fn follow(&self, stream: StreamId, from: u64) -> Result<Follower, ReadError> {
        Follower::new(Arc::clone(&self.shared), stream, from)
    }

    /// Holds on to the log as it is now, for a copy of its files.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        Snapshot::take(Arc::clone(&self.shared))
    }

    /// Returns where the durable part of the log ends.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable())
    }

    /// Returns why the log takes no appends, if it does not.
    pub fn fault(&self) -> Option<Arc<str>> {
        read_locked(&self.shared.fault).clone()
    }

    /// Returns how far the clock is behind the times in the log, in milliseconds; 0 unless it is more than an hour. One of the
    /// two is wrong: until the clock has run on for a day, records are stamped with the newest time in the log, and are
    /// kept for longer than their age allows.
    pub fn clock_behind_ms(&self) -> u64 {
        self.shared.clock_behind_ms.load(Ordering::Relaxed)
    }

    /// Returns the bounds it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.debug_struct("Log").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

impl Driver {
    fn submit(&self, batch: Batch, reply: Reply, bytes_max: usize) {
        let weight = batch.weight();
        let mut waiting = locked(&self.intake.waiting);
        if waiting.closed {
            return reply.send(Err(AppendError::ShutDown));
        }
        // A batch larger than the bound is taken when it is alone: its own bound is another.
        if waiting.bytes > 0 && waiting.bytes + weight > bytes_max {
            drop(waiting);
            return reply.send(Err(AppendError::Overloaded));
        }
        waiting.bytes += weight;
        waiting.batches.push((batch, reply));
        if waiting.wanted.is_some_and(|wanted| waiting.batches.len() >= wanted) {
            waiting.wanted = None;
            drop(waiting);
            self.intake.filled.notify_one();
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        locked(&self.intake.waiting).closed = true;
        self.intake.filled.notify_one();
        if let Some(committer) = self.committer.take() {
            // A committer that panicked has answered every ticket by dropping it.
            let _ = committer.join();
        }
    }
}

/// Commits what comes in, until the log is closed and nothing waits.
fn commit(mut core: Core, mut preparer: Preparer, intake: &Intake) {
    let mut batches = Vec::new();
    let mut pace =
        Pace { upkeep: Duration::from_millis(core.shared.settings.upkeep_ms), ..Pace::default() };
    let mut last_upkeep = None;
    while intake.take(&mut batches, &pace) {
        let now_ms = now_ms();
        let begin = Instant::now();
        pace.batches = batches.len();
        let mut weight = 0;
        for (batch, reply) in batches.drain(..) {
            weight += batch.weight();
            core.submit(batch, reply, now_ms);
        }
        core.commit();
        locked(&intake.waiting).bytes -= weight;
        preparer.attend(&mut core);
        pace.took = begin.elapsed();
        if last_upkeep.is_none_or(|last: Instant| last.elapsed() >= pace.upkeep) {
            core.upkeep(now_ms);
            last_upkeep = Some(Instant::now());
        }
    }
    core.prove();
    core.commit();
    drop(preparer);
    core.drop_spare();
}

/// How the last group went, by which the next one is gathered.
#[derive(Default)]
struct Pace {
    batches: usize,
    took: Duration,
    upkeep: Duration,
}

impl Pace {
    /// Writers that wait for answers come back at once when they have them. Waiting a little for as many
    /// as the last group had answers all of them after one sync, where otherwise half of them would
    /// always find one under way.
    fn gathers_for(&self) -> Duration {
        (self.took / 4).min(Duration::from_millis(2))
    }
}

impl Intake {
    /// Takes everything that waits, or waits for it. Returns whether to go on.
    fn take(&self, batches: &mut Vec<(Batch, Reply)>, pace: &Pace) -> bool {
        let mut waiting = locked(&self.waiting);
        if waiting.batches.is_empty() {
            waiting = self.wait(waiting, 1, pace.upkeep);
        }
        if !waiting.batches.is_empty() {
            waiting = self.wait(waiting, pace.batches, pace.gathers_for());
        }
        mem::swap(&mut waiting.batches, batches);
        !(waiting.closed && batches.is_empty())
    }

    /// Waits until so many batches are there, or for so long.
    fn wait<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        batches: usize,
        patience: Duration,
    ) -> MutexGuard<'a, Waiting> {
        let end = Instant::now() + patience;
        while waiting.batches.len() < batches && !waiting.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting.wanted = Some(batches);
            let wait = self.filled.wait_timeout(waiting, left);
            (waiting, _) = wait.unwrap_or_else(PoisonError::into_inner);
        }
        waiting.wanted = None;
        waiting
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
