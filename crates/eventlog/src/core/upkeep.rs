//! Indexes, catalogues, retention, and giving space back: what is done beside appends.
//!
//! Whatever the disk refuses here is tried again the next time; nothing of it is needed for what was
//! acknowledged to be safe.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::{Arc, atomic::Ordering},
};

use super::Core;
use crate::{
    Batch, ReadError, Retention, Slice, StreamId, StreamOptions,
    batch::Step,
    catalogue::{Catalogue, Listed, catalogue_name},
    disk::{put_file, put_file_durably},
    format::{ENTRY_HEADER, FRAME_HEADER, segment_name},
    index::{Extents, Index, add, index_name},
    locked, read_locked,
    stream::{Extent, Piece, Run, Stream},
};

/// Streams whose retention is looked after in one turn.
const RETAINED_MAX: usize = 4096;

/// Bytes that compaction moves in one turn.
const MOVED_MAX: usize = 1 << 20;

/// What of the log is wanted, and where it lies.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Sealed segments without an index, and who wrote to them.
    sealed: VecDeque<Sealed>,
    /// Who wrote to the active segment.
    touched: Vec<Arc<Stream>>,
    /// About how much of each indexed segment is wanted.
    live: BTreeMap<u64, u64>,
    /// Streams that give up records by themselves.
    pub retained: BTreeSet<StreamId>,
    /// Where the next turn of retention begins.
    retained_next: Option<StreamId>,
    /// Catalogues on the disk, oldest first.
    catalogues: VecDeque<Kept>,
    /// When the newest of them was written.
    catalogue_ms: u64,
}

#[derive(Debug)]
struct Sealed {
    base: u64,
    end: u64,
    touched: Vec<Arc<Stream>>,
}

/// A catalogue on the disk.
#[derive(Debug, Clone, Copy)]
struct Kept {
    lsn: u64,
    indexed: u64,
    bytes: u64,
}

impl Space {
    /// Remembers who wrote to the active segment for the first time.
    pub(super) fn touch(&mut self, first: bool, stream: Arc<Stream>) {
        if first {
            self.touched.push(stream);
        }
    }

    pub(super) fn seal(&mut self, base: u64, end: u64) {
        let touched = std::mem::take(&mut self.touched);
        self.sealed.push_back(Sealed { base, end, touched });
    }

    pub(super) fn retain(&mut self, stream: StreamId, options: &StreamOptions) {
        if options.retention == Retention::default() {
            self.retained.remove(&stream);
        } else {
            self.retained.insert(stream);
        }
    }

    pub(super) fn want(&mut self, runs: &[Run]) {
        for run in runs {
            *self.live.entry(run.base).or_default() += run.bytes;
        }
    }

    pub(super) fn give_up(&mut self, runs: &[Run]) {
        for run in runs {
            let live = self.live.entry(run.base).or_default();
            *live = live.saturating_sub(run.bytes);
        }
    }

    /// Knows of an indexed segment, however little of it is wanted.
    pub(super) fn know(&mut self, base: u64) {
        self.live.entry(base).or_default();
    }

    /// Knows of a catalogue that opening began with, or found behind it.
    pub(super) fn keep(&mut self, lsn: u64, indexed: u64, bytes: u64) {
        self.catalogues.push_back(Kept { lsn, indexed, bytes });
    }

    /// Up to where segments may go: neither catalogue needs them.
    fn horizon(&self) -> u64 {
        match self.catalogues.front() {
            Some(oldest) if self.catalogues.len() > 1 => oldest.indexed,
            _ => 0,
        }
    }
}

impl Core {
    /// Does what is due. The group has to be empty.
    pub(crate) fn upkeep(&mut self, now_ms: u64) {
        if self.writable().is_err() {
            return;
        }
        self.observe(now_ms);
        self.index_sealed();
        self.prove();
        self.expire();
        self.shrink();
        self.commit();
        if self.catalogue_due() {
            self.list_streams();
        }
        self.compact();
        self.commit();
        self.delete_dead();
    }

    /// Says that the last group is durable, where nothing else said so since.
    pub(crate) fn prove(&mut self) {
        if self.unproven && self.make_room(FRAME_HEADER).is_ok() {
            self.stage_proof();
        }
    }

    /// Writes the index of each segment that was sealed, and takes its extents out of memory.
    fn index_sealed(&mut self) {
        while let Some(Sealed { base, end, touched }) = self.space.sealed.pop_front() {
            let index =
                Arc::new(Index::encode(&self.shared.id, base, end, &gather(&touched, base, end)));
            let disk = self.shared.disk.as_ref();
            if put_file(disk, &index_name(base), index.bytes()).is_err() {
                self.space.sealed.push_front(Sealed { base, end, touched });
                return;
            }
            self.shared.keep_index(base, &index);
            self.space.know(base);
            for stream in &touched {
                let runs = stream.lock().index(base, end);
                self.space.want(&runs);
            }
        }
    }

    /// Gives up what streams do not keep any longer.
    fn expire(&mut self) {
        let from = self.space.retained_next.take().unwrap_or(StreamId(0));
        let due: Vec<StreamId> =
            self.space.retained.range(from..).take(RETAINED_MAX + 1).copied().collect();
        self.space.retained_next = due.get(RETAINED_MAX).copied();
        for id in due.into_iter().take(RETAINED_MAX) {
            let Some(staged) = self.streams.get(&id) else { continue };
            // Where an index cannot be read, everything stays.
            if let Ok(start) = self.retained_from(&staged.stream) {
                self.trim(id, start);
            }
        }
    }

    /// The first sequence that a stream keeps, which at least keeps what was written last.
    fn retained_from(&self, stream: &Stream) -> Result<u64, ReadError> {
        let (retention, start, pieces) = {
            let published = stream.lock();
            let pieces: Vec<Piece> =
                published.pieces(published.start).map(|(_, piece)| piece).collect();
            (published.options.retention, published.start, pieces)
        };
        let oldest_ms =
            retention.age_ms_max.map_or(0, |age| self.clock.surely_ms().saturating_sub(age));
        let mut room = retention.bytes_max.unwrap_or(u64::MAX);
        let mut keep = pieces.last().map_or(start, Piece::end);
        // From the newest to the oldest, and into the one where the bound lies.
        for (newer, piece) in pieces.iter().rev().enumerate() {
            if piece.bytes() <= room && piece.is_since(oldest_ms) {
                room -= piece.bytes();
                keep = piece.first();
                continue;
            }
            let extents = self.extents_of(stream.id, piece)?;
            let mut kept = newer > 0;
            for extent in extents.iter().rev() {
                if kept && (u64::from(extent.length) > room || extent.time_ms < oldest_ms) {
                    break;
                }
                room = room.saturating_sub(u64::from(extent.length));
                kept = true;
                keep = extent.first;
            }
            break;
        }
        Ok(keep.max(start))
    }

    fn extents_of(&self, stream: StreamId, piece: &Piece) -> Result<Vec<Extent>, ReadError> {
        let run = match piece {
            Piece::Extent(extent) => return Ok(vec![*extent]),
            Piece::Run(run) => run,
        };
        let index = self.shared.index(run.base)?;
        let extents = index.extents(stream.get(), run.first);
        Ok(extents.take_while(|extent| extent.first < run.end).collect())
    }

    /// Gives up the oldest segment where the log is larger than it may be.
    fn shrink(&mut self) {
        let max = self.settings().log_bytes_max;
        let segments = read_locked(&self.shared.segments).len() as u64;
        if max == 0 || segments * self.settings().segment_bytes <= max {
            return;
        }
        let Some((base, _)) = self.space.live.iter().find(|(_, live)| **live > 0) else { return };
        let base = *base;
        let Ok(index) = self.shared.index(base) else { return };
        for id in index.streams().map(StreamId) {
            let Some(staged) = self.streams.get(&id) else { continue };
            let end = staged
                .stream
                .lock()
                .runs
                .iter()
                .filter(|run| run.base == base)
                .map(|run| run.end)
                .max();
            self.trim(id, end.unwrap_or(0));
        }
    }

    fn trim(&mut self, stream: StreamId, start: u64) {
        let batch = Batch::from(Step::Trim { stream, start });
        if self.staged(stream).is_ok_and(|staged| start > staged.start)
            && self.make_room(FRAME_HEADER + ENTRY_HEADER).is_ok()
        {
            self.stage(&batch, &[]);
        }
    }

    fn catalogue_due(&self) -> bool {
        let end = self.active.base + self.active.written;
        let Some(newest) = self.space.catalogues.back() else {
            return end > self.settings().segment_bytes;
        };
        let due = self.settings().segment_bytes.max(4 * newest.bytes);
        let waited = self.clock.seen_ms().abs_diff(self.space.catalogue_ms);
        let waits =
            end > newest.lsn && waited > 10 * self.settings().upkeep_ms && self.dead_waits();
        end - newest.lsn >= due || waits
    }

    /// Whether a segment that nobody wants only waits for catalogues. While files are pinned it waits for that: older
    /// catalogues stay too, so that another brings nothing.
    fn dead_waits(&self) -> bool {
        let (pinned, horizon) = (*locked(&self.shared.pins) > 0, self.space.horizon());
        !pinned && self.space.live.iter().any(|(base, live)| *live == 0 && *base >= horizon)
    }

    /// Writes a catalogue of all streams as they are.
    fn list_streams(&mut self) {
        let (clock, idle_ms_max) = (self.clock, self.settings().producer_idle_ms_max);
        let oldest_ms = clock.surely_ms().saturating_sub(idle_ms_max);
        let streams = self.streams.values_mut();
        streams.for_each(|staged| staged.producers.expire(oldest_ms, clock.stamp_ms()));
        let catalogue = self.catalogue();
        let bytes = catalogue.encode(&self.shared.id);
        let disk = self.shared.disk.as_ref();
        if put_file_durably(disk, &catalogue_name(catalogue.lsn), &bytes).is_err() {
            return;
        }
        self.space.keep(catalogue.lsn, catalogue.indexed, bytes.len() as u64);
        self.space.catalogue_ms = self.clock.seen_ms();
        let pins = locked(&self.shared.pins);
        while *pins == 0
            && self.space.catalogues.len() > 2
            && let Some(oldest) = self.space.catalogues.pop_front()
        {
            // One that stays is older than two others, and never asked.
            let _ = self.shared.disk.remove(&catalogue_name(oldest.lsn));
        }
    }

    fn catalogue(&self) -> Catalogue {
        let indexed = self.space.sealed.front().map_or(self.active.base, |sealed| sealed.base);
        let mut streams: Vec<Listed> = self
            .streams
            .iter()
            .map(|(id, staged)| {
                let producers = staged.producers.iter();
                listed(
                    *id,
                    &staged.stream,
                    producers.map(|(id, last)| (id.clone(), *last)).collect(),
                )
            })
            .collect();
        streams.sort_unstable_by_key(|stream| stream.id);
        Catalogue {
            lsn: self.active.base + self.active.written,
            indexed,
            time_ms: self.clock.believed_ms(),
            next_stream: self.shared.next_stream.load(Ordering::Relaxed),
            segments: read_locked(&self.shared.segments).clone().into_iter().collect(),
            streams,
        }
    }

    /// Moves what is left of a segment that is mostly unwanted to the end of the log.
    fn compact(&mut self) {
        let percent = self.settings().compact_below_percent;
        let horizon = self.space.horizon();
        let segments = read_locked(&self.shared.segments).clone();
        let sparse = self.space.live.range(..horizon).find(|(base, live)| {
            let end = segments.get(base).copied().unwrap_or(**base);
            **live > 0 && end <= horizon && **live * 100 < (end - **base) * percent
        });
        if let Some(base) = sparse.map(|(base, _)| *base) {
            // What cannot be read stays where it is, and its readers are told.
            let _ = self.empty(base);
        }
    }

    fn empty(&mut self, base: u64) -> Result<(), ReadError> {
        let mut room = MOVED_MAX;
        for id in self.shared.index(base)?.streams().map(StreamId) {
            let Some(staged) = self.streams.get(&id) else { continue };
            let stream = Arc::clone(&staged.stream);
            let runs: Vec<Run> =
                stream.lock().runs.iter().filter(|run| run.base == base).copied().collect();
            for run in runs {
                if !self.move_run(&stream, run, &mut room)? {
                    return Ok(());
                }
            }
        }
        self.space.live.insert(base, 0);
        Ok(())
    }

    /// Moves a run, and returns whether there was room for all of it.
    fn move_run(
        &mut self,
        stream: &Arc<Stream>,
        run: Run,
        room: &mut usize,
    ) -> Result<bool, ReadError> {
        let mut next = run.first.max(stream.lock().start);
        while next < run.end {
            let chunk = self.shared.read(stream.id, next, 64 << 10)?;
            for slice in chunk.slices.iter().take_while(|slice| slice.first < run.end) {
                let length = moved_length(slice);
                if *room < length || self.make_room(length).is_err() {
                    return Ok(false);
                }
                *room -= length;
                self.stage_move(Arc::clone(stream), slice);
            }
            next = chunk.next;
        }
        Ok(true)
    }

    /// Deletes segments of which nothing is wanted, and that no catalogue needs.
    fn delete_dead(&mut self) {
        let shared = Arc::clone(&self.shared);
        let pins = locked(&shared.pins);
        if *pins > 0 {
            return;
        }
        let horizon = self.space.horizon();
        let segments = read_locked(&self.shared.segments).clone();
        let dead = self.space.live.iter().filter(|(base, live)| {
            **live == 0 && segments.get(base).is_some_and(|end| *end <= horizon)
        });
        for base in dead.map(|(base, _)| *base).collect::<Vec<_>>() {
            if !self.is_unwanted(base) {
                // `live` is only about right: compaction has to look again.
                self.space.live.insert(base, 1);
            } else if self.delete_segment(base).is_err() {
                return;
            }
        }
    }

    /// Whether really nothing of a segment is wanted.
    fn is_unwanted(&self, base: u64) -> bool {
        let Ok(index) = self.shared.index(base) else { return false };
        let mut streams = index.streams().filter_map(|id| self.streams.get(&StreamId(id)));
        !streams.any(|staged| staged.stream.lock().runs.iter().any(|run| run.base == base))
    }

    fn delete_segment(&mut self, base: u64) -> io::Result<()> {
        // First: a reader who finds the file gone then knows why.
        self.shared.deletions.fetch_add(1, Ordering::AcqRel);
        self.shared.disk.remove(&segment_name(base))?;
        self.space.live.remove(&base);
        self.shared.forget(base);
        self.shared.disk.remove(&index_name(base))
    }
}

/// The extents of a segment by stream, as its index has them.
fn gather(touched: &[Arc<Stream>], base: u64, end: u64) -> Extents {
    let mut extents = Extents::new();
    for stream in touched {
        let published = stream.lock();
        let inside = published.extents.iter().filter(|extent| (base..end).contains(&extent.lsn));
        let merged = extents.entry(stream.id.get()).or_default();
        inside.for_each(|extent| add(merged, *extent));
    }
    extents.retain(|_, extents| !extents.is_empty());
    extents
}

fn listed(
    id: StreamId,
    stream: &Stream,
    producers: Vec<(bytes::Bytes, crate::producers::Last)>,
) -> Listed {
    let published = stream.lock();
    Listed {
        id: id.get(),
        name: stream.name.to_string(),
        options: published.options.clone(),
        start: published.start,
        tail: published.tail,
        time_ms: published.time_ms,
        closed: published.closed,
        runs: published.runs.clone(),
        producers,
    }
}

fn moved_length(slice: &Slice) -> usize {
    let payload = 8 + 4 + slice.metadata.len() + slice.records.len();
    (FRAME_HEADER + ENTRY_HEADER + payload).next_multiple_of(8)
}
