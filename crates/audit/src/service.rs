//! The audit log at work: entries go into the event log with the change that they describe, and a
//! thread makes tiles and heads of them.

mod follow;
mod intake;

use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use selvedge_eventlog::{
    Append, AppendError, Batch, Log, ReadError, StreamId, StreamOptions, block_on,
};

pub use self::intake::{DELIVERIES, NODES_MAX};
use crate::{
    checkpoint::{CheckpointError, Trust},
    entry::{Delivery, KeyId},
    event::{ERASE_ACTION, Event, Fact, RecordError, Recorded, Recorder},
    files::{LogFiles, payload_path},
    integrate::{CHECKPOINT, IntegrateError, Integrator},
    keys::{KeyError, KeyStore, Subject},
    note::{Note, SigningKey},
    store::Storage,
    tile::{TILE_WIDTH, Tile},
    time::Timestamp,
    verify::PRUNE_ACTION,
};

/// The stream of the event log that has the entries: record *n* is entry *n*.
pub const STREAM: &str = "audit";

/// How long pruning waits for a head.
const PRUNE_PATIENCE: Duration = Duration::from_secs(60);

/// What the audit log is made of.
pub struct Parts {
    /// The event log.
    pub log: Log,
    /// Where the files lie.
    pub storage: Arc<dyn Storage>,
    /// Keys of subjects.
    pub keys: Arc<KeyStore>,
    /// Signs heads; its name is that of the log.
    pub key: SigningKey,
    /// The name of this machine.
    pub node: String,
    /// How fast.
    pub pace: Pace,
    /// When heads are seen.
    pub heads: Heads,
}

/// When a head is seen that was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heads {
    /// At once.
    #[default]
    Shown,
    /// When [`AuditLog::publish`] is called, such as with the signatures of witnesses.
    Held,
}

/// How often heads are signed and files made durable.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two heads, if there is something new.
    pub head: Duration,
    /// Between two settlements.
    pub settle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { head: Duration::from_millis(50), settle: Duration::from_secs(1) }
    }
}

/// How far the log has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Entries under the last head that was signed.
    pub signed: u64,
    /// Entries whose files are durable; the event log may forget them.
    pub settled: u64,
    /// Why no heads are signed at the moment.
    pub fault: Option<String>,
    /// Why nothing is settled at the moment.
    pub unsettled: Option<String>,
}

/// Why the audit log does not start, or an entry cannot be had.
#[derive(Debug)]
pub enum AuditError {
    /// The stream of entries cannot be made.
    Stream(AppendError),
    /// The stream of entries cannot be read.
    Read(ReadError),
    /// The tree's files are not in order.
    Integrate(IntegrateError),
    /// The event log no longer has the entries that the tree has not.
    Gap {
        /// The first entry that the event log has.
        start: u64,
        /// The first entry that the tree wants.
        wanted: u64,
    },
    /// An event did not become an entry.
    Record(RecordError),
    /// What is too long for the entry cannot be stored.
    Payload(io::Error),
    /// The keys cannot be had.
    Keys(KeyError),
    /// Files of entries that were given up cannot be removed.
    Files(io::Error),
    /// Files cannot be made durable.
    Settle(io::Error),
    /// A head that is to be seen is none that this log signed.
    Head(CheckpointError),
    /// No head came to cover the entry that says what is given up, so nothing was removed.
    NotSigned,
    /// The machine gives no thread.
    Thread(io::Error),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("the stream of audit entries takes none"),
            Self::Read(_) => f.write_str("the stream of audit entries cannot be read"),
            Self::Integrate(_) => f.write_str("the audit log cannot grow"),
            Self::Gap { start, wanted } => write!(
                f,
                "the event log begins with audit entry {start}, and the tree wants {wanted}: \
                 were the audit log's files restored from an older backup?"
            ),
            Self::Record(_) => f.write_str("the event did not become an audit entry"),
            Self::Payload(_) => f.write_str("what is too long for an entry cannot be stored"),
            Self::Keys(_) => f.write_str("the keys of subjects cannot be had"),
            Self::Files(_) => f.write_str("files of entries that were given up cannot be removed"),
            Self::Settle(_) => f.write_str("the audit log's files cannot be made durable"),
            Self::Head(_) => f.write_str("the head is none of this log's"),
            Self::NotSigned => f.write_str("no head is being signed, so nothing is given up"),
            Self::Thread(_) => f.write_str("there is no thread for the audit log"),
        }
    }
}

impl std::error::Error for AuditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Stream(error) => error,
            Self::Read(error) => error,
            Self::Integrate(error) => error,
            Self::Record(error) => error,
            Self::Keys(error) => error,
            Self::Head(error) => error,
            Self::Payload(error)
            | Self::Files(error)
            | Self::Settle(error)
            | Self::Thread(error) => error,
            Self::Gap { .. } | Self::NotSigned => return None,
        })
    }
}

/// The audit log of a running core. Dropped, it signs what is there, settles, and ends its threads.
pub struct AuditLog {
    log: Log,
    stream: StreamId,
    storage: Arc<dyn Storage>,
    keys: Arc<KeyStore>,
    node: String,
    trust: Trust,
    shared: Arc<Shared>,
    follower: Mutex<Option<JoinHandle<()>>>,
    heads: Heads,
    /// The size of the head that was published last; held while another takes its place.
    published: Mutex<u64>,
    erasing: Mutex<()>,
}

/// What the threads and everybody else tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    status: Mutex<Status>,
    head: Mutex<Option<Note>>,
    changed: Condvar,
    stop: AtomicBool,
}

impl AuditLog {
    /// Goes on with the log, or begins it.
    ///
    /// Keys that were destroyed without an entry are recorded first.
    pub fn start(parts: Parts) -> Result<Self, AuditError> {
        let Parts { log, storage, keys, key, node, pace, heads } = parts;
        let stream = match log.stream(STREAM) {
            Some(stream) => stream,
            None => block_on(log.create(STREAM, StreamOptions::default()))
                .map_err(AuditError::Stream)?,
        };
        let trust = Trust::in_key(key.verifier().clone());
        let integrator = match heads {
            Heads::Shown => Integrator::open(Arc::clone(&storage), key),
            Heads::Held => Integrator::open_quietly(Arc::clone(&storage), key),
        };
        let integrator = integrator.map_err(AuditError::Integrate)?;
        let info = log.info(stream).map_err(AuditError::Read)?;
        if info.start > integrator.size() {
            return Err(AuditError::Gap { start: info.start, wanted: integrator.size() });
        }
        let signed = integrator.signed_size();
        if info.tail < signed {
            return Err(AuditError::Integrate(IntegrateError::Forked { size: signed }));
        }
        let shared = Arc::new(Shared::default());
        shared.tell(|status| status.settled = integrator.size());
        shared.keep_head(integrator.signed());
        let follow = follow::Follow {
            log: log.clone(),
            stream,
            storage: Arc::clone(&storage),
            shared: Arc::clone(&shared),
            pace,
        };
        let thread = thread::Builder::new().name("audit".into());
        let follower = thread.spawn(move || follow.run(integrator)).map_err(AuditError::Thread)?;
        let seen = LogFiles(Arc::clone(&storage)).head(&trust);
        let published = Mutex::new(seen.map_or(0, |head| head.checkpoint.size));
        let follower = Mutex::new(Some(follower));
        let audit = Self {
            log,
            stream,
            storage,
            keys,
            node,
            trust,
            shared,
            follower,
            heads,
            published,
            erasing: Mutex::default(),
        };
        audit.record_erasures(now())?;
        Ok(audit)
    }

    /// The step that puts an entry into the event log: part of the batch that does what it says.
    ///
    /// Its keys and payloads are durable when this returns.
    pub fn entry(&self, event: &Event) -> Result<Append, AuditError> {
        self.entries(std::slice::from_ref(event))
    }

    /// The same for several events: a batch of the event log has one step for each stream.
    pub fn entries(&self, events: &[Event]) -> Result<Append, AuditError> {
        let mut append = Append::to(self.stream);
        for event in events {
            append.push(&self.recorded(&self.node, event, None)?.entry);
        }
        Ok(append)
    }

    /// Destroys the key of a subject, and so everything personal about them in the log. Returns the
    /// id of the key, of which an entry is durable then; `None` if there was none.
    ///
    /// When this fails, the key may be destroyed; asked again, it makes the entry that is missing.
    pub fn erase(&self, subject: &Subject, now: Timestamp) -> Result<Option<KeyId>, AuditError> {
        self.erase_by(subject, Event::of_erasure(now))
    }

    /// The same, done by somebody: `event` says who, when and from where.
    pub fn erase_by(&self, subject: &Subject, event: Event) -> Result<Option<KeyId>, AuditError> {
        let _erasing = self.erasing();
        let key = self.keys.destroy(subject).map_err(AuditError::Keys)?;
        let key = key.or_else(|| self.keys.unrecorded_of(subject));
        key.map(|key| self.record_erasure(key, event).map(|()| key)).transpose()
    }

    /// The same for whoever this key stands for; returns whether it was there.
    pub fn erase_key_by(&self, key: KeyId, event: Event) -> Result<bool, AuditError> {
        let _erasing = self.erasing();
        let destroyed = self.keys.destroy_key(key).map_err(AuditError::Keys)?;
        let is_erased = destroyed || self.keys.unrecorded().contains(&key);
        if is_erased {
            self.record_erasure(key, event)?;
        }
        Ok(is_erased)
    }

    /// Destroys the keys of hours before a time: what the retention of personal data asks for. Makes the
    /// entries that earlier attempts to erase lack.
    pub fn erase_hours_before(&self, time: Timestamp, now: Timestamp) -> Result<usize, AuditError> {
        let erasing = self.erasing();
        self.record_erasures(now)?;
        drop(erasing);
        let keys = self.keys.hours_before(time.0 / 1_000_000);
        for key in &keys {
            self.erase_key_by(*key, Event::of_erasure(now))?;
        }
        Ok(keys.len())
    }

    /// Gives up entries before `minimum`, which an entry declares first. What is left is proven as
    /// before, and so is that the log goes on from any older head; payloads stay, as later entries may
    /// have the same. Returns the minimum, which is at most what is settled.
    pub fn prune(&self, minimum: u64, now: Timestamp) -> Result<u64, AuditError> {
        self.prune_by(minimum, Event::by_system(now, PRUNE_ACTION, ("log", "")))
    }

    /// The same, done by somebody: `event` says who, when and from where.
    pub fn prune_by(&self, minimum: u64, mut event: Event) -> Result<u64, AuditError> {
        let minimum = minimum.min(self.status().settled).min(self.published());
        event.action = PRUNE_ACTION.to_owned();
        event.resource = ("log".to_owned(), self.trust.origin.clone());
        let number = i64::try_from(minimum).unwrap_or(i64::MAX);
        event.details.insert("minimum".to_owned(), Fact::Number(number));
        let committed = self.log.append(self.entry(&event)?).wait().map_err(AuditError::Stream)?;
        if !self.wait_signed(committed.placed.tail, PRUNE_PATIENCE) {
            return Err(AuditError::NotSigned);
        }
        // They are settled, so the event log has them for nobody, and gives them up as well.
        let trim = Batch::trim(self.stream, minimum);
        self.log.append(trim).wait().map_err(AuditError::Stream)?;
        remove_before(&self.storage, minimum).map_err(AuditError::Files)?;
        Ok(minimum)
    }

    /// The name of this machine.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// How far it has come.
    pub fn status(&self) -> Status {
        self.shared.lock().clone()
    }

    /// The last head that was signed, if there is one.
    pub fn head(&self) -> Option<Note> {
        self.shared.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets everybody see a head that this log signed, with whatever signatures it has by now. One that
    /// is smaller than what is seen already changes nothing.
    pub fn publish(&self, head: &Note) -> Result<(), AuditError> {
        let opened = self.trust.open(head.to_string().as_bytes()).map_err(AuditError::Head)?;
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let size = opened.checkpoint.size;
        if size < *published {
            return Ok(());
        }
        self.storage.write(CHECKPOINT, head.to_string().as_bytes()).map_err(AuditError::Files)?;
        *published = size;
        Ok(())
    }

    /// Entries under the head that everybody sees.
    pub fn published(&self) -> u64 {
        match self.heads {
            Heads::Shown => self.status().signed,
            Heads::Held => *self.published.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// How many entries the event log has for the tree, signed or not.
    pub fn entries_taken(&self) -> u64 {
        self.log.info(self.stream).map_or(0, |info| info.tail)
    }

    /// When the oldest entry came that no head covers, in milliseconds since 1970; `None` if there is
    /// none.
    pub fn waiting_since(&self) -> Option<u64> {
        let chunk = self.log.read(self.stream, self.status().signed, 1).ok()?;
        chunk.slices.first().map(|slice| slice.time_ms)
    }

    /// Keys of subjects, to open what is sealed.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Signs what is there, settles, and ends the threads. Entries that come later wait for the next
    /// start. Blocks.
    pub fn close(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower {
            follower.thread().unpark();
            // A thread that panicked has nothing left to tell.
            let _ = follower.join();
        }
    }

    /// Waits until a head covers so many entries; says whether one does.
    pub fn wait_signed(&self, size: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut status = self.shared.lock();
        while status.signed < size {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(status, left);
            status = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The files, to be served and read.
    pub fn files(&self) -> LogFiles<Arc<dyn Storage>> {
        LogFiles(Arc::clone(&self.storage))
    }

    /// Whom to believe about this log: its own key.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    fn recorded(
        &self,
        node: &str,
        event: &Event,
        delivery: Option<Delivery>,
    ) -> Result<Recorded, AuditError> {
        let recorder = Recorder { node, keys: &self.keys, now: now() };
        let recorded = recorder.record(event, delivery).map_err(AuditError::Record)?;
        for (digest, content) in &recorded.payloads {
            self.storage.replace(&payload_path(*digest), content).map_err(AuditError::Payload)?;
        }
        Ok(recorded)
    }

    /// What was destroyed and came no further. Nothing is being erased meanwhile.
    fn record_erasures(&self, now: Timestamp) -> Result<(), AuditError> {
        let keys = self.keys.unrecorded();
        keys.into_iter().try_for_each(|key| self.record_erasure(key, Event::of_erasure(now)))
    }

    /// Held until the log has an entry of a key that was destroyed, so that it has one.
    fn erasing(&self) -> MutexGuard<'_, ()> {
        self.erasing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_erasure(&self, key: KeyId, mut event: Event) -> Result<(), AuditError> {
        event.action = ERASE_ACTION.to_owned();
        event.resource = ("key".to_owned(), key.to_string());
        let entry = self.entry(&event)?;
        self.log.append(entry).wait().map_err(AuditError::Stream)?;
        self.keys.record(key).map_err(AuditError::Keys)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn keep_head(&self, head: Option<&Note>) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head.cloned();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// Removes bundles of which every entry comes before `minimum`, the oldest first: after a crash on the
/// way, what is left still reaches up to the minimum and is found from there.
///
/// Tiles of hashes stay: without them nothing proves to a witness, or to an auditor with an older head,
/// that the log goes on from what they know.
fn remove_before(storage: &dyn Storage, minimum: u64) -> io::Result<()> {
    let bundles = minimum / u64::from(TILE_WIDTH);
    let path = |index| {
        let bundle = Tile::of_entries(index, TILE_WIDTH);
        bundle.expect("every entry of the bundle comes before").path()
    };
    let mut first = bundles;
    while first > 0 && storage.read(&path(first - 1))?.is_some() {
        first -= 1;
    }
    (first..bundles).try_for_each(|index| storage.remove(&path(index)))
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
