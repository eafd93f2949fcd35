//! What readers see of one stream: only what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use crate::{StreamId, StreamInfo, StreamOptions, locked};

/// Frames of one stream that follow each other are one extent up to this length.
const EXTENT_BYTES_MAX: u32 = 64 << 10;

/// Records of a stream that lie together in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Extent {
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
    /// By sequence, without gaps.
    pub extents: Vec<Extent>,
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
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Published)) {
        let waiting = {
            let mut published = self.lock();
            change(&mut published);
            std::mem::take(&mut published.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Published {
    /// Adds records of a group that begins at `group`. Extents of different groups stay apart, so that
    /// a follower finds what is new without what was there before.
    pub(crate) fn append(&mut self, extent: Extent, group: u64) {
        self.tail = extent.end;
        self.time_ms = self.time_ms.max(extent.time_ms);
        let last = self.extents.last_mut().filter(|last| last.lsn >= group);
        let absorbed = last.is_some_and(|last| last.absorb(&extent));
        if !absorbed && extent.first < extent.end {
            self.extents.push(extent);
        }
    }

    pub(crate) fn trim(&mut self, start: u64) {
        self.start = self.start.max(start);
        let dead = self.extents.partition_point(|extent| extent.end <= self.start);
        self.extents.drain(..dead);
    }

    /// The extents that hold `from` and what follows, until they are `bytes` long together.
    pub(crate) fn plan(&self, from: u64, bytes: usize) -> Vec<Extent> {
        let begin = self.extents.partition_point(|extent| extent.end <= from);
        let mut room = bytes;
        let mut plan = Vec::new();
        for extent in &self.extents[begin..] {
            if room == 0 {
                break;
            }
            room = room.saturating_sub(extent.length as usize);
            plan.push(*extent);
        }
        plan
    }
}
