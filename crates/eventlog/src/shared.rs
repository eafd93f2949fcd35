//! What the committer and all readers share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    ReadError, Settings, StreamId,
    disk::{Disk, File, put_file, read_exact},
    format::{LogId, SEGMENT_HEADER, segment_name},
    index::{Index, index_name, scan},
    locked, read_locked,
    recent::Recent,
    stream::Stream,
    write_locked,
};

/// The state that is visible outside of the committer.
pub(crate) struct Shared {
    pub settings: Settings,
    pub disk: Arc<dyn Disk>,
    pub id: LogId,
    pub directory: RwLock<Directory>,
    /// Where each segment begins and ends; the active one has no end.
    pub segments: RwLock<BTreeMap<u64, u64>>,
    pub files: Mutex<Recent<Arc<dyn File>>>,
    pub indexes: Mutex<Recent<Arc<Index>>>,
    pub cache: RwLock<TailCache>,
    /// Where the durable part of the log ends.
    pub durable: AtomicU64,
    /// Deletions of segments that were begun.
    pub deletions: AtomicU64,
    pub next_stream: AtomicU64,
    /// How many snapshots there are, for which everything stays.
    pub pins: Mutex<usize>,
    /// How far the clock is behind what the log believes; 0 where they agree.
    pub clock_behind_ms: AtomicU64,
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

impl Shared {
    pub(crate) fn stream(&self, id: StreamId) -> Result<Arc<Stream>, ReadError> {
        let directory = read_locked(&self.directory);
        directory.by_id.get(&id).cloned().ok_or(ReadError::NoStream(id))
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Bytes of the durable log, where memory has them.
    pub(crate) fn cached(&self, lsn: u64, length: usize) -> Option<Bytes> {
        read_locked(&self.cache).get(lsn, length)
    }

    /// Reads a part of a segment file.
    fn read_file(&self, base: u64, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let read = self.file(base).and_then(|file| read_exact(file.as_ref(), offset, length));
        read.map_err(|error| Self::unread(base, offset, error))
    }

    /// Why a segment file could not be read.
    pub(crate) fn unread(base: u64, offset: u64, error: io::Error) -> ReadError {
        let file = segment_name(base);
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damaged { file, offset },
            _ => ReadError::Disk { file, source: Arc::new(error) },
        }
    }

    pub(crate) fn file(&self, base: u64) -> io::Result<Arc<dyn File>> {
        if let Some(file) = locked(&self.files).get(base) {
            return Ok(file);
        }
        let file = self.disk.open(&segment_name(base))?;
        locked(&self.files).put(base, Arc::clone(&file), 1);
        Ok(file)
    }

    /// The index of a sealed segment, made again where it cannot be read.
    pub(crate) fn index(&self, base: u64) -> Result<Arc<Index>, ReadError> {
        if let Some(index) = locked(&self.indexes).get(base) {
            return Ok(index);
        }
        let end = read_locked(&self.segments).get(&base).copied();
        let end = end.filter(|end| *end != u64::MAX).ok_or_else(|| self.damaged(base))?;
        let index = match self.stored_index(base, end) {
            Some(index) => Arc::new(index),
            None => Arc::new(self.made_index(base, end)?),
        };
        self.keep_index(base, &index);
        Ok(index)
    }

    pub(crate) fn keep_index(&self, base: u64, index: &Arc<Index>) {
        locked(&self.indexes).put(base, Arc::clone(index), index.bytes().len());
    }

    fn stored_index(&self, base: u64, end: u64) -> Option<Index> {
        let file = self.disk.open(&index_name(base)).ok()?;
        let length = usize::try_from(file.length().ok()?).ok()?;
        let bytes = read_exact(file.as_ref(), 0, length).ok()?;
        Index::decode(&self.id, base, end, bytes)
    }

    fn made_index(&self, base: u64, end: u64) -> Result<Index, ReadError> {
        let length = usize::try_from(end - base).expect("a segment is at most 2 GiB");
        let bytes = self.read_file(base, 0, length)?;
        let extents = scan(&self.id, base, &bytes);
        let extents = extents.ok_or_else(|| ReadError::Damaged {
            file: segment_name(base),
            offset: SEGMENT_HEADER,
        })?;
        let index = Index::encode(&self.id, base, end, &extents);
        // Without the file, the index is made again the next time.
        let _ = put_file(self.disk.as_ref(), &index_name(base), index.bytes());
        Ok(index)
    }

    /// Where the segment begins and ends that holds a position.
    pub(crate) fn segment(&self, lsn: u64) -> Option<(u64, u64)> {
        let segments = read_locked(&self.segments);
        segments.range(..=lsn).next_back().map(|(base, end)| (*base, *end))
    }

    /// Where the segment begins that holds a position.
    pub(crate) fn base(&self, lsn: u64) -> u64 {
        self.segment(lsn).map_or(0, |(base, _)| base)
    }

    pub(crate) fn damaged(&self, lsn: u64) -> ReadError {
        let base = self.base(lsn);
        ReadError::Damaged { file: segment_name(base), offset: lsn - base }
    }

    /// Takes in the segment that is written to from now on, behind the one that ends where it begins.
    pub(crate) fn enter(&self, base: u64, file: &Arc<dyn File>, before: Option<u64>) {
        let mut segments = write_locked(&self.segments);
        segments.extend(before.map(|before| (before, base)));
        segments.insert(base, u64::MAX);
        locked(&self.files).put(base, Arc::clone(file), 1);
    }

    /// Forgets a segment that nobody needs.
    pub(crate) fn forget(&self, base: u64) {
        write_locked(&self.segments).remove(&base);
        locked(&self.files).remove(base);
        locked(&self.indexes).remove(base);
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
