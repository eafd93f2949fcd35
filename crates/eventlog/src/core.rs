//! The one writer: judges batches, gathers them into a group, writes and syncs it, and publishes it.
//!
//! It owns no thread and no clock. What it decides is staged first and becomes visible only when the
//! disk has it.

mod clock;
mod judge;
mod recover;
mod spare;
mod stage;
mod upkeep;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
};

use bytes::{Bytes, BytesMut};

use clock::Clock;
pub(crate) use spare::Spare;
pub(crate) use upkeep::Space;

use crate::{
    AppendError, Batch, Committed, OpenError, Settings, StreamId, StreamOptions,
    disk::{Disk, File},
    format::{SEGMENT_HEADER, SegmentHeader, segment_name},
    producers::{Last, Producers},
    read_locked,
    shared::Shared,
    stream::{Extent, Published, Stream},
    ticket::Reply,
    write_locked,
};

/// The writer of a log.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    streams: HashMap<StreamId, Staged>,
    names: HashMap<Arc<str>, StreamId>,
    active: Active,
    /// What the next segment is written to, if it was prepared.
    spare: Option<Spare>,
    /// Header checksum of the last frame that is staged.
    chain: u32,
    clock: Clock,
    group: Group,
    space: Space,
    /// Whether the last group holds something that no later frame says was durable.
    unproven: bool,
}

/// A stream as the next batch will find it.
#[derive(Debug)]
struct Staged {
    stream: Arc<Stream>,
    tail: u64,
    start: u64,
    closed: bool,
    producers: Producers,
}

/// The segment that is written to.
struct Active {
    base: u64,
    file: Arc<dyn File>,
    /// Where the group begins.
    written: u64,
}

/// Batches that are on their way to the disk together.
#[derive(Default)]
struct Group {
    bytes: BytesMut,
    effects: Vec<Effect>,
    undo: Vec<Undo>,
    answers: Vec<(Reply, Result<Committed, AppendError>)>,
    chain_before: u32,
}

/// What readers will see of a staged step.
enum Effect {
    Append { stream: Arc<Stream>, extent: Extent, close: bool },
    Create(Arc<Stream>),
    Delete(Arc<Stream>),
    Trim { stream: Arc<Stream>, start: u64 },
    Configure { stream: Arc<Stream>, options: StreamOptions },
    Move { stream: Arc<Stream>, extent: Extent },
}

/// How to take a staged step back.
enum Undo {
    Append { stream: StreamId, tail: u64, closed: bool },
    Produced { stream: StreamId, producer: Bytes, before: Option<Last> },
    Create(StreamId),
    Delete(Box<Staged>),
    Trim { stream: StreamId, start: u64 },
}

impl Core {
    /// Opens the log on a disk, or begins one on an empty disk.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        now_ms: u64,
    ) -> Result<Self, OpenError> {
        recover::open(disk, settings, now_ms)
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Takes a batch into the group, which is committed before where there is no room for it.
    pub(crate) fn submit(&mut self, batch: Batch, reply: Reply, now_ms: u64) {
        self.observe(now_ms);
        let outcome = self.accept(&batch);
        self.group.answers.push((reply, outcome));
    }

    /// Looks at the clock, and tells readers where it contradicts what is stored.
    fn observe(&mut self, now_ms: u64) {
        self.clock.observe(now_ms);
        self.shared.clock_behind_ms.store(self.clock.behind_ms(), Ordering::Relaxed);
    }

    fn accept(&mut self, batch: &Batch) -> Result<Committed, AppendError> {
        self.writable()?;
        let length = self.measure(batch)?;
        self.make_room(length)?;
        let fresh = self.judge(batch)?;
        Ok(self.stage(batch, &fresh))
    }

    pub(crate) fn writable(&self) -> Result<(), AppendError> {
        match read_locked(&self.shared.fault).as_ref() {
            Some(reason) => Err(AppendError::ReadOnly(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    /// Commits the group where `length` more bytes do not fit, and begins a segment where it is full.
    fn make_room(&mut self, length: usize) -> Result<(), AppendError> {
        let group = self.group.bytes.len() + length;
        let fits = self.active.written + group as u64 <= self.settings().segment_bytes;
        if fits && (group <= self.settings().group_bytes_max || self.group.bytes.is_empty()) {
            return Ok(());
        }
        self.commit();
        self.writable()?;
        if self.active.written + length as u64 <= self.settings().segment_bytes {
            return Ok(());
        }
        self.roll().map_err(|error| self.refused(&error, "a new segment"))
    }

    /// Writes the group, makes it durable, publishes it, and answers.
    pub(crate) fn commit(&mut self) {
        if let Err(error) = self.persist() {
            self.take_back();
            self.answer_failed(&error);
            return;
        }
        self.publish();
        for (reply, outcome) in self.group.answers.drain(..) {
            reply.send(outcome);
        }
    }

    fn persist(&mut self) -> Result<(), AppendError> {
        if self.group.bytes.is_empty() {
            return Ok(());
        }
        let Active { file, written, .. } = &self.active;
        let wrote = file.write_at(*written, &self.group.bytes);
        wrote.map_err(|error| self.unwritten(&error))?;
        // After a sync that failed, nobody knows what is on the disk, and asking again would not tell.
        self.active.file.sync_data().map_err(|error| self.fatal(&error, "a sync"))
    }

    /// The answer to a write that the disk refused, of which nothing is in the log then.
    fn unwritten(&self, refusal: &io::Error) -> AppendError {
        match self.refused(refusal, "a write") {
            AppendError::DiskFull => self.wipe().map_or_else(
                |error| self.fatal(&error, "wiping a refused write"),
                |()| AppendError::DiskFull,
            ),
            fault => fault,
        }
    }

    /// Wipes what a refused write left: a full disk takes a part of it, and the next opening would find the frames that
    /// are whole. What was not written is not touched: there may be no room for zeros either.
    fn wipe(&self) -> io::Result<()> {
        let Active { file, written, .. } = &self.active;
        // Some disks show what was written only when it is synced.
        file.sync_data()?;
        let mut left = vec![0; self.group.bytes.len()];
        let read = file.read_at(*written, &mut left)?;
        let Some(last) = left[..read].iter().rposition(|byte| *byte != 0) else { return Ok(()) };
        file.write_at(*written, &vec![0; last + 1])?;
        file.sync_data()
    }

    /// The answer to what the disk did not do: a full disk may have room again, all else is final.
    fn refused(&self, error: &io::Error, step: &str) -> AppendError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull,
            _ => self.fatal(error, step),
        }
    }

    fn fatal(&self, error: &io::Error, step: &str) -> AppendError {
        let file = segment_name(self.active.base);
        AppendError::ReadOnly(self.shared.fail(&format!("{step} at {file} failed: {error}")))
    }

    /// A refusal fails too: what it was judged by did not happen.
    fn answer_failed(&mut self, error: &AppendError) {
        for (reply, _) in self.group.answers.drain(..) {
            reply.send(Err(error.clone()));
        }
    }

    fn publish(&mut self) {
        let bytes = self.group.bytes.split().freeze();
        let begin = self.active.base + self.active.written;
        self.active.written += bytes.len() as u64;
        self.group.undo.clear();
        self.group.chain_before = self.chain;
        if !bytes.is_empty() {
            self.unproven = !self.group.effects.is_empty();
            let max = self.settings().cache_bytes_max;
            write_locked(&self.shared.cache).push(begin, bytes, max);
        }
        self.shared.durable.store(self.active.base + self.active.written, Ordering::Release);
        let mut effects = std::mem::take(&mut self.group.effects);
        effects.drain(..).for_each(|effect| self.publish_effect(effect, begin));
        self.group.effects = effects;
    }

    fn publish_effect(&mut self, effect: Effect, group: u64) {
        let base = self.active.base;
        match effect {
            Effect::Append { stream, extent, close } => {
                let first = stream.publish(|published| {
                    published.append(extent, group);
                    published.closed |= close;
                    published.touched.replace(base) != Some(base)
                });
                self.space.touch(first, stream);
            }
            Effect::Move { stream, extent } => {
                let (first, gone) = stream.publish(|published| {
                    let gone = published.place(extent);
                    (published.touched.replace(base) != Some(base), gone)
                });
                self.space.give_up(&gone);
                self.space.touch(first, stream);
            }
            Effect::Create(stream) => {
                self.space.retain(stream.id, &stream.lock().options);
                write_locked(&self.shared.directory).insert(stream);
            }
            Effect::Delete(stream) => {
                write_locked(&self.shared.directory).remove(stream.id);
                let gone = stream.publish(Published::delete);
                self.space.give_up(&gone);
                self.space.retained.remove(&stream.id);
            }
            Effect::Trim { stream, start } => {
                let gone = stream.publish(|published| published.trim(start));
                self.space.give_up(&gone);
            }
            Effect::Configure { stream, options } => {
                self.space.retain(stream.id, &options);
                stream.publish(|published| published.options = options);
            }
        }
    }

    /// Undoes what is staged, newest first.
    fn take_back(&mut self) {
        self.group.bytes.clear();
        self.group.effects.clear();
        self.chain = self.group.chain_before;
        while let Some(undo) = self.group.undo.pop() {
            self.undo(undo);
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Append { stream, tail, closed } => {
                if let Some(staged) = self.streams.get_mut(&stream) {
                    (staged.tail, staged.closed) = (tail, closed);
                }
            }
            Undo::Produced { stream, producer, before } => {
                if let Some(staged) = self.streams.get_mut(&stream) {
                    staged.producers.restore(&producer, before);
                }
            }
            Undo::Create(stream) => {
                if let Some(staged) = self.streams.remove(&stream) {
                    self.names.remove(&staged.stream.name);
                }
            }
            Undo::Delete(staged) => {
                self.names.insert(Arc::clone(&staged.stream.name), staged.stream.id);
                self.streams.insert(staged.stream.id, *staged);
            }
            Undo::Trim { stream, start } => {
                if let Some(staged) = self.streams.get_mut(&stream) {
                    staged.start = start;
                }
            }
        }
    }

    /// Seals the active segment, all of which is durable, and begins the next behind it.
    fn roll(&mut self) -> io::Result<()> {
        let base = self.active.base + self.active.written;
        let header = SegmentHeader {
            id: self.shared.id,
            base,
            created_ms: self.clock.stamp_ms(),
            chain: self.chain,
        };
        let disk = self.shared.disk.as_ref();
        let file = match self.spare.take() {
            Some(spare) => spare.begin(disk, &header)?,
            None => create_segment(disk, &header, self.settings())?,
        };
        self.shared.enter(base, &file, Some(self.active.base));
        self.space.seal(self.active.base, base);
        self.active = Active { base, file, written: SEGMENT_HEADER };
        Ok(())
    }
}

/// Creates a segment of which the name, the space and the header are durable.
fn create_segment(
    disk: &dyn Disk,
    header: &SegmentHeader,
    settings: &Settings,
) -> io::Result<Arc<dyn File>> {
    let name = segment_name(header.base);
    let file = disk.create(&name)?;
    let made = file
        .reserve(settings.segment_bytes)
        .and_then(|()| file.write_at(0, &header.encode()))
        .and_then(|()| file.sync_data())
        .and_then(|()| disk.sync_dir());
    match made {
        Ok(()) => Ok(file),
        Err(error) => {
            unmake(disk, &name)?;
            Err(error)
        }
    }
}

/// Removes a segment that did not come about. The log may go on in the one before: what is left of this one must not come
/// back after a crash and stand in its way.
fn unmake(disk: &dyn Disk, name: &str) -> io::Result<()> {
    disk.remove(name).and_then(|()| disk.sync_dir()).map_err(io::Error::other)
}
