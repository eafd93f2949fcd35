//! Opening: what of the log is whole, and what a crash left of a write that nobody was told of.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Active, Clock, Core, Group, Space, Staged, create_segment};
use crate::{
    OpenError, Settings, StreamId,
    catalogue::{self, Catalogue, Listed, catalogue_name},
    core::stage::owned,
    disk::{DRAFT, Disk, File, read_exact},
    error::opening,
    format::{
        Appended, Bites, Entries, Entry, FRAME_HEADER, FRAME_MAGIC, Frame, FrameHeader, Frames,
        Kind, LogId, NoSegment, Placement, SEGMENT_HEADER, SEGMENT_SUFFIX, SegmentHeader, base_of,
        flag, segment_name, take_options,
    },
    producers::Last,
    read_locked,
    recent::Recent,
    shared::Shared,
    stream::{Extent, Stream},
    write_locked,
};

/// Opens the log on a disk, or begins one on an empty disk.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    settings: Settings,
    now_ms: u64,
) -> Result<Core, OpenError> {
    check(&settings)?;
    let mut names = disk.list().map_err(opening("listing the log's folder"))?;
    names.retain(|name| !name.ends_with(DRAFT) || disk.remove(name).is_err());
    let mut bases = stems(&names, SEGMENT_SUFFIX);
    let known = stems(&names, catalogue::SUFFIX);
    drop_unborn(disk.as_ref(), &mut bases)?;
    let Some(first) = bases.first() else {
        return match known.last() {
            Some(lsn) => Err(missing(*lsn)),
            None => begin(disk, settings, now_ms),
        };
    };
    let Found { header, file, .. } = find(disk.as_ref(), *first)?;
    let mut core = Core::bare(disk, settings, header.id, file);
    core.clock = Clock::at(header.created_ms);
    let from = core.load_catalogue(&known, &mut bases)?;
    core.replay(from, &bases)?;
    core.unproven = true;
    core.observe(now_ms);
    core.group.chain_before = core.chain;
    Ok(core)
}

fn check(settings: &Settings) -> Result<(), OpenError> {
    if !(64 << 10..=1 << 31).contains(&settings.segment_bytes) {
        return Err(OpenError::Settings("a segment is between 64 KiB and 2 GiB"));
    }
    Ok(())
}

/// Positions that files of a kind are named by, in order.
fn stems(names: &[String], suffix: &str) -> Vec<u64> {
    let mut stems: Vec<u64> = names.iter().filter_map(|name| base_of(name, suffix)).collect();
    stems.sort_unstable();
    stems
}

/// A segment on the disk.
struct Found {
    header: SegmentHeader,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
}

/// Removes a last segment that never held anything: its header is not whole, and no frame follows.
fn drop_unborn(disk: &dyn Disk, bases: &mut Vec<u64>) -> Result<(), OpenError> {
    let step = opening("removing a segment that never began");
    let Some(base) = bases.last() else { return Ok(()) };
    let name = segment_name(*base);
    let bytes = disk.open(&name).and_then(|file| read_all(file.as_ref())).map_err(&step)?;
    let unborn = SegmentHeader::decode(&bytes) == Err(NoSegment::Damaged)
        && !bytes.windows(4).any(|four| four == FRAME_MAGIC);
    if unborn {
        disk.remove(&name).and_then(|()| disk.sync_dir()).map_err(&step)?;
        bases.pop();
    }
    Ok(())
}

/// Reads a segment.
fn find(disk: &dyn Disk, base: u64) -> Result<Found, OpenError> {
    let name = segment_name(base);
    let file = disk.open(&name).map_err(opening("opening a segment"))?;
    let bytes = read_all(file.as_ref()).map_err(opening("reading a segment"))?;
    match SegmentHeader::decode(&bytes) {
        Ok(header) if header.base == base => Ok(Found { header, file, bytes }),
        Err(NoSegment::Version(version)) => Err(OpenError::Version { file: name, version }),
        _ => Err(damaged(base, 0, "this is not the header of the segment")),
    }
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    read_exact(file, 0, length)
}

fn missing(lsn: u64) -> OpenError {
    damaged(lsn, 0, "the segment is missing, and a catalogue says that it was there")
}

/// Begins a log.
fn begin(disk: Arc<dyn Disk>, settings: Settings, now_ms: u64) -> Result<Core, OpenError> {
    let mut id: LogId = [0; 16];
    fastrand::fill(&mut id);
    let header = SegmentHeader { id, base: 0, created_ms: now_ms, chain: 0 };
    let file = create_segment(disk.as_ref(), &header, &settings);
    let file = file.map_err(opening("creating the first segment"))?;
    let mut core = Core::bare(disk, settings, id, Arc::clone(&file));
    core.activate(0, file, SEGMENT_HEADER);
    core.observe(now_ms);
    Ok(core)
}

impl Core {
    /// A log that knows no more than its id and some segment.
    fn bare(disk: Arc<dyn Disk>, settings: Settings, id: LogId, file: Arc<dyn File>) -> Self {
        let shared = Shared {
            disk,
            id,
            directory: RwLock::default(),
            segments: RwLock::default(),
            files: Mutex::new(Recent::new(settings.open_segments_max)),
            indexes: Mutex::new(Recent::new(settings.index_cache_bytes_max)),
            cache: RwLock::default(),
            durable: AtomicU64::new(0),
            deletions: AtomicU64::new(0),
            next_stream: AtomicU64::new(1),
            pins: Mutex::default(),
            clock_behind_ms: AtomicU64::new(0),
            fault: RwLock::default(),
            settings,
        };
        Self {
            shared: Arc::new(shared),
            streams: Default::default(),
            names: Default::default(),
            active: Active { base: 0, file, written: 0 },
            spare: None,
            chain: 0,
            clock: Clock::default(),
            group: Group::default(),
            space: Space::default(),
            unproven: false,
        }
    }

    fn activate(&mut self, base: u64, file: Arc<dyn File>, written: u64) {
        self.shared.enter(base, &file, None);
        self.active = Active { base, file, written };
        self.shared.durable.store(base + written, Ordering::Release);
    }

    /// Takes over the newest catalogue that is whole, and returns where to replay from. Segments that
    /// were deleted before it was written are removed once more: their names came back.
    fn load_catalogue(
        &mut self,
        known: &[u64],
        bases: &mut Vec<u64>,
    ) -> Result<Position, OpenError> {
        let mut whole = Vec::new();
        for lsn in known {
            let found = self.read_catalogue(*lsn)?;
            if let Some((catalogue, bytes)) = found {
                self.space.keep(*lsn, catalogue.indexed, bytes);
                whole.push(catalogue);
            }
        }
        let Some(catalogue) = whole.pop() else {
            return match bases.first() {
                Some(0) => Ok(Position { base: 0, lsn: 0 }),
                Some(base) => {
                    Err(damaged(*base, 0, "the log begins here, and no catalogue is whole"))
                }
                None => Ok(Position { base: 0, lsn: 0 }),
            };
        };
        for base in bases.extract_if(.., |base| {
            *base < catalogue.lsn && !catalogue.segments.iter().any(|(known, _)| known == base)
        }) {
            let removed = self.shared.disk.remove(&segment_name(base));
            removed.map_err(opening("removing a segment that was deleted before"))?;
        }
        let position = Position { base: catalogue.indexed, lsn: catalogue.lsn };
        let indexed = catalogue.segments.iter().filter(|(base, _)| *base < position.base);
        for (base, end) in indexed.filter(|(base, _)| bases.binary_search(base).is_ok()) {
            write_locked(&self.shared.segments).insert(*base, *end);
            self.space.know(*base);
        }
        self.adopt(catalogue);
        Ok(position)
    }

    fn read_catalogue(&self, lsn: u64) -> Result<Option<(Catalogue, u64)>, OpenError> {
        let file = self.shared.disk.open(&catalogue_name(lsn));
        let bytes = file.and_then(|file| read_all(file.as_ref()));
        let bytes = bytes.map_err(opening("reading a catalogue"))?;
        let catalogue = Catalogue::decode(&self.shared.id, &bytes);
        Ok(catalogue.filter(|found| found.lsn == lsn).map(|found| (found, bytes.len() as u64)))
    }

    fn adopt(&mut self, catalogue: Catalogue) {
        let Catalogue { lsn: _, indexed: _, time_ms, next_stream, segments: _, streams } =
            catalogue;
        self.clock = Clock::at(time_ms);
        self.shared.next_stream.store(next_stream, Ordering::Relaxed);
        for listed in streams {
            self.adopt_stream(listed);
        }
    }

    fn adopt_stream(&mut self, listed: Listed) {
        let Listed { id, name, options, start, tail, time_ms, closed, runs, producers } = listed;
        let id = StreamId(id);
        self.space.retain(id, &options);
        self.space.want(&runs);
        let stream = Arc::new(Stream::new(id, name.into(), options));
        {
            let mut published = stream.lock();
            (published.start, published.tail, published.closed) = (start, tail, closed);
            (published.time_ms, published.runs) = (time_ms, runs);
        }
        write_locked(&self.shared.directory).insert(Arc::clone(&stream));
        self.enter(stream);
        let staged = self.streams.get_mut(&id).expect("it was entered");
        (staged.tail, staged.start, staged.closed) = (tail, start, closed);
        for (id, last) in producers {
            staged.producers.remember(&id, last, usize::MAX);
        }
    }

    /// Replays segments from a position on.
    fn replay(&mut self, from: Position, bases: &[u64]) -> Result<(), OpenError> {
        let replayed: Vec<u64> = bases.iter().copied().filter(|base| *base >= from.base).collect();
        if replayed.first() != Some(&from.base) {
            return Err(missing(from.base));
        }
        for (at, base) in replayed.iter().enumerate() {
            let found = find(self.shared.disk.as_ref(), *base)?;
            if at == 0 {
                self.chain = found.header.chain;
            }
            self.follows(&found)?;
            let end = self.replay_segment(&found, from.lsn)?;
            match replayed.get(at + 1) {
                Some(next) => self.seal_replayed(*base, end, *next)?,
                None => self.end_replay(found, end)?,
            }
        }
        if self.active.base + self.active.written < from.lsn {
            return Err(missing(from.lsn));
        }
        self.check_streams()
    }

    fn follows(&self, found: &Found) -> Result<(), OpenError> {
        let base = found.header.base;
        if found.header.id != self.shared.id {
            return Err(damaged(base, 16, "the segment is of another log"));
        }
        if found.header.chain != self.chain {
            return Err(damaged(base, 48, "the segment does not follow the one before"));
        }
        Ok(())
    }

    fn seal_replayed(&mut self, base: u64, end: usize, next: u64) -> Result<(), OpenError> {
        if base + end as u64 != next {
            return Err(damaged(base, end as u64, "a frame of a sealed segment is damaged"));
        }
        write_locked(&self.shared.segments).insert(base, next);
        self.space.seal(base, next);
        Ok(())
    }

    fn end_replay(&mut self, found: Found, end: usize) -> Result<(), OpenError> {
        self.settle(&found, end)?;
        self.activate(found.header.base, found.file, end as u64);
        Ok(())
    }

    /// Demands that every record that is kept is somewhere.
    fn check_streams(&self) -> Result<(), OpenError> {
        let segments = read_locked(&self.shared.segments);
        for staged in self.streams.values() {
            let published = staged.stream.lock();
            let lost = published.runs.iter().find(|run| !segments.contains_key(&run.base));
            if let Some(run) = lost {
                return Err(damaged(run.base, 0, "the segment is missing, and records lie in it"));
            }
            let end = published.pieces(published.start).last().map(|(_, piece)| piece.end());
            if end.unwrap_or(published.start) != published.tail {
                let base = self.active.base;
                return Err(damaged(base, 0, "records are missing that the catalogue names"));
            }
        }
        Ok(())
    }

    /// Replays every whole frame that follows the one before, and returns where they end. Of frames
    /// before `lsn`, everything is known but where records lie.
    fn replay_segment(&mut self, found: &Found, lsn: u64) -> Result<usize, OpenError> {
        let base = found.header.base;
        let begin = SEGMENT_HEADER as usize;
        let id = self.shared.id;
        let frames = Frames { id: &id, bytes: &found.bytes, lsn: base + SEGMENT_HEADER, at: begin };
        let mut end = begin;
        for frame in frames {
            if frame.header.chain != self.chain {
                break;
            }
            self.chain = frame.checksum;
            let replayed = if frame.header.lsn < lsn {
                self.locate_frame(base, &frame)
            } else {
                self.clock.replay(frame.header.time_ms);
                self.replay_frame(base, &frame)
            };
            replayed.ok_or_else(|| damaged(base, end as u64, "a frame contradicts the log"))?;
            end += frame.header.extent();
        }
        Ok(end)
    }

    fn locate_frame(&mut self, base: u64, frame: &Frame) -> Option<()> {
        for entry in Entries::new(frame.body) {
            let entry = entry?;
            if entry.header.kind == Kind::Append && entry.header.count > 0 {
                let extent = Extent::of(frame, &entry)?;
                self.locate(base, entry.header.stream, extent);
            }
        }
        Some(())
    }

    /// Remembers where records lie, if their stream is still there.
    fn locate(&mut self, base: u64, stream: u64, extent: Extent) {
        let Some(staged) = self.streams.get(&StreamId(stream)) else { return };
        let stream = Arc::clone(&staged.stream);
        let (first, gone) = {
            let mut published = stream.lock();
            let gone = published.place(extent);
            (published.touched.replace(base) != Some(base), gone)
        };
        self.space.give_up(&gone);
        self.space.touch(first, stream);
    }

    fn replay_frame(&mut self, base: u64, frame: &Frame) -> Option<()> {
        for entry in Entries::new(frame.body) {
            let entry = entry?;
            match entry.header.kind {
                Kind::Append => self.replay_append(base, frame, &entry)?,
                Kind::Create => self.replay_creation(&entry)?,
                Kind::Delete => self.replay_deletion(&entry)?,
                Kind::Trim => self.replay_trim(&entry)?,
                Kind::Configure => self.replay_options(&entry)?,
            }
        }
        Some(())
    }

    fn replay_append(&mut self, base: u64, frame: &Frame, entry: &Entry) -> Option<()> {
        let max = self.shared.settings.producers_max;
        let appended = Appended::decode(entry)?;
        let extent = Extent::of(frame, entry)?;
        let staged = self.streams.get_mut(&StreamId(entry.header.stream))?;
        if appended.moved_ms.is_none() {
            if extent.first != staged.tail {
                return None;
            }
            staged.tail = extent.end;
            staged.closed |= entry.header.flags & flag::CLOSE != 0;
            if let Some(Placement { epoch, sequence, id }) = appended.producer {
                let last = Last { epoch, sequence, time_ms: frame.header.time_ms };
                staged.producers.remember(&owned(id), last, max);
            }
            let mut published = staged.stream.lock();
            (published.tail, published.closed) = (staged.tail, staged.closed);
            published.time_ms = extent.time_ms;
        }
        if extent.first < extent.end {
            self.locate(base, entry.header.stream, extent);
        }
        Some(())
    }

    fn replay_creation(&mut self, entry: &Entry) -> Option<()> {
        let id = StreamId(entry.header.stream);
        let next = id.get().checked_add(1)?;
        let mut bites = Bites(entry.payload);
        let name = std::str::from_utf8(bites.counted()?).ok()?;
        let stream = Arc::new(Stream::new(id, name.into(), take_options(&mut bites)?));
        self.space.retain(id, &stream.lock().options);
        write_locked(&self.shared.directory).insert(Arc::clone(&stream));
        self.enter(stream);
        self.shared.next_stream.fetch_max(next, Ordering::Relaxed);
        Some(())
    }

    fn replay_deletion(&mut self, entry: &Entry) -> Option<()> {
        let Staged { stream, .. } = self.streams.remove(&StreamId(entry.header.stream))?;
        self.names.remove(&stream.name);
        write_locked(&self.shared.directory).remove(stream.id);
        self.space.retained.remove(&stream.id);
        self.space.give_up(&stream.lock().delete());
        Some(())
    }

    fn replay_trim(&mut self, entry: &Entry) -> Option<()> {
        let staged = self.streams.get_mut(&StreamId(entry.header.stream))?;
        staged.start = staged.start.max(entry.header.first);
        let gone = staged.stream.lock().trim(entry.header.first);
        self.space.give_up(&gone);
        Some(())
    }

    fn replay_options(&mut self, entry: &Entry) -> Option<()> {
        let staged = self.streams.get(&StreamId(entry.header.stream))?;
        let options = take_options(&mut Bites(entry.payload))?;
        self.space.retain(staged.stream.id, &options);
        staged.stream.lock().options = options;
        Some(())
    }

    /// Makes the end of the log as if nothing had ever been written behind it.
    ///
    /// What is whole was perhaps never synced: it lies in the memory of the machine, or a sync of it
    /// failed. It is written again, because only bytes that were changed are synced.
    fn settle(&self, found: &Found, end: usize) -> Result<(), OpenError> {
        let base = found.header.base;
        if let Some(proof) = proof(&self.shared.id, found, end) {
            return Err(damaged(base, end as u64, proof));
        }
        let step = opening("settling the end of the log");
        let file = found.file.as_ref();
        file.write_at(0, &found.bytes[..end]).map_err(&step)?;
        for dirty in dirty(&found.bytes, end) {
            file.write_at(dirty.start as u64, &vec![0; dirty.len()]).map_err(&step)?;
        }
        if (found.bytes.len() as u64) < self.shared.settings.segment_bytes {
            file.reserve(self.shared.settings.segment_bytes).map_err(&step)?;
        }
        file.sync_data().map_err(&step)?;
        self.shared.disk.sync_dir().map_err(&step)
    }
}

/// Where a replay begins: from `base` on, of which only what lies from `lsn` on changes anything.
#[derive(Debug, Clone, Copy)]
struct Position {
    base: u64,
    lsn: u64,
}

/// Why what is damaged at `end` was acknowledged: a later frame was written when it was durable.
fn proof(id: &LogId, found: &Found, end: usize) -> Option<&'static str> {
    let base = found.header.base;
    let bytes = &found.bytes;
    let witness = (end..bytes.len().saturating_sub(FRAME_HEADER)).step_by(8).any(|at| {
        bytes[at..].starts_with(&FRAME_MAGIC)
            && FrameHeader::decode(id, &bytes[at..]).is_some_and(|(frame, _)| {
                frame.lsn == base + at as u64 && frame.durable > base + end as u64
            })
    });
    witness.then_some("the record was durable, as a later one says")
}

/// Blocks behind `end` that are not all zeros.
fn dirty(bytes: &[u8], end: usize) -> Vec<Range<usize>> {
    const BLOCK: usize = 4096;
    let blocks = (end..bytes.len()).step_by(BLOCK);
    let blocks = blocks.map(|at| at..bytes.len().min(at + BLOCK));
    blocks.filter(|block| bytes[block.clone()].iter().any(|byte| *byte != 0)).collect()
}

fn damaged(base: u64, offset: u64, what: &'static str) -> OpenError {
    OpenError::Damaged { file: segment_name(base), offset, what }
}
