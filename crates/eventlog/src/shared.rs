//! What the committer and all readers share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    ReadError, Settings, StreamId,
    disk::{Disk, File},
    format::{LogId, segment_name},
    read_locked,
    stream::Stream,
    write_locked,
};

/// The state that is visible outside of the committer.
pub(crate) struct Shared {
    pub settings: Settings,
    pub disk: Arc<dyn Disk>,
    pub id: LogId,
    pub directory: RwLock<Directory>,
    pub segments: RwLock<BTreeMap<u64, Segment>>,
    pub cache: RwLock<TailCache>,
    /// Where the durable part of the log ends.
    pub durable: AtomicU64,
    pub next_stream: AtomicU64,
    /// Why the log takes no appends, if it does not.
    pub fault: RwLock<Option<Arc<str>>>,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub by_id: HashMap<StreamId, Arc<Stream>>,
    pub by_name: BTreeMap<Arc<str>, Arc<Stream>>,
}

impl Directory {
    pub(crate) fn insert(&mut self, stream: Arc<Stream>) {
        self.by_name.insert(Arc::clone(&stream.name), Arc::clone(&stream));
        self.by_id.insert(stream.id, stream);
    }

    pub(crate) fn remove(&mut self, id: StreamId) {
        if let Some(stream) = self.by_id.remove(&id) {
            self.by_name.remove(&stream.name);
        }
    }
}

/// A segment file.
#[derive(Clone)]
pub(crate) struct Segment {
    pub file: Arc<dyn File>,
}

impl Shared {
    pub(crate) fn stream(&self, id: StreamId) -> Result<Arc<Stream>, ReadError> {
        let directory = read_locked(&self.directory);
        directory.by_id.get(&id).cloned().ok_or(ReadError::NoStream(id))
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Reads bytes of the durable log, and says whether they come from memory.
    pub(crate) fn bytes(&self, lsn: u64, length: usize) -> Result<(Bytes, bool), ReadError> {
        if let Some(bytes) = read_locked(&self.cache).get(lsn, length) {
            return Ok((bytes, true));
        }
        let damaged = |base: u64| ReadError::Damaged {
            file: segment_name(base),
            offset: lsn.saturating_sub(base),
        };
        let (base, segment) = self.segment(lsn).ok_or_else(|| damaged(0))?;
        match crate::disk::read_exact(segment.file.as_ref(), lsn - base, length) {
            Ok(bytes) => Ok((bytes.into(), false)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(damaged(base)),
            Err(error) => {
                Err(ReadError::Disk { file: segment_name(base), source: Arc::new(error) })
            }
        }
    }

    /// The segment that holds a position, and where it begins.
    fn segment(&self, lsn: u64) -> Option<(u64, Segment)> {
        let segments = read_locked(&self.segments);
        let (base, segment) = segments.range(..=lsn).next_back()?;
        Some((*base, segment.clone()))
    }

    /// Where the segment begins that holds a position.
    pub(crate) fn base(&self, lsn: u64) -> u64 {
        self.segment(lsn).map_or(0, |(base, _)| base)
    }

    pub(crate) fn damaged(&self, lsn: u64) -> ReadError {
        let base = self.base(lsn);
        ReadError::Damaged { file: segment_name(base), offset: lsn - base }
    }

    /// Stops appends for good. The first reason stays.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        let mut fault = write_locked(&self.fault);
        Arc::clone(fault.get_or_insert_with(|| reason.into()))
    }
}

/// The newest groups of the log.
#[derive(Debug, Default)]
pub(crate) struct TailCache {
    groups: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

impl TailCache {
    /// Takes in a group that is durable, and lets the oldest go beyond `max` bytes.
    pub(crate) fn push(&mut self, lsn: u64, group: Bytes, max: usize) {
        self.bytes += group.len();
        self.groups.push_back((lsn, group));
        while self.bytes > max
            && let Some((_, group)) = self.groups.pop_front()
        {
            self.bytes -= group.len();
        }
    }

    /// The oldest position that is in memory, or a position that no frame has.
    pub(crate) fn floor(&self) -> u64 {
        self.groups.front().map_or(u64::MAX, |(begin, _)| *begin)
    }

    /// Bytes that lie in one group.
    pub(crate) fn get(&self, lsn: u64, length: usize) -> Option<Bytes> {
        let behind = self.groups.partition_point(|(begin, _)| *begin <= lsn);
        let (begin, group) = self.groups.get(behind.checked_sub(1)?)?;
        let from = usize::try_from(lsn - begin).ok()?;
        let end = from.checked_add(length)?;
        (end <= group.len()).then(|| group.slice(from..end))
    }
}
