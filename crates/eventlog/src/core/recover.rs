//! Opening: what of the log is whole, and what a crash left of a write that nobody was told of.

use std::{
    io,
    ops::Range,
    sync::{Arc, RwLock, atomic::AtomicU64},
};

use super::{Active, Core, Group, Segments, Staged, create_segment};
use crate::{
    OpenError, Settings, StreamId,
    core::stage::owned,
    disk::{Disk, File, read_exact},
    error::opening,
    format::{
        Appended, Bites, Entries, Entry, FRAME_HEADER, FRAME_MAGIC, Frame, FrameHeader, Frames,
        Kind, LogId, NoSegment, SEGMENT_HEADER, SegmentHeader, base_of, flag, segment_name,
        take_options,
    },
    producers::Last,
    shared::{Segment, Shared},
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
    let bases = bases(disk.as_ref())?;
    let mut found = Vec::new();
    for (at, base) in bases.iter().enumerate() {
        found.extend(find(disk.as_ref(), *base, at + 1 == bases.len())?);
    }
    let mut core = match found.first() {
        Some(first) => Core::bare(disk, settings, first),
        None => return begin(disk, settings, now_ms),
    };
    core.replay(found)?;
    core.time_ms = core.time_ms.max(now_ms);
    core.group.chain_before = core.chain;
    Ok(core)
}

fn check(settings: &Settings) -> Result<(), OpenError> {
    if !(64 << 10..=1 << 31).contains(&settings.segment_bytes) {
        return Err(OpenError::Settings("a segment is between 64 KiB and 2 GiB"));
    }
    Ok(())
}

/// Where segments begin, in order.
fn bases(disk: &dyn Disk) -> Result<Vec<u64>, OpenError> {
    let names = disk.list().map_err(opening("listing the log's folder"))?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| base_of(name, ".segment")).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// A segment on the disk.
struct Found {
    header: SegmentHeader,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
}

/// Reads a segment. The last one may be the beginning of one that never held anything.
fn find(disk: &dyn Disk, base: u64, last: bool) -> Result<Option<Found>, OpenError> {
    let name = segment_name(base);
    let file = disk.open(&name).map_err(opening("opening a segment"))?;
    let bytes = read_all(file.as_ref()).map_err(opening("reading a segment"))?;
    match SegmentHeader::decode(&bytes) {
        Ok(header) if header.base == base => Ok(Some(Found { header, file, bytes })),
        Err(NoSegment::Version(version)) => Err(OpenError::Version { file: name, version }),
        Err(NoSegment::Damaged) if last && !bytes.windows(4).any(|four| four == FRAME_MAGIC) => {
            disk.remove(&name).map_err(opening("removing a segment that never began"))?;
            disk.sync_dir().map_err(opening("removing a segment that never began"))?;
            Ok(None)
        }
        _ => Err(damaged(base, 0, "this is not the header of the segment")),
    }
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    read_exact(file, 0, length)
}

/// Begins a log.
fn begin(disk: Arc<dyn Disk>, settings: Settings, now_ms: u64) -> Result<Core, OpenError> {
    let mut id: LogId = [0; 16];
    fastrand::fill(&mut id);
    let header = SegmentHeader { id, base: 0, created_ms: now_ms, chain: 0 };
    let file = create_segment(disk.as_ref(), &header, &settings);
    let file = file.map_err(opening("creating the first segment"))?;
    let mut core = Core::bare(disk, settings, &Found { header, file, bytes: Vec::new() });
    core.activate(0, SEGMENT_HEADER);
    core.time_ms = now_ms;
    Ok(core)
}

impl Core {
    /// A log that knows no more than its first segment's header.
    fn bare(disk: Arc<dyn Disk>, settings: Settings, first: &Found) -> Self {
        let SegmentHeader { id, base, chain, .. } = first.header;
        let segment = Segment { file: Arc::clone(&first.file) };
        let shared = Shared {
            settings,
            disk,
            id,
            directory: RwLock::default(),
            segments: RwLock::new(Segments::from([(base, segment)])),
            cache: RwLock::default(),
            durable: AtomicU64::new(base),
            next_stream: AtomicU64::new(1),
            fault: RwLock::default(),
        };
        Self {
            shared: Arc::new(shared),
            streams: Default::default(),
            names: Default::default(),
            active: Active { base, file: Arc::clone(&first.file), written: SEGMENT_HEADER },
            chain,
            time_ms: 0,
            group: Group { chain_before: chain, ..Group::default() },
        }
    }

    fn activate(&mut self, base: u64, written: u64) {
        self.active.base = base;
        self.active.written = written;
        self.shared.durable.store(base + written, std::sync::atomic::Ordering::Release);
    }

    fn replay(&mut self, found: Vec<Found>) -> Result<(), OpenError> {
        let count = found.len();
        let next: Vec<u64> = found.iter().skip(1).map(|found| found.header.base).collect();
        for (at, found) in found.into_iter().enumerate() {
            let base = found.header.base;
            if found.header.id != self.shared.id {
                return Err(damaged(base, 16, "the segment is of another log"));
            }
            if found.header.chain != self.chain {
                return Err(damaged(base, 48, "the segment does not follow the one before"));
            }
            let end = self.replay_segment(&found)?;
            match next.get(at) {
                Some(next) if base + end as u64 != *next => {
                    return Err(damaged(
                        base,
                        end as u64,
                        "a frame of a sealed segment is damaged",
                    ));
                }
                Some(_) => {}
                None => self.settle(&found, end)?,
            }
            let segment = Segment { file: Arc::clone(&found.file) };
            write_locked(&self.shared.segments).insert(base, segment);
            if at + 1 == count {
                self.active.file = found.file;
                self.activate(base, end as u64);
            }
        }
        Ok(())
    }

    /// Replays every whole frame that follows the one before, and returns where they end.
    fn replay_segment(&mut self, found: &Found) -> Result<usize, OpenError> {
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
            self.time_ms = self.time_ms.max(frame.header.time_ms);
            let replayed = self.replay_frame(&frame);
            replayed.ok_or_else(|| damaged(base, end as u64, "a frame contradicts the log"))?;
            end += frame.header.extent();
        }
        Ok(end)
    }

    fn replay_frame(&mut self, frame: &Frame) -> Option<()> {
        for entry in Entries::new(frame.body) {
            let entry = entry?;
            match entry.header.kind {
                Kind::Append => self.replay_append(frame, &entry)?,
                Kind::Create => self.replay_creation(&entry)?,
                Kind::Delete => self.replay_deletion(&entry)?,
                Kind::Trim => self.replay_trim(&entry)?,
                Kind::Configure => self.replay_options(&entry)?,
            }
        }
        Some(())
    }

    fn replay_append(&mut self, frame: &Frame, entry: &Entry) -> Option<()> {
        let max = self.shared.settings.producers_max;
        let appended = Appended::decode(entry)?;
        let staged = self.streams.get_mut(&StreamId(entry.header.stream))?;
        let FrameHeader { lsn, time_ms, .. } = frame.header;
        let first = entry.header.first;
        if first != staged.tail {
            return None;
        }
        staged.tail = first.checked_add(u64::from(entry.header.count))?;
        staged.closed |= entry.header.flags & flag::CLOSE != 0;
        if let Some(producer) = appended.producer {
            let last = Last { epoch: producer.epoch, sequence: producer.sequence, time_ms };
            staged.producers.remember(&owned(producer.id), last, max);
        }
        let length = u32::try_from(frame.header.extent()).ok()?;
        let extent = Extent { first, end: staged.tail, lsn, length, time_ms };
        let closed = staged.closed;
        let mut published = staged.stream.lock();
        published.append(extent, 0);
        published.closed = closed;
        Some(())
    }

    fn replay_creation(&mut self, entry: &Entry) -> Option<()> {
        let id = StreamId(entry.header.stream);
        let mut bites = Bites(entry.payload);
        let name = std::str::from_utf8(bites.counted()?).ok()?;
        let stream = Arc::new(Stream::new(id, name.into(), take_options(&mut bites)?));
        write_locked(&self.shared.directory).insert(Arc::clone(&stream));
        self.enter(stream);
        self.shared.next_stream.fetch_max(id.get() + 1, std::sync::atomic::Ordering::Relaxed);
        Some(())
    }

    fn replay_deletion(&mut self, entry: &Entry) -> Option<()> {
        let Staged { stream, .. } = self.streams.remove(&StreamId(entry.header.stream))?;
        self.names.remove(&stream.name);
        write_locked(&self.shared.directory).remove(stream.id);
        Some(())
    }

    fn replay_trim(&mut self, entry: &Entry) -> Option<()> {
        let staged = self.streams.get_mut(&StreamId(entry.header.stream))?;
        staged.start = staged.start.max(entry.header.first);
        staged.stream.lock().trim(entry.header.first);
        Some(())
    }

    fn replay_options(&mut self, entry: &Entry) -> Option<()> {
        let staged = self.streams.get(&StreamId(entry.header.stream))?;
        staged.stream.lock().options = take_options(&mut Bites(entry.payload))?;
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
