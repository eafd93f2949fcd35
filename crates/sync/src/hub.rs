//! Everything that connections share: documents, settings, who may, and what is done from time to time.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
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
use selvedge_crdt::session::{
    CloseReason, DeviceId, DocumentId, Limits, LogId, NONCE_BYTES,
    relay::{Checkpoint, Placed, RelayConnection, RelayDocument},
};
use selvedge_eventlog::{Append, Batch, Chunk, Log, ReadError, StreamId, StreamOptions, block_on};
use tokio::sync::{Notify, Semaphore};

use crate::{
    Incarnation, Settings,
    checkpoints::Checkpoints,
    connection::Connection,
    document::{Chore, Document},
    metrics::Metrics,
    names,
    pace::Pace,
    settings::ms,
    trust::Warden,
};

/// Locks by which loads of one document wait for each other.
const STRIPES: usize = 64;
/// Reads that are at the disk at once.
const DISK_READS_MAX: usize = 8;
/// Bytes of the log that are read in one go while a document is loaded.
const LOAD_BYTES: usize = 1 << 20;
/// How often everything is looked after.
const SWEEP: Duration = Duration::from_secs(1);
/// The stream of tokens that were revoked.
const REVOKED: &str = "sync/revoked";
/// How long HELLO may take, in milliseconds.
const HELLO_MS: u64 = 10_000;
/// Revocations in force, at most.
const REVOKED_MAX: usize = 100_000;

/// What all connections share.
pub(crate) struct Hub {
    pub(crate) log: Log,
    pub(crate) settings: Settings,
    pub(crate) warden: Arc<Warden>,
    pub(crate) metrics: Metrics,
    pub(crate) devices: Pace<DeviceId>,
    pub(crate) tenants: Pace<String>,
    checkpoints: Checkpoints,
    incarnation: Incarnation,
    revoked: StreamId,
    documents: Mutex<HashMap<DocumentId, Arc<Document>>>,
    loading: [tokio::sync::Mutex<()>; STRIPES],
    hasher: RandomState,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Open channels of each tenant.
    books: Mutex<HashMap<String, usize>>,
    /// Documents with presences that somebody has not heard of, or that end.
    shown: Mutex<HashSet<DocumentId>>,
    has_news: Notify,
    disk: Semaphore,
    numbers: AtomicU64,
    is_draining: AtomicBool,
    opened: Instant,
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
        let (revoked, known) = revocations(&log)?;
        known.into_iter().for_each(|(id, until_s)| warden.revoke(id, until_s));
        Ok(Self {
            checkpoints: Checkpoints::open(&log)?,
            devices: Pace::new(settings.device_pushes_per_s),
            tenants: Pace::new(settings.tenant_pushes_per_s),
            warden: Arc::new(warden),
            metrics: Metrics::default(),
            incarnation,
            revoked,
            documents: Mutex::default(),
            loading: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
            connections: Mutex::default(),
            books: Mutex::default(),
            shown: Mutex::default(),
            has_news: Notify::new(),
            disk: Semaphore::new(DISK_READS_MAX),
            numbers: AtomicU64::new(1),
            is_draining: AtomicBool::new(false),
            opened: Instant::now(),
            log,
            settings,
        })
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ms(since)
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
            credit: self.settings.credit,
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

    /// Counts an open channel of a tenant; false if there are too many.
    pub(crate) fn enter(&self, tenant: &str) -> bool {
        let mut books = locked(&self.books);
        let max = self.settings.tenant_channels_max;
        let channels = books.entry(tenant.to_owned()).or_default();
        let has_room = max == 0 || *channels < max;
        if has_room {
            *channels += 1;
            self.metrics.channels.fetch_add(1, Relaxed);
        }
        has_room
    }

    pub(crate) fn exit(&self, tenant: &str) {
        let mut books = locked(&self.books);
        if let Some(channels) = books.get_mut(tenant) {
            *channels -= 1;
            if *channels == 0 {
                books.remove(tenant);
            }
            self.metrics.channels.fetch_sub(1, Relaxed);
        }
    }

    /// Whether a tenant may have one document more.
    pub(crate) fn has_room_in(&self, tenant: &str) -> bool {
        let max = self.settings.tenant_documents_max;
        max == 0 || self.log.list(&names::tenant(tenant), "", max).len() < max
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
            let stream = self.log.new_stream();
            let fold = RelayDocument::new(id.clone(), self.log_id(stream), 0);
            return Ok(Document::new(fold, stream, (terms, self)));
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
        let document = Document::new(fold, stream, (terms, self));
        self.sweep_snapshots(&document, document.lock().fold.snapshots());
        Ok(document)
    }

    /// The life of a document's log: another one where the log is the same and the relay is not.
    fn log_id(&self, stream: StreamId) -> LogId {
        let named = [&self.incarnation.id[..], &stream.get().to_le_bytes()].concat();
        let hash = digest(&SHA256, &named);
        LogId(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// Deletes snapshots of a document that are not `kept`, and none that comes just now.
    pub(crate) fn sweep_snapshots(&self, document: &Document, kept: &[Placed]) {
        let oldest = kept.iter().map(|placed| names::snapshot(&document.id, &placed.info.hash));
        let kept: HashSet<String> = oldest.collect();
        let current = kept.len();
        for info in self.log.list(&names::snapshots(&document.id), "", 64 + current) {
            let newest = kept.is_empty() || info.time_ms + HELLO_MS * 360 > self.now_ms();
            if !kept.contains(&*info.name) && !newest {
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

    /// Revokes a token: it is durable when this returns, and its channels are closed.
    pub(crate) async fn revoke(&self, id: &str, until_s: u64) -> Result<(), String> {
        if self.warden.revocations() >= REVOKED_MAX {
            return Err("too many tokens are revoked".to_owned());
        }
        let record = [&until_s.to_le_bytes()[..], id.as_bytes()].concat();
        let append = Append::to(self.revoked).record(&record);
        self.log.append(append).await.map_err(|error| error.to_string())?;
        self.warden.revoke(id.to_owned(), until_s);
        let connections: Vec<_> = locked(&self.connections).values().cloned().collect();
        for connection in connections {
            connection.with(|machine| {
                for channel in machine.revoked(|token| token == id) {
                    machine.close(channel, CloseReason::Expired, None);
                }
            });
        }
        Ok(())
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

    /// Looks after everything, for as long as it is polled.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut turns = tokio::time::interval(SWEEP);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.sweep_connections();
            self.sweep_documents(false).await;
            let hub = self.clone();
            let tidied = tokio::task::spawn_blocking(move || {
                hub.warden.forget(hub.now_ms() / 1000);
                hub.checkpoints.tidy()
            });
            if !matches!(tidied.await, Ok(Ok(()))) {
                self.metrics.unsaved.fetch_add(1, Relaxed);
            }
        }
    }

    fn sweep_connections(&self) {
        let (now_ms, bounds) = (self.now_ms(), self.settings_ms());
        let connections: Vec<_> = locked(&self.connections).values().cloned().collect();
        for connection in connections {
            let silent_ms = now_ms.saturating_sub(connection.heard_ms.load(Relaxed));
            let stuck_ms = now_ms.saturating_sub(connection.moved_ms.load(Relaxed));
            let is_known = connection.device().is_some();
            let is_gone = silent_ms > 2 * bounds.ping && stuck_ms < bounds.ping
                || stuck_ms > bounds.stall
                || !is_known && silent_ms > HELLO_MS;
            if is_gone {
                connection.cut();
            } else if silent_ms > bounds.ping {
                connection.ping();
            }
            connection.with_expired(now_ms);
        }
    }

    async fn sweep_documents(self: &Arc<Self>, is_last: bool) {
        let documents: Vec<_> = locked(&self.documents).values().cloned().collect();
        for document in documents {
            document.tell_presences(self.now_ms().saturating_sub(self.settings_ms().presence));
            match document.look(self, is_last) {
                Chore::Nothing => {}
                Chore::Save(checkpoint, cut) => {
                    if self.save(&document, &checkpoint).await && !is_last {
                        self.cut(&document, cut).await;
                    }
                }
                Chore::Evict(checkpoint) => {
                    let saved = match checkpoint {
                        Some(checkpoint) => self.save(&document, &checkpoint).await,
                        None => true,
                    };
                    self.evict(&document, saved);
                }
            }
        }
    }

    async fn save(&self, document: &Document, checkpoint: &Checkpoint) -> bool {
        let saved = self.checkpoints.put(document.stream, &checkpoint.bytes).await.is_ok();
        match saved {
            true => document.saved(checkpoint.durable, self.now_ms()),
            false => {
                self.metrics.unsaved.fetch_add(1, Relaxed);
                document.not_saved();
            }
        }
        saved
    }

    /// Gives up the log before a snapshot, whose checkpoint is durable.
    async fn cut(&self, document: &Document, start: Option<u64>) {
        let Some(start) = start else { return };
        if self.log.append(Batch::trim(document.stream, start)).await.is_ok() {
            document.trimmed(start);
        }
    }

    fn evict(&self, document: &Arc<Document>, is_saved: bool) {
        let mut documents = locked(&self.documents);
        if is_saved && document.evict() {
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

/// Tokens that were revoked, with the second at which each ends; blocks.
fn revocations(log: &Log) -> Result<(StreamId, Vec<(String, u64)>), String> {
    let stream = match log.stream(REVOKED) {
        Some(stream) => stream,
        None => {
            let created = block_on(log.create(REVOKED, StreamOptions::default()));
            created.map_err(|error| error.to_string())?
        }
    };
    let mut from = log.info(stream).map_err(|error| error.to_string())?.start;
    let mut known = Vec::new();
    loop {
        let chunk = log.read(stream, from, LOAD_BYTES).map_err(|error| error.to_string())?;
        for (_, record) in chunk.records() {
            let Some((until_s, id)) = record.split_first_chunk() else { continue };
            known.push((String::from_utf8_lossy(id).into_owned(), u64::from_le_bytes(*until_s)));
        }
        if chunk.next == from {
            return Ok((stream, known));
        }
        from = chunk.next;
    }
}

/// Locks what stays consistent when a holder panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
