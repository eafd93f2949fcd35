//! What readers see of one stream: only what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use crate::{
    StreamId, StreamInfo, StreamOptions,
    format::{Appended, Entry, Frame},
    locked,
};

/// Frames of one stream that follow each other are one extent up to this length.
const EXTENT_BYTES_MAX: u32 = 64 << 10;

/// Records of a stream that lie together in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Sequence of the first record.
    pub first: u64,
    /// Sequence behind the last.
    pub end: u64,
    /// Where the first frame begins.
    pub lsn: u64,
    /// Length of all frames.
    pub length: u32,
    /// When the last record was written.
    pub time_ms: u64,
}

/// Records of a stream in a sealed segment whose index knows where exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Sequence of the first record.
    pub first: u64,
    /// Sequence behind the last.
    pub end: u64,
    /// Where the segment begins.
    pub base: u64,
    /// Length of all frames.
    pub bytes: u64,
    /// When the last record was written.
    pub time_ms: u64,
}

impl Run {
    /// The part between two sequences, with its share of the bytes.
    fn part(&self, first: u64, end: u64) -> Self {
        let (first, end) = (self.first.max(first), self.end.min(end));
        let share = u128::from(end.saturating_sub(first)) * u128::from(self.bytes);
        let bytes = share / u128::from((self.end - self.first).max(1));
        Self { first, end, bytes: u64::try_from(bytes).unwrap_or(self.bytes), ..*self }
    }
}

/// A step on the way through a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Extent(Extent),
    Run(Run),
}

impl Piece {
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Extent(extent) => extent.end,
            Self::Run(run) => run.end,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Extent(extent) => u64::from(extent.length),
            Self::Run(run) => run.bytes,
        }
    }

    pub(crate) fn first(&self) -> u64 {
        match self {
            Self::Extent(extent) => extent.first,
            Self::Run(run) => run.first,
        }
    }

    /// Whether all of it was surely written since.
    pub(crate) fn is_since(&self, oldest_ms: u64) -> bool {
        match self {
            Self::Extent(extent) => extent.time_ms >= oldest_ms,
            Self::Run(_) => oldest_ms == 0,
        }
    }
}

impl Extent {
    /// Where an append lies.
    pub(crate) fn of(frame: &Frame, entry: &Entry) -> Option<Self> {
        let appended = Appended::decode(entry)?;
        let first = entry.header.first;
        Some(Self {
            first,
            end: first.checked_add(u64::from(entry.header.count))?,
            lsn: frame.header.lsn,
            length: u32::try_from(frame.header.extent()).ok()?,
            time_ms: appended.moved_ms.unwrap_or(frame.header.time_ms),
        })
    }

    /// Takes in a neighbour that follows both in the stream and on disk.
    pub(crate) fn absorb(&mut self, next: &Self) -> bool {
        let follows = self.end == next.first && self.lsn + u64::from(self.length) == next.lsn;
        if !follows || self.length + next.length > EXTENT_BYTES_MAX {
            return false;
        }
        self.end = next.end;
        self.length += next.length;
        self.time_ms = next.time_ms;
        true
    }
}

/// A stream as readers see it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub id: StreamId,
    pub name: Arc<str>,
    published: Mutex<Published>,
}

/// The part that changes.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// First sequence that is kept.
    pub start: u64,
    /// Next sequence.
    pub tail: u64,
    pub closed: bool,
    pub deleted: bool,
    pub options: StreamOptions,
    /// When the newest record was written.
    pub time_ms: u64,
    /// What lies in sealed segments, by sequence.
    pub runs: Vec<Run>,
    /// What lies in segments that have no index yet, by sequence. Together with the runs, there is no
    /// gap between `start` and `tail`.
    pub extents: Vec<Extent>,
    /// The last segment that this stream wrote to.
    pub touched: Option<u64>,
    /// Who waits for a change, by a number of their own.
    pub waiting: BTreeMap<u64, Waker>,
}

impl Stream {
    pub(crate) fn new(id: StreamId, name: Arc<str>, options: StreamOptions) -> Self {
        let published = Published { options, ..Published::default() };
        Self { id, name, published: Mutex::new(published) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Published> {
        locked(&self.published)
    }

    pub(crate) fn info(&self) -> StreamInfo {
        let published = self.lock();
        StreamInfo {
            id: self.id,
            name: Arc::clone(&self.name),
            start: published.start,
            tail: published.tail,
            closed: published.closed,
            time_ms: published.time_ms,
            options: published.options.clone(),
        }
    }

    /// Applies a change and wakes whoever waits for one.
    pub(crate) fn publish<T>(&self, change: impl FnOnce(&mut Published) -> T) -> T {
        let (outcome, waiting) = {
            let mut published = self.lock();
            (change(&mut published), std::mem::take(&mut published.waiting))
        };
        waiting.into_values().for_each(Waker::wake);
        outcome
    }
}

impl Published {
    /// Adds records of a group that begins at `group`. Extents of different groups stay apart, so that
    /// a follower finds what is new without what was there before.
    pub(crate) fn append(&mut self, extent: Extent, group: u64) {
        self.tail = extent.end;
        self.time_ms = extent.time_ms;
        let last = self.extents.last_mut().filter(|last| last.lsn >= group);
        let absorbed = last.is_some_and(|last| last.absorb(&extent));
        if !absorbed && extent.first < extent.end {
            if self.extents.is_empty() {
                // Many streams get little, and there may be a million of them.
                self.extents.reserve_exact(1);
            }
            self.extents.push(extent);
        }
    }

    /// Adds records that were written again elsewhere, and returns the runs that they replace.
    pub(crate) fn place(&mut self, extent: Extent) -> Vec<Run> {
        if extent.end <= self.start {
            return Vec::new();
        }
        let at = self.extents.partition_point(|known| known.first < extent.first);
        self.extents.insert(at, extent);
        self.displace(extent.first, extent.end)
    }

    /// Takes sequences out of the runs, and returns the runs of which nothing is left.
    fn displace(&mut self, first: u64, end: u64) -> Vec<Run> {
        let at = self.runs.partition_point(|run| run.end <= first);
        if self.runs.get(at).is_none_or(|run| run.first >= end) {
            return Vec::new();
        }
        let mut gone = Vec::new();
        let mut kept = Vec::with_capacity(self.runs.len() + 1);
        for run in self.runs.drain(..) {
            let parts = [run.part(run.first, first), run.part(end, run.end)];
            let left = parts.into_iter().filter(|part| part.first < part.end);
            let length = kept.len();
            kept.extend(left);
            if kept.len() == length {
                gone.push(run);
            }
        }
        self.runs = kept;
        gone
    }

    /// Gives up records, and returns the runs of which nothing is left.
    pub(crate) fn trim(&mut self, start: u64) -> Vec<Run> {
        self.start = self.start.max(start);
        let dead = self.extents.partition_point(|extent| extent.end <= self.start);
        self.extents.drain(..dead);
        let dead = self.runs.partition_point(|run| run.end <= self.start);
        self.runs.drain(..dead).collect()
    }

    /// Gives up everything, and returns all runs.
    pub(crate) fn delete(&mut self) -> Vec<Run> {
        self.deleted = true;
        self.extents = Vec::new();
        std::mem::take(&mut self.runs)
    }

    /// Turns the extents that lie in a segment, which has an index now, into runs, and returns those.
    pub(crate) fn index(&mut self, base: u64, end: u64) -> Vec<Run> {
        let sealed = |extent: &Extent| (base..end).contains(&extent.lsn);
        let mut runs: Vec<Run> = Vec::new();
        for extent in self.extents.iter().filter(|extent| sealed(extent)) {
            let Extent { first, end, length, time_ms, .. } = *extent;
            match runs.last_mut().filter(|last| last.end == first) {
                Some(run) => {
                    run.end = end;
                    run.bytes += u64::from(length);
                    run.time_ms = run.time_ms.max(time_ms);
                }
                None => runs.push(Run { first, end, base, bytes: u64::from(length), time_ms }),
            }
        }
        self.extents.retain(|extent| !sealed(extent));
        self.runs.extend(&runs);
        self.runs.sort_unstable_by_key(|run| run.first);
        runs
    }

    /// What holds a sequence.
    pub(crate) fn piece(&self, sequence: u64) -> Option<Piece> {
        let at = self.extents.partition_point(|extent| extent.end <= sequence);
        let extent = self.extents.get(at).filter(|extent| extent.first <= sequence);
        let run = || {
            let at = self.runs.partition_point(|run| run.end <= sequence);
            self.runs.get(at).filter(|run| run.first <= sequence)
        };
        extent.map(|extent| Piece::Extent(*extent)).or_else(|| run().map(|run| Piece::Run(*run)))
    }

    /// All pieces from a sequence on, each with where it begins to count; ends where there is a gap.
    pub(crate) fn pieces(&self, from: u64) -> impl Iterator<Item = (u64, Piece)> {
        let mut next = from;
        // The extent behind the last one, which mostly follows it: then nothing is looked for.
        let mut at = self.extents.partition_point(|extent| extent.end <= from);
        std::iter::from_fn(move || {
            let piece = match self.extents.get(at).filter(|extent| extent.first == next) {
                Some(extent) => Piece::Extent(*extent),
                None => self.piece(next)?,
            };
            at = match piece {
                Piece::Extent(_) => at + 1,
                Piece::Run(run) => self.extents.partition_point(|extent| extent.end <= run.end),
            };
            let from = std::mem::replace(&mut next, piece.end());
            Some((from, piece))
        })
    }

    /// The pieces that hold `from` and what follows, until they are `bytes` long together.
    pub(crate) fn plan(&self, from: u64, bytes: usize) -> Vec<(u64, Piece)> {
        let mut room = bytes as u64;
        let pieces = self.pieces(from).take_while(|(_, piece)| {
            let wanted = room > 0;
            room = room.saturating_sub(piece.bytes());
            wanted
        });
        pieces.collect()
    }
}
