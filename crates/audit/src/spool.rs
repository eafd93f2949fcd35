//! What a machine has to tell the audit log until the log has it: a bounded buffer on its own disk.
//!
//! It is an event log of three streams: `events` are told in the order of their numbers, `state` remembers
//! how these are counted, and `aside` keeps a few events that the audit log could not take. Where the room
//! is used up the oldest events stay, later ones are counted, and the count becomes an event.
//!
//! **Invariant**: an event has the number `sequence - base` of its epoch. A number that was ever delivered
//! stays that event's, whatever the machine dies of, because only what is durable is delivered.

mod loss;
mod state;

use std::{
    collections::VecDeque,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use selvedge_eventlog::{
    Append, AppendError, Batch, Disk, Log, OpenError, Producer, ReadError, Retention, Settings,
    StreamId, StreamOptions,
};

pub use self::loss::{Loss, Why};
use self::state::State;
use crate::{event::Event, time::Timestamp, wire::EVENT_BYTES_MAX};

/// The most events of one [`Portion`], and of one call of [`Spool::keep`].
pub const PORTION_EVENTS_MAX: usize = 512;
/// About the most bytes of it: one event more is begun.
pub const PORTION_BYTES_MAX: usize = 512 << 10;
/// What an event takes beside its own bytes, about.
const EVENT_OVERHEAD: u64 = 128;
/// Events that the audit log could not take are kept up to this many bytes; the oldest go.
const ASIDE_BYTES_MAX: u64 = 4 << 20;
/// Bytes read from the disk at once when the spool is opened.
const SCAN_BYTES: usize = 1 << 20;

const EVENTS: &str = "events";
const STATE: &str = "state";
const ASIDE: &str = "aside";

/// A spool that is open. All of it may be called from several threads.
pub struct Spool {
    log: Log,
    events: StreamId,
    state: StreamId,
    aside: StreamId,
    bytes_max: AtomicU64,
    inner: Mutex<Inner>,
    /// The same in numbers, under a lock that is never held for long.
    fill: Mutex<Fill>,
}

/// What changes.
struct Inner {
    state: State,
    /// What each event takes that was not delivered, the oldest first.
    costs: VecDeque<u32>,
    used: u64,
    /// What was dropped and not told yet.
    loss: Option<Loss>,
}

/// Events to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// How they are counted.
    pub epoch: u64,
    /// The number of the first.
    pub first: u64,
    /// As [`Event::to_wire`] wrote them.
    pub events: Vec<Vec<u8>>,
}

/// How full a spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Events that wait.
    pub events: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Whether events are dropped at the moment.
    pub is_full: bool,
}

/// Why a spool does not open, or does not do what it was asked for.
#[derive(Debug)]
pub enum SpoolError {
    /// The log below does not open.
    Open(OpenError),
    /// It takes nothing.
    Append(AppendError),
    /// It cannot be read.
    Read(ReadError),
    /// What it remembers of itself is of another version.
    State,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("the spool of the audit log does not open"),
            Self::Append(_) => f.write_str("the spool of the audit log takes nothing"),
            Self::Read(_) => f.write_str("the spool of the audit log cannot be read"),
            Self::State => f.write_str("the spool of the audit log was written by another version"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Append(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::State => None,
        }
    }
}

impl From<AppendError> for SpoolError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<ReadError> for SpoolError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Small files and little memory: a spool is nearly always empty.
fn settings() -> Settings {
    Settings {
        segment_bytes: 4 << 20,
        record_bytes_max: EVENT_BYTES_MAX,
        batch_bytes_max: 1 << 20,
        group_bytes_max: 1 << 20,
        pending_bytes_max: 4 << 20,
        streams_max: 16,
        cache_bytes_max: 2 << 20,
        index_cache_bytes_max: 1 << 20,
        open_segments_max: 32,
        ..Settings::DEFAULT
    }
}

impl Spool {
    /// Opens the spool in a folder, or makes one, which begins an epoch of its own. Blocks.
    pub fn open(folder: &Path, bytes_max: u64, now: Timestamp) -> Result<Self, SpoolError> {
        let log = Log::open(folder, settings()).map_err(SpoolError::Open)?;
        Self::of_log(log, bytes_max, now)
    }

    /// The same on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<Self, SpoolError> {
        let log = Log::open_on(disk, settings()).map_err(SpoolError::Open)?;
        Self::of_log(log, bytes_max, now)
    }

    fn of_log(log: Log, bytes_max: u64, now: Timestamp) -> Result<Self, SpoolError> {
        let (events, state, aside) =
            match (log.stream(EVENTS), log.stream(STATE), log.stream(ASIDE)) {
                (Some(events), Some(state), Some(aside)) => (events, state, aside),
                _ => create(&log, now)?,
            };
        let options = log.info(state)?.options;
        let remembered = State::decode(&options.metadata).ok_or(SpoolError::State)?;
        let costs = costs(&log, events)?;
        let used = costs.iter().copied().map(u64::from).sum();
        // How many were dropped before we ended, nobody knows any more.
        let loss = remembered.full_since.map(|since| Loss::unknown(since, now));
        let inner = Inner { state: remembered, costs, used, loss };
        let spool = Self {
            log,
            events,
            state,
            aside,
            bytes_max: AtomicU64::new(bytes_max),
            inner: Mutex::new(inner),
            fill: Mutex::default(),
        };
        spool.publish(&spool.lock());
        Ok(spool)
    }

    /// Changes how much may wait; what waits already stays.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.bytes_max.store(bytes, Relaxed);
    }

    /// How full it is. Waits for no disk.
    pub fn fill(&self) -> Fill {
        let fill = *self.fill.lock().unwrap_or_else(PoisonError::into_inner);
        Fill { bytes_max: self.bytes_max.load(Relaxed), ..fill }
    }

    /// Notes that events were dropped before they came here; it is told with the next that are kept.
    pub fn lose(&self, loss: Loss) {
        self.lock().lose(loss);
    }

    /// Keeps events, at most [`PORTION_EVENTS_MAX`] of [`PORTION_BYTES_MAX`]: they are durable when this
    /// returns. Where there is no room for all, the first ones are kept; returns how many. On an error none
    /// is, unless the log below [has to be opened again](Self::is_broken). Blocks.
    pub fn keep(&self, events: &[Vec<u8>], now: Timestamp) -> Result<usize, SpoolError> {
        let mut inner = self.lock();
        let room = self.room(&inner);
        let fitting = fitting(events, room);
        let missed = (events.len() - fitting) as u64;
        let is_full = missed > 0 || (room == 0 && inner.state.full_since.is_some());
        let state = inner.state.with_full(is_full, now);
        // The count is told once there is room for more; until then it grows.
        let told = inner.loss.as_ref().filter(|_| !is_full).map(Loss::to_event);
        let told = told.map(|event| event.to_wire());
        let kept: Vec<&[u8]> = told.iter().chain(&events[..fitting]).map(Vec::as_slice).collect();
        self.append(&kept, (state != inner.state).then_some(&state))?;
        inner.state = state;
        kept.iter().for_each(|event| inner.count(event));
        if told.is_some() {
            inner.loss = None;
        }
        if missed > 0 {
            inner.lose(Loss::new(missed, now, Why::SpoolFull));
        }
        self.publish(&inner);
        Ok(fitting)
    }

    /// Keeps an event that somebody may bring again, by a name of its own: once. Blocks.
    pub fn keep_once(&self, name: &str, event: &[u8]) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let producer = Producer { id: name.as_bytes().to_vec().into(), epoch: 0, sequence: 0 };
        let append = Append::to(self.events).record(event).producer(producer);
        if !self.log.append(append).wait()?.placed.duplicate {
            inner.count(event);
            self.publish(&inner);
        }
        Ok(())
    }

    /// The oldest events that were not delivered; `None` if there are none. Blocks.
    pub fn next(&self) -> Result<Option<Portion>, SpoolError> {
        let state = self.lock().state.clone();
        let start = self.log.info(self.events)?.start;
        let chunk = self.log.read(self.events, start, PORTION_BYTES_MAX)?;
        let mut bytes = 0;
        let events: Vec<Vec<u8>> = chunk
            .records()
            .take(PORTION_EVENTS_MAX)
            .take_while(|(_, event)| {
                let before = bytes;
                bytes += event.len();
                before < PORTION_BYTES_MAX
            })
            .map(|(_, event)| event.to_vec())
            .collect();
        let portion = Portion { epoch: state.epoch, first: start - state.base, events };
        Ok((!portion.events.is_empty()).then_some(portion))
    }

    /// How many events it ever took, told or not.
    pub fn ever(&self) -> Result<u64, SpoolError> {
        Ok(self.log.info(self.events)?.tail)
    }

    /// How events are counted, the number of the oldest that waits, and that of the next to come.
    pub fn numbers(&self) -> Result<(u64, u64, u64), SpoolError> {
        let inner = self.lock();
        let (epoch, base) = (inner.state.epoch, inner.state.base);
        let info = self.log.info(self.events)?;
        Ok((epoch, info.start - base, info.tail - base))
    }

    /// Forgets the events before `number` of the epoch: the audit log has them. Those it could not take
    /// are kept aside in the same step. Blocks.
    pub fn delivered(&self, number: u64, refused: &[Vec<u8>]) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let info = self.log.info(self.events)?;
        let start = number.saturating_add(inner.state.base).clamp(info.start, info.tail);
        let mut batch = Batch::trim(self.events, start);
        if !refused.is_empty() {
            let mut aside = Append::to(self.aside);
            refused.iter().for_each(|event| aside.push(event));
            batch = batch.and(aside);
        }
        self.log.append(batch).wait()?;
        inner.forget(start - info.start);
        self.publish(&inner);
        Ok(())
    }

    /// Counts what waits, and all that comes, in a new epoch from 0 on: the audit log does not know our
    /// numbers, or knows them better than we do. Blocks.
    pub fn begin_epoch(&self, now: Timestamp) -> Result<u64, SpoolError> {
        let mut inner = self.lock();
        let base = self.log.info(self.events)?.start;
        let epoch = now.0.max(inner.state.epoch + 1);
        let state = State { epoch, base, ..inner.state.clone() };
        self.log.append(Batch::configure(self.state, state.options())).wait()?;
        inner.state = state;
        Ok(epoch)
    }

    /// Whether it has to be opened again before it takes anything: a disk failed to sync.
    pub fn is_broken(&self) -> bool {
        self.log.fault().is_some()
    }

    /// Events that the audit log could not take, the newest at the end. Blocks.
    pub fn aside(&self) -> Result<Vec<Vec<u8>>, SpoolError> {
        let start = self.log.info(self.aside)?.start;
        let chunk = self.log.read(self.aside, start, 2 * ASIDE_BYTES_MAX as usize)?;
        Ok(chunk.records().map(|(_, event)| event.to_vec()).collect())
    }

    /// Bytes that may be kept now. Once it was full, nothing is before an eighth of it is free again: the
    /// gap is then one, and not as many as there are deliveries.
    fn room(&self, inner: &Inner) -> u64 {
        let max = self.bytes_max.load(Relaxed);
        match inner.state.full_since {
            Some(_) if inner.used > max - max / 8 => 0,
            _ => max.saturating_sub(inner.used),
        }
    }

    fn append(&self, events: &[&[u8]], state: Option<&State>) -> Result<(), AppendError> {
        let configured = state.map(|state| Batch::configure(self.state, state.options()));
        let appended = (!events.is_empty()).then(|| {
            let mut append = Append::to(self.events);
            events.iter().for_each(|event| append.push(event));
            Batch::from(append)
        });
        let batch = match (configured, appended) {
            (Some(configured), Some(appended)) => configured.and(appended),
            (Some(batch), None) | (None, Some(batch)) => batch,
            (None, None) => return Ok(()),
        };
        self.log.append(batch).wait().map(drop)
    }

    fn publish(&self, inner: &Inner) {
        let fill = Fill {
            events: inner.costs.len() as u64,
            bytes: inner.used,
            bytes_max: 0,
            is_full: inner.state.full_since.is_some(),
        };
        *self.fill.lock().unwrap_or_else(PoisonError::into_inner) = fill;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is made after what can fail.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("fill", &self.fill()).finish_non_exhaustive()
    }
}

impl Inner {
    fn count(&mut self, event: &[u8]) {
        let cost = cost(event);
        self.costs.push_back(u32::try_from(cost).unwrap_or(u32::MAX));
        self.used += cost;
    }

    fn forget(&mut self, events: u64) {
        let events = usize::try_from(events).unwrap_or(usize::MAX).min(self.costs.len());
        let gone: u64 = self.costs.drain(..events).map(u64::from).sum();
        self.used -= gone;
    }

    fn lose(&mut self, loss: Loss) {
        self.loss = Some(match self.loss.take() {
            Some(before) => before.and(loss),
            None => loss,
        });
    }
}

/// Makes all streams in one step.
fn create(log: &Log, now: Timestamp) -> Result<(StreamId, StreamId, StreamId), AppendError> {
    let [events, state, aside] = [(); 3].map(|()| log.new_stream());
    let few = Retention { age_ms_max: None, bytes_max: Some(ASIDE_BYTES_MAX) };
    let few = StreamOptions { retention: few, ..StreamOptions::default() };
    let begun = State { epoch: now.0, base: 0, full_since: None };
    let batch = Batch::create(events, EVENTS, StreamOptions::default())
        .and(Batch::create(state, STATE, begun.options()))
        .and(Batch::create(aside, ASIDE, few));
    log.append(batch).wait()?;
    Ok((events, state, aside))
}

fn costs(log: &Log, events: StreamId) -> Result<VecDeque<u32>, ReadError> {
    let mut costs = VecDeque::new();
    let mut next = log.info(events)?.start;
    loop {
        let chunk = log.read(events, next, SCAN_BYTES)?;
        if chunk.next == next {
            return Ok(costs);
        }
        next = chunk.next;
        let sizes = chunk.records().map(|(_, event)| cost(&event));
        costs.extend(sizes.map(|size| u32::try_from(size).unwrap_or(u32::MAX)));
    }
}

fn cost(event: &[u8]) -> u64 {
    event.len() as u64 + EVENT_OVERHEAD
}

/// How many of the first events fit.
fn fitting(events: &[Vec<u8>], room: u64) -> usize {
    let mut left = room;
    let fits = |event: &&Vec<u8>| {
        let rest = left.checked_sub(cost(event));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    events.iter().take_while(fits).count()
}

/// An event as the spool takes it: nothing is longer than what the audit log reads.
pub fn written(event: &Event) -> Option<Vec<u8>> {
    let bytes = event.to_wire();
    (bytes.len() <= EVENT_BYTES_MAX).then_some(bytes)
}
