//! Which streams there are, beside what the log knows of them: configuration, forks, and when they were last used.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use selvedge_eventlog::{Batch, Log, Retention, StreamId, StreamInfo, StreamOptions, Ticket};

use crate::{follow::Told, lifetime::Lifetime, meta::Meta, offset::Offset, path, writer::Writer};

/// Locks by which forks and deletions of one family of streams wait for each other.
const STRIPES: usize = 64;
/// Locks by which those who make streams of one name wait for each other. Streams of different names share one by chance, so
/// that there are more.
const NAMES: usize = 256;
/// Streams that are read from the log in one go.
const PAGE: usize = 1024;

/// A stream.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: StreamId,
    pub(crate) meta: Meta,
    /// Where its records lie: those inherited first, its own last.
    pub(crate) lineage: Box<[Span]>,
    /// The stream that all streams of its family come from.
    root: StreamId,
    /// What its writers said last.
    pub(crate) writer: tokio::sync::Mutex<Writer>,
    /// When it was last read or written, in milliseconds since 1970.
    used_ms: AtomicU64,
    /// When it is looked at whether it is over: its place among the mortal.
    look_ms: AtomicU64,
    gone: AtomicBool,
    /// Live readers.
    followers: AtomicUsize,
    /// What live readers at the stream's end were told last.
    told: Mutex<Option<Arc<Told>>>,
}

/// A range of positions, and the stream of the log that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) stream: StreamId,
    /// Position of the stream's sequence 0.
    pub(crate) base: Offset,
    /// Where the next span begins.
    pub(crate) until: Offset,
}

impl Entry {
    /// Position of its own sequence 0.
    pub(crate) fn base(&self) -> Offset {
        self.meta.base()
    }

    /// Whether it was deleted, and is only kept for its forks.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// When it ends, if nobody uses it until then.
    fn end_ms(&self) -> Option<u64> {
        self.meta.lifetime.end_ms(self.used_ms.load(Ordering::Relaxed))
    }

    /// Whether its time is over. One that is idle is not while somebody follows it.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        if matches!(self.meta.lifetime, Lifetime::Idle(_))
            && self.followers.load(Ordering::Relaxed) > 0
        {
            self.touch(now_ms);
        }
        self.end_ms().is_some_and(|end_ms| end_ms <= now_ms)
    }

    pub(crate) fn followed(&self, more: bool) {
        if more {
            self.followers.fetch_add(1, Ordering::Relaxed);
        } else if self.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // What nobody asks for takes no memory.
            *self.last_told() = None;
        }
    }

    /// What live readers were told last.
    pub(crate) fn told(&self) -> Option<Arc<Told>> {
        self.last_told().clone()
    }

    /// Keeps what a live reader is told, for the others.
    pub(crate) fn tell(&self, told: Arc<Told>) {
        *self.last_told() = Some(told);
    }

    fn last_told(&self) -> MutexGuard<'_, Option<Arc<Told>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All streams.
pub(crate) struct Directory {
    books: Mutex<Books>,
    families: [tokio::sync::Mutex<()>; STRIPES],
    names: Box<[tokio::sync::Mutex<()>]>,
    /// Says which lock a name has; nobody outside can tell.
    hasher: RandomState,
}

/// Room for one more stream of a tenant, which is given back unless the stream is made.
pub(crate) struct Room<'d> {
    directory: &'d Directory,
    tenant: &'d str,
    is_taken: bool,
}

impl Room<'_> {
    /// Keeps it, for a stream that is there.
    pub(crate) fn take(mut self) {
        self.is_taken = true;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            self.directory.books().leave(self.tenant);
        }
    }
}

#[derive(Default)]
struct Books {
    streams: HashMap<StreamId, Arc<Entry>>,
    /// How many forks a stream has.
    forks: HashMap<StreamId, usize>,
    /// Streams that end by themselves, by the time at which to look.
    mortal: BTreeSet<(u64, StreamId)>,
    /// Streams of each tenant.
    tenants: HashMap<String, usize>,
}

impl Directory {
    /// Reads what the log has, of which as much is kept from now on as `retention` says. Streams of a configuration that
    /// cannot be read are left out.
    pub(crate) fn load(log: &Log, retention: Retention, now_ms: u64) -> Directory {
        let directory = Directory {
            books: Mutex::default(),
            families: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            names: (0..NAMES).map(|_| tokio::sync::Mutex::default()).collect(),
            hasher: RandomState::new(),
        };
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = log.list(path::ROOT, &after, PAGE);
            let Some(last) = page.last() else { break };
            after = last.name.to_string();
            let known = page
                .into_iter()
                .filter_map(|info| Some((Meta::parse(&info.options.metadata)?, info)));
            let known: Vec<(Meta, StreamInfo)> = known.collect();
            retain(log, retention, known.iter().map(|(_, info)| info));
            found.extend(known);
        }
        // A fork has a higher number than its source: numbers are given in turn and never again.
        found.sort_by_key(|(_, info)| info.id);
        for (meta, info) in found {
            directory.books().enter(path::tenant(&info.name));
            directory.insert(&info, meta, now_ms);
        }
        directory
    }

    /// Enters a stream that the log has, for which its tenant has [room](Self::room).
    pub(crate) fn insert(&self, info: &StreamInfo, meta: Meta, now_ms: u64) -> Arc<Entry> {
        let mut books = self.books();
        let entry = Arc::new(Entry {
            id: info.id,
            lineage: books.lineage(info.id, &meta),
            root: books.source(&meta).map_or(info.id, |source| source.root),
            writer: tokio::sync::Mutex::default(),
            used_ms: AtomicU64::new(now_ms),
            look_ms: AtomicU64::new(0),
            gone: AtomicBool::new(meta.gone),
            followers: AtomicUsize::new(0),
            told: Mutex::default(),
            meta,
        });
        if let Some(fork) = &entry.meta.fork {
            *books.forks.entry(fork.source()).or_default() += 1;
        }
        if let Some(end_ms) = entry.end_ms() {
            books.watch(&entry, end_ms);
        }
        books.streams.insert(entry.id, Arc::clone(&entry));
        entry
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<Arc<Entry>> {
        self.books().streams.get(&id).cloned()
    }

    /// Finds room for a stream of a name, of whose tenant there may be `max`; 0 is no bound.
    pub(crate) fn room<'d>(&'d self, name: &'d str, max: usize) -> Option<Room<'d>> {
        let tenant = path::tenant(name);
        let mut books = self.books();
        if max > 0 && books.tenants.get(tenant).is_some_and(|streams| *streams >= max) {
            return None;
        }
        books.enter(tenant);
        Some(Room { directory: self, tenant, is_taken: false })
    }

    /// Keeps others from making a stream of the same name. Who has it may wait for a family, and never the other way round.
    pub(crate) async fn making(&self, name: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(name) % NAMES as u64;
        self.names[usize::try_from(stripe).expect("a stripe is a small number")].lock().await
    }

    /// Keeps others from forking or deleting streams of the same family.
    pub(crate) async fn family(&self, entry: &Entry) -> tokio::sync::MutexGuard<'_, ()> {
        let stripe =
            usize::try_from(entry.root.get() % STRIPES as u64).expect("a stripe is a small number");
        self.families[stripe].lock().await
    }

    /// Whether somebody forked the stream and the fork is still there.
    pub(crate) fn is_forked(&self, id: StreamId) -> bool {
        self.books().forks.get(&id).is_some_and(|forks| *forks > 0)
    }

    /// Marks a stream as deleted that is kept for its forks.
    pub(crate) fn retire(&self, entry: &Entry) {
        entry.gone.store(true, Ordering::Release);
    }

    /// Returns a stream, and its sources that are only kept for it.
    pub(crate) fn doomed(&self, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
        let books = self.books();
        let mut doomed = vec![Arc::clone(entry)];
        let mut last = Arc::clone(entry);
        while let Some(source) = books.source(&last.meta) {
            if !source.is_gone() || books.forks.get(&source.id).copied() != Some(1) {
                break;
            }
            last = Arc::clone(source);
            doomed.push(Arc::clone(source));
        }
        doomed
    }

    /// Strikes a stream that the log has no more.
    pub(crate) fn remove(&self, entry: &Entry, name: &str) {
        let mut books = self.books();
        if books.streams.remove(&entry.id).is_none() {
            return;
        }
        books.mortal.remove(&(entry.look_ms.load(Ordering::Relaxed), entry.id));
        if let Some(fork) = &entry.meta.fork {
            books.unlink(fork.source());
        }
        books.leave(path::tenant(name));
    }

    /// Returns streams whose time is over, and when to look again. Streams that were used meanwhile are looked at later.
    pub(crate) fn over(&self, now_ms: u64) -> Vec<Arc<Entry>> {
        let mut books = self.books();
        let later = books.mortal.split_off(&(now_ms.saturating_add(1), StreamId::from(0)));
        let due = std::mem::replace(&mut books.mortal, later);
        let mut over = Vec::new();
        for (_, id) in due {
            let Some(entry) = books.streams.get(&id).cloned() else { continue };
            let is_over = entry.is_over(now_ms);
            match entry.end_ms() {
                Some(end_ms) if !is_over => books.watch(&entry, end_ms),
                // It stays among the mortal until it is gone: a deletion may fail.
                Some(_) if !entry.is_gone() => {
                    books.watch(&entry, now_ms + 1);
                    over.push(entry);
                }
                _ => {}
            }
        }
        over
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has as much kept of streams as `retention` says, where something else was said when they were made.
fn retain<'s>(log: &Log, retention: Retention, streams: impl Iterator<Item = &'s StreamInfo>) {
    let others = streams.filter(|info| info.options.retention != retention);
    let told = others.map(|info| {
        let options = StreamOptions { retention, metadata: info.options.metadata.clone() };
        log.append(Batch::configure(info.id, options))
    });
    let told: Vec<Ticket> = told.collect();
    for ticket in told {
        // A log that takes nothing now is asked again at the next start.
        let _ = ticket.wait();
    }
}

impl Books {
    fn lineage(&self, id: StreamId, meta: &Meta) -> Box<[Span]> {
        let own = Span { stream: id, base: meta.base(), until: Offset(u64::MAX) };
        let inherited = self.source(meta).into_iter().flat_map(|source| source.lineage.iter());
        let inherited = inherited.map(|span| Span { until: span.until.min(own.base), ..*span });
        inherited.filter(|span| span.base < span.until).chain([own]).collect()
    }

    fn source(&self, meta: &Meta) -> Option<&Arc<Entry>> {
        meta.fork.as_ref().and_then(|fork| self.streams.get(&fork.source()))
    }

    /// Counts a stream of a tenant.
    fn enter(&mut self, tenant: &str) {
        match self.tenants.get_mut(tenant) {
            Some(streams) => *streams += 1,
            None => _ = self.tenants.insert(tenant.to_owned(), 1),
        }
    }

    /// Counts a stream of a tenant no more.
    fn leave(&mut self, tenant: &str) {
        let Some(streams) = self.tenants.get_mut(tenant) else { return };
        *streams -= 1;
        if *streams == 0 {
            self.tenants.remove(tenant);
        }
    }

    fn watch(&mut self, entry: &Entry, at_ms: u64) {
        entry.look_ms.store(at_ms, Ordering::Relaxed);
        self.mortal.insert((at_ms, entry.id));
    }

    fn unlink(&mut self, source: StreamId) {
        if let Some(forks) = self.forks.get_mut(&source) {
            *forks -= 1;
            if *forks == 0 {
                self.forks.remove(&source);
            }
        }
    }
}
