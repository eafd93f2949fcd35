//! Everything that connections share: documents, settings, who may, and what is done from time to time.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use lru::LruCache;
use selvedge_crdt::session::{
    CloseReason, DeviceId, DocumentId, Limits, LogId, MESSAGE_BYTES_MAX, NONCE_BYTES, Sealing,
    relay::{Placed, RelayConnection, RelayDocument},
};
use selvedge_eventlog::{Batch, Chunk, Log, ReadError, StreamId, Ticket, block_on};
use tokio::sync::{Notify, Semaphore};

use crate::{
    Guests, Incarnation, Settings,
    checkpoints::Checkpoints,
    connection::{Connection, Machine},
    deed::{Change, Deed},
    document::{Chore, Document},
    founders::{Founders, NotFounded},
    metrics::Metrics,
    names,
    pace::Pace,
    revocations::Revocations,
    rosters::{Line, Rosters},
    settings::ms,
    tenants::Tenants,
    trust::{Revocation, Revoked, Warden},
    wakes::Wakes,
};

/// Documents of which it is remembered which roster is in force.
const LINES_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");
/// Locks by which loads of one document wait for each other.
const STRIPES: usize = 64;
/// Reads that are at the disk at once.
const DISK_READS_MAX: usize = 8;
/// Bytes of the log that are read in one go while a document is loaded.
const LOAD_BYTES: usize = 1 << 20;
/// Checkpoints that are on their way to the log at once.
const SAVES_AT_ONCE: usize = 64;
/// How often everything is looked after.
const SWEEP: Duration = Duration::from_secs(1);
/// After so long without that something is wrong: the disk, mostly.
const STUCK: Duration = Duration::from_secs(60);
/// After so long, in milliseconds, queues give back the room that they needed.
pub(crate) const REST_MS: u64 = 1_000;
/// Snapshots of a document that are looked at in one go.
const SNAPSHOTS_MAX: usize = 256;
/// How long a snapshot that is not kept any more stays for who reads it, in milliseconds.
const SPARE_MS: u64 = 3_600_000;
/// How long HELLO may take, in milliseconds.
const HELLO_MS: u64 = 10_000;
/// How long it may take until a token opens the first document, in milliseconds: anybody may connect.
const OPEN_MS: u64 = 60_000;

/// What all connections share.
pub(crate) struct Hub {
    pub(crate) log: Log,
    pub(crate) settings: Settings,
    pub(crate) warden: Arc<Warden>,
    pub(crate) metrics: Metrics,
    pub(crate) devices: Pace<DeviceId>,
    pub(crate) tenant_paces: Pace<String>,
    pub(crate) tenants: Tenants,
    /// Who is woken; nothing if nobody is.
    pub(crate) wakes: Option<Wakes>,
    checkpoints: Checkpoints,
    /// Rosters in force, of documents where they were asked for last.
    lines: Mutex<LruCache<DocumentId, Line>>,
    founders: Mutex<Founders>,
    revocations: Revocations,
    incarnation: Incarnation,
    documents: Mutex<HashMap<DocumentId, Arc<Document>>>,
    loading: [tokio::sync::Mutex<()>; STRIPES],
    hasher: RandomState,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Documents with presences that somebody has not heard of, or that end.
    shown: Mutex<HashSet<DocumentId>>,
    has_news: Notify,
    disk: Semaphore,
    numbers: AtomicU64,
    is_draining: AtomicBool,
    opened: Instant,
    opened_ms: u64,
    /// When everything was looked after, in nanoseconds since it was opened.
    swept_ns: AtomicU64,
}

/// A channel that is open, or about to be.
pub(crate) struct Entered {
    hub: Arc<Hub>,
    document: DocumentId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.hub.tenants.exit(&self.document);
        self.hub.metrics.channels.fetch_sub(1, Relaxed);
    }
}

/// A checkpoint on its way to the log.
struct Save {
    document: Arc<Document>,
    durable: u64,
    ticket: Ticket,
    then: Then,
}

/// What is done when it is there.
enum Then {
    /// The log is cut here, if anywhere.
    Cut(Option<u64>),
    /// The document is let go.
    Evict,
}

/// Settings in milliseconds.
pub(crate) struct SettingsMs {
    pub(crate) grace: u64,
    pub(crate) idle: u64,
    ping: u64,
    stall: u64,
    presence: u64,
}

impl Hub {
    /// Reads what the log has; blocks.
    pub(crate) fn open(
        log: Log,
        settings: Settings,
        (incarnation, warden): (Incarnation, Warden),
    ) -> Result<Self, String> {
        let push = settings.push.as_ref();
        let wakes = push.map(|push| Wakes::open(&log, push, now_ms())).transpose()?;
        Ok(Self {
            wakes,
            revocations: Revocations::open(&log, &warden)?,
            checkpoints: Checkpoints::open(&log)?,
            lines: Mutex::new(LruCache::new(LINES_MAX)),
            founders: Mutex::new(Founders::open(&log)?),
            devices: Pace::new(settings.device_pushes_per_s),
            tenant_paces: Pace::new(settings.tenant_pushes_per_s),
            tenants: Tenants::default(),
            warden: Arc::new(warden),
            metrics: Metrics::default(),
            incarnation,
            documents: Mutex::default(),
            loading: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
            connections: Mutex::default(),
            shown: Mutex::default(),
            has_news: Notify::new(),
            disk: Semaphore::new(DISK_READS_MAX),
            numbers: AtomicU64::new(1),
            is_draining: AtomicBool::new(false),
            opened: Instant::now(),
            opened_ms: now_ms(),
            swept_ns: AtomicU64::new(0),
            log,
            settings,
        })
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        now_ms()
    }

    /// Nanoseconds since it was opened.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn settings_ms(&self) -> SettingsMs {
        let Settings { grace, idle, ping, stall, presence, .. } = &self.settings;
        SettingsMs {
            grace: ms(*grace),
            idle: ms(*idle),
            ping: ms(*ping),
            stall: ms(*stall),
            presence: ms(*presence),
        }
    }

    /// A number that nothing else has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Takes in a connection; nothing if there are too many, or no more are wanted.
    pub(crate) fn welcome(&self) -> Option<Arc<Connection>> {
        let mut connections = locked(&self.connections);
        if connections.len() >= self.settings.connections_max || self.is_draining.load(Relaxed) {
            return None;
        }
        let mut challenge = [0; NONCE_BYTES];
        rand::fill(&mut challenge).ok()?;
        let limits = Limits {
            channels: self.settings.channels_max,
            // Room for the largest message, or who has one to push would wait for ever.
            credit: self.settings.credit.max(MESSAGE_BYTES_MAX as u32),
            presence_ends_ms: u32::try_from(ms(self.settings.presence)).unwrap_or(u32::MAX),
            ..Limits::default()
        };
        let machine = RelayConnection::new(challenge, limits);
        let connection = Arc::new(Connection::new(self.number(), machine, self.now_ms()));
        connections.insert(connection.id, connection.clone());
        self.metrics.connections.store(connections.len() as u64, Relaxed);
        self.metrics.connections_total.fetch_add(1, Relaxed);
        Some(connection)
    }

    pub(crate) fn farewell(&self, connection: &Connection) {
        let mut connections = locked(&self.connections);
        connections.remove(&connection.id);
        self.metrics.connections.store(connections.len() as u64, Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        locked(&self.connections).len()
    }

    /// Counts an open channel as long as what is returned lives; nothing if its tenant has too many documents open.
    pub(crate) fn enter(self: &Arc<Self>, document: &DocumentId) -> Option<Entered> {
        let has_room = self.tenants.enter(document, self.settings.tenant_channels_max);
        has_room.then(|| {
            self.metrics.channels.fetch_add(1, Relaxed);
            Entered { hub: self.clone(), document: document.clone() }
        })
    }

    /// Takes the place of one more document of a tenant; false if there is none.
    pub(crate) fn make(&self, tenant: &str) -> bool {
        self.tenants.make(tenant, self.settings.tenant_documents_max)
    }

    /// The document, if memory has it.
    pub(crate) fn loaded(&self, id: &DocumentId) -> Option<Arc<Document>> {
        locked(&self.documents).get(id).cloned()
    }

    /// The document, from memory or from the log.
    pub(crate) async fn document(
        self: &Arc<Self>,
        id: &DocumentId,
    ) -> Result<Arc<Document>, String> {
        if let Some(document) = self.loaded(id) {
            return Ok(document);
        }
        let stripe = self.hasher.hash_one(id) % STRIPES as u64;
        let _turn = self.loading[stripe as usize].lock().await;
        if let Some(document) = self.loaded(id) {
            return Ok(document);
        }
        let _place = self.disk.acquire().await.expect("it is never closed");
        let (hub, wanted) = (self.clone(), id.clone());
        let loading = tokio::task::spawn_blocking(move || hub.load(&wanted));
        let loaded = loading.await.unwrap_or_else(|_| Err("the core ends".to_owned()))?;
        // Nobody reads or brings one of a document that nobody has.
        self.sweep_snapshots(id, (loaded.lock().fold.snapshots(), &[]), 0);
        let document = Arc::new(loaded);
        let mut documents = locked(&self.documents);
        documents.insert(id.clone(), document.clone());
        self.metrics.documents.store(documents.len() as u64, Relaxed);
        Ok(document)
    }

    /// Reads a document from its last checkpoint on; blocks.
    fn load(&self, id: &DocumentId) -> Result<Document, String> {
        let terms = self.settings.terms(id);
        let Some(stream) = self.log.stream(&names::document(id)) else {
            self.know_documents_of(id.tenant());
            let stream = self.log.new_stream();
            // What the relay lost may have been all of it.
            let lost_ms = self.incarnation.lost_ms;
            let mut fold = RelayDocument::new(id.clone(), self.log_id(stream), lost_ms);
            fold.loaded();
            let rosters = Rosters::open(&self.log, id).map_err(|error| error.to_string())?;
            return Ok(Document::new((fold, rosters), stream, (terms, self)));
        };
        let error = |error: ReadError| error.to_string();
        let about = (self.log_id(stream), self.incarnation.lost_ms);
        let mut fold = match self.checkpoints.get(stream).map_err(error)? {
            Some(checkpoint) => RelayDocument::restore(id.clone(), about, &checkpoint)
                .map_err(|malformed| malformed.to_string())?,
            None => RelayDocument::new(id.clone(), about.0, about.1),
        };
        let info = self.log.info(stream).map_err(error)?;
        if info.start > fold.durable() {
            return Err("the log was cut, and what was known of it is lost".to_owned());
        }
        while fold.durable() < info.tail {
            let chunk = self.log.read(stream, fold.durable(), LOAD_BYTES).map_err(error)?;
            for (_, record) in chunk.records() {
                fold.replay(&record).map_err(|malformed| malformed.to_string())?;
            }
        }
        fold.loaded();
        fold.trimmed(info.start);
        let mut rosters = Rosters::open(&self.log, id).map_err(error)?;
        if fold.sealing() != Sealing::Plain && !rosters.has_some() {
            rosters.gather(&self.log, (id, stream))?;
        }
        Ok(Document::new((fold, rosters), stream, (terms, self)))
    }

    /// Whether the relay lost records that devices may have.
    pub(crate) fn has_lost(&self) -> bool {
        self.incarnation.lost_ms > 0
    }

    /// The rosters of a document up to the one in force; nothing if it was never encrypted.
    pub(crate) async fn line(self: &Arc<Self>, id: &DocumentId) -> Result<Option<Line>, ReadError> {
        let Some(stream) = self.log.stream(&names::keys(id)) else { return Ok(None) };
        let known = locked(&self.lines).get(id).cloned().unwrap_or_default();
        let _place = self.disk.acquire().await.expect("it is never closed");
        let (log, of, has_lost) = (self.log.clone(), id.clone(), self.has_lost());
        let read = tokio::task::spawn_blocking(move || known.go_on(&log, (&of, stream), has_lost));
        let line = read.await.unwrap_or(Err(ReadError::Overloaded))?;
        locked(&self.lines).put(id.clone(), line.clone());
        Ok(Some(line))
    }

    /// Counts the documents of a tenant, where they are bounded; blocks.
    fn know_documents_of(&self, tenant: &str) {
        let max = self.settings.tenant_documents_max;
        if max > 0 {
            let names = names::tenant(tenant);
            self.tenants.know(tenant, || self.log.list(&names, "", max).len());
        }
    }

    /// The life of a document's log: another one where the log is the same and the relay is not.
    fn log_id(&self, stream: StreamId) -> LogId {
        let named = [&self.incarnation.id[..], &stream.get().to_le_bytes()].concat();
        let hash = digest(&SHA256, &named);
        LogId(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// Deletes snapshots of a document that are neither `kept` nor on their way here, but for the last `spare` ones, which
    /// somebody may still be reading.
    pub(crate) fn sweep_snapshots(
        &self,
        of: &DocumentId,
        (kept, uploads): (&[Placed], &[StreamId]),
        spare: usize,
    ) {
        let names = kept.iter().map(|placed| names::snapshot(of, &placed.info.hash));
        let kept: HashSet<String> = names.collect();
        let mut others = self.log.list(&names::snapshots(of), "", SNAPSHOTS_MAX);
        others.retain(|info| !kept.contains(&*info.name) && !uploads.contains(&info.id));
        others.sort_by_key(|info| Reverse(info.time_ms));
        for (at, info) in others.iter().enumerate() {
            if at >= spare || info.time_ms + SPARE_MS <= self.now_ms() {
                drop(self.log.append(Batch::delete(info.id)));
            }
        }
    }

    /// Reads without holding up the thread: what memory does not have, a few threads read.
    pub(crate) async fn read(
        self: Arc<Self>,
        stream: StreamId,
        (from, bytes): (u64, usize),
    ) -> Result<Chunk, ReadError> {
        let _place = self.disk.acquire().await.expect("it is never closed");
        let log = self.log.clone();
        let read = tokio::task::spawn_blocking(move || log.read(stream, from, bytes));
        read.await.unwrap_or(Err(ReadError::Overloaded))
    }

    /// Remembers that others are to hear of presences.
    pub(crate) fn show_soon(
        &self,
        id: &DocumentId,
        presences: &selvedge_crdt::session::relay::Presences<bytes::Bytes>,
    ) {
        if !presences.is_empty() && locked(&self.shown).insert(id.clone()) {
            self.has_news.notify_one();
        }
    }

    /// Revokes a token, once that is done.
    pub(crate) fn revoke(self: &Arc<Self>, id: &str, until_s: u64, by: Option<DeviceId>) -> Deed {
        let revocation = Revocation { id: id.to_owned(), revoked: Revoked { until_s, by } };
        let record = self.revocations.record(&revocation);
        Deed::new(self, record, Change::Revoked(revocation))
    }

    /// A token is revoked: its channels are closed.
    pub(crate) fn revoked(&self, id: String, revoked: Revoked) {
        self.warden.revoke(id.clone(), revoked);
        let connections: Vec<_> = locked(&self.connections).values().cloned().collect();
        for connection in connections {
            connection.with(|machine| {
                for channel in machine.revoked(|token| token == id) {
                    machine.close(channel, CloseReason::Expired, None);
                }
            });
        }
    }

    pub(crate) fn founders(&self) -> MutexGuard<'_, Founders> {
        locked(&self.founders)
    }

    /// Has a device found a document.
    pub(crate) fn found(
        self: &Arc<Self>,
        document: &DocumentId,
        device: &DeviceId,
    ) -> Result<Option<Deed>, NotFounded> {
        let guests = self.settings.guests.iter().find(|guests| guests.are_for(document));
        let guests = guests.ok_or(NotFounded::NotOpen)?;
        if !Guests::is_unguessable(document) {
            return Err(NotFounded::Guessable);
        }
        let mut founders = self.founders();
        match founders.of(document) {
            Some(founder) if founder == *device => return Ok(None),
            Some(_) => return Err(NotFounded::Taken),
            None if self.log.stream(&names::document(document)).is_some() => {
                return Err(NotFounded::Taken);
            }
            None => {}
        }
        if founders.count(|it| guests.are_for(it)) >= guests.documents_max {
            return Err(NotFounded::Full);
        }
        let record = founders.begin(document, device).ok_or(NotFounded::Busy)?;
        drop(founders);
        let change = Change::Founded(document.clone(), *device);
        Ok(Some(Deed::new(self, record, change)))
    }

    /// Ends every connection: devices come again elsewhere, or later.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
        let connections: Vec<_> = locked(&self.connections).values().cloned().collect();
        for connection in connections {
            // Not all at once.
            let again = 500 + connection.id * 7919 % 4_000;
            connection.with(|machine| {
                machine.end(CloseReason::Leaving, Some(again));
            });
        }
    }

    /// Tells presences, twenty times a second at most, for as long as it is polled.
    pub(crate) async fn tell_presences(self: Arc<Self>) {
        let pause = Duration::from_millis(Limits::default().presence_ms.into());
        loop {
            self.has_news.notified().await;
            tokio::time::sleep(pause).await;
            let shown = std::mem::take(&mut *locked(&self.shown));
            shown.iter().filter_map(|id| self.loaded(id)).for_each(|it| it.tell_presences(0));
        }
    }

    /// Whether nothing was looked after for long.
    pub(crate) fn is_stuck(&self) -> bool {
        let silent_ns = self.now_ns().saturating_sub(self.swept_ns.load(Relaxed));
        Duration::from_nanos(silent_ns) > STUCK
    }

    /// Looks after everything, for as long as it is polled.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut turns = tokio::time::interval(SWEEP);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.swept_ns.store(self.now_ns(), Relaxed);
            self.sweep_connections();
            self.sweep_documents(false).await;
            let hub = self.clone();
            let tidied = tokio::task::spawn_blocking(move || {
                hub.forget();
                hub.revocations.tidy(&hub.warden)?;
                hub.wakes.as_ref().map_or(Ok(()), Wakes::tidy)?;
                hub.checkpoints.tidy()
            });
            if !matches!(tidied.await, Ok(Ok(()))) {
                self.metrics.unsaved.fetch_add(1, Relaxed);
            }
        }
    }

    /// Forgets revocations of what has ended. A clock that leaps ahead, and back again, brings nothing back that was revoked.
    fn forget(&self) {
        let steady_ms = self.opened_ms.saturating_add(ms(self.opened.elapsed()));
        self.warden.forget(self.now_ms().min(steady_ms) / 1000);
    }

    fn sweep_connections(&self) {
        let (now_ms, bounds) = (self.now_ms(), self.settings_ms());
        let connections: Vec<_> = locked(&self.connections).values().cloned().collect();
        for connection in connections {
            let silent_ms = now_ms.saturating_sub(connection.heard_ms.load(Relaxed));
            let stuck_ms = now_ms.saturating_sub(connection.moved_ms.load(Relaxed));
            let age_ms = now_ms.saturating_sub(connection.since_ms);
            let (is_known, is_admitted) =
                connection.within(|machine| (machine.device().is_some(), machine.is_admitted()));
            let is_gone = silent_ms > 2 * bounds.ping && stuck_ms < bounds.ping
                || stuck_ms > bounds.stall
                || !is_known && silent_ms > HELLO_MS
                || !is_admitted && age_ms > 2 * OPEN_MS;
            if is_gone {
                connection.cut();
            } else if !is_admitted && age_ms > OPEN_MS {
                connection.with(|machine| {
                    machine.end(CloseReason::Limit, None);
                });
            } else if silent_ms > bounds.ping {
                connection.ping();
            }
            connection.with_expired(now_ms);
            if stuck_ms >= REST_MS {
                connection.within(Machine::rest);
            }
        }
    }

    async fn sweep_documents(self: &Arc<Self>, is_last: bool) {
        let documents: Vec<_> = locked(&self.documents).values().cloned().collect();
        // Each would otherwise wait for a sync of its own, and everything else for all of them.
        for some in documents.chunks(SAVES_AT_ONCE) {
            let saves: Vec<Save> =
                some.iter().filter_map(|it| self.begin_save(it, is_last)).collect();
            for save in saves {
                self.finish_save(save, is_last).await;
            }
        }
    }

    /// Looks after a document; what is to be saved of it is on its way to the log.
    fn begin_save(self: &Arc<Self>, document: &Arc<Document>, is_last: bool) -> Option<Save> {
        document.tell_presences(self.now_ms().saturating_sub(self.settings_ms().presence));
        let (checkpoint, then) = match document.look(self, is_last) {
            Chore::Nothing => return None,
            Chore::Save(checkpoint, cut) => (checkpoint, Then::Cut(cut)),
            Chore::Evict(Some(checkpoint)) => (checkpoint, Then::Evict),
            Chore::Evict(None) => {
                self.evict(document);
                return None;
            }
        };
        let ticket = self.checkpoints.put(document.stream, &checkpoint.bytes);
        Some(Save { document: document.clone(), durable: checkpoint.durable, ticket, then })
    }

    async fn finish_save(&self, save: Save, is_last: bool) {
        let Save { document, durable, ticket, then } = save;
        let Ok(committed) = ticket.await else {
            self.metrics.unsaved.fetch_add(1, Relaxed);
            return document.not_saved();
        };
        self.checkpoints.is_at(document.stream, committed.placed.first);
        document.saved(durable, self.now_ms());
        match then {
            Then::Cut(start) if !is_last => self.cut(&document, start).await,
            Then::Cut(_) => {}
            Then::Evict => self.evict(&document),
        }
    }

    /// Gives up the log before a snapshot, whose checkpoint is durable.
    async fn cut(&self, document: &Document, start: Option<u64>) {
        let Some(start) = start else { return };
        if self.log.append(Batch::trim(document.stream, start)).await.is_ok() {
            document.trimmed(start);
        }
    }

    fn evict(&self, document: &Document) {
        let mut documents = locked(&self.documents);
        if document.evict() {
            documents.remove(&document.id);
            self.metrics.documents.store(documents.len() as u64, Relaxed);
        }
    }

    /// Saves everything that is not; blocks.
    pub(crate) fn close(self: &Arc<Self>) {
        block_on(self.sweep_documents(true));
    }
}

impl Connection {
    fn with_expired(&self, now_ms: u64) {
        if self.within(|machine| machine.has_expired(now_ms)) {
            self.with(|machine| machine.expire(now_ms));
        }
    }
}

fn now_ms() -> u64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Locks what stays consistent when a holder panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
