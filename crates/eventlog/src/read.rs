//! Reading a stream from a sequence on.

mod gather;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use gather::Gather;

use crate::{
    Lsn, ReadError, StreamId,
    format::{Appended, Bites, Entries, Frames, Kind},
    read_locked,
    shared::Shared,
    stream::{Extent, Piece, Published, Stream},
};

/// How often a read begins again because what it wanted was moved meanwhile.
const MOVES_MAX: usize = 3;

/// Records of one stream, in their order.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The batches they came in.
    pub slices: Vec<Slice>,
    /// Where to read on.
    pub next: u64,
    /// First sequence that is kept.
    pub start: u64,
    /// The stream's next sequence when it was read.
    pub tail: u64,
    /// Whether the stream is closed: nothing comes behind `tail`.
    pub closed: bool,
}

impl Chunk {
    /// Every record with its sequence.
    pub fn records(&self) -> impl Iterator<Item = (u64, Bytes)> {
        self.slices.iter().flat_map(Slice::records)
    }

    /// Whether nothing more comes: the stream is closed and this chunk reaches its end.
    pub fn is_last(&self) -> bool {
        self.closed && self.next >= self.tail
    }
}

/// Records that were appended together. Its bytes are shared with everybody who reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Sequence of the first record.
    pub first: u64,
    /// How many there are.
    pub count: u32,
    /// When they were appended, in milliseconds since 1970.
    pub time_ms: u64,
    /// Where their frame begins. Compaction may move it later.
    pub lsn: Lsn,
    /// Metadata of the append.
    pub metadata: Bytes,
    pub(crate) records: Bytes,
}

impl Slice {
    /// Every record with its sequence.
    pub fn records(&self) -> impl Iterator<Item = (u64, Bytes)> {
        let mut at = 0;
        (0..u64::from(self.count)).map_while(move |index| {
            let mut bites = Bites(self.records.get(at..)?);
            let length = bites.counted()?.len();
            let begin = at + 4;
            at = begin + length;
            Some((self.first + index, self.records.slice(begin..at)))
        })
    }

    /// Leaves out records before `from`.
    fn skip_to(&mut self, from: u64) {
        while self.first < from && self.count > 0 {
            let mut bites = Bites(&self.records);
            let length = bites.counted().map_or(self.records.len(), |record| 4 + record.len());
            self.records = self.records.slice(length..);
            self.first += 1;
            self.count -= 1;
        }
    }
}

impl Shared {
    /// Reads from `from` on, up to about `bytes` of the log, and at least one batch if there is one.
    pub(crate) fn read(&self, id: StreamId, from: u64, bytes: usize) -> Result<Chunk, ReadError> {
        let stream = self.stream(id)?;
        for _ in 0..MOVES_MAX {
            let deletions = self.deletions.load(Ordering::Acquire);
            match self.try_read(&stream, from, bytes) {
                // Compaction moved what was in the segment between finding out and reading.
                Err(ReadError::Disk { .. } | ReadError::Damaged { .. })
                    if self.deletions.load(Ordering::Acquire) != deletions => {}
                result => return result,
            }
        }
        self.try_read(&stream, from, bytes)
    }

    /// Reads without the disk: `None` where memory does not have the records that come next.
    pub(crate) fn read_cached(
        &self,
        id: StreamId,
        from: u64,
        bytes: usize,
    ) -> Result<Option<Chunk>, ReadError> {
        let stream = self.stream(id)?;
        let (mut chunk, plan) = plan(&stream, from, bytes.max(1))?;
        for (_, piece) in plan {
            let Piece::Extent(extent) = piece else { break };
            let Some(bytes) = self.cached(extent.lsn, extent.length as usize) else { break };
            self.slices(id, &extent, &bytes, &mut chunk)?;
        }
        Ok((chunk.next > from || from == chunk.tail).then_some(chunk))
    }

    fn try_read(&self, stream: &Stream, from: u64, bytes: usize) -> Result<Chunk, ReadError> {
        let (mut chunk, plan) = plan(stream, from, bytes.max(1))?;
        let extents = self.resolve(stream.id, plan, bytes.max(1))?;
        let floor = read_locked(&self.cache).floor();
        let mut gather = Gather::new(self);
        for together in extents.chunk_by(|one, next| one.lsn < floor && next.lsn < floor) {
            self.collect(stream.id, together, &mut gather, &mut chunk)?;
        }
        match extents.first() {
            Some(extent) if chunk.next == from => Err(self.damaged(extent.lsn)),
            None if from < chunk.tail => Err(self.damaged(self.durable())),
            _ => Ok(chunk),
        }
    }

    /// Looks up in indexes where the records of runs lie.
    fn resolve(
        &self,
        id: StreamId,
        plan: Vec<(u64, Piece)>,
        bytes: usize,
    ) -> Result<Vec<Extent>, ReadError> {
        let mut room = bytes as u64;
        let mut extents = Vec::with_capacity(plan.len());
        for (from, piece) in plan {
            let run = match piece {
                Piece::Extent(extent) => {
                    extents.push(extent);
                    continue;
                }
                Piece::Run(run) => run,
            };
            let index = self.index(run.base)?;
            for extent in index.extents(id.get(), from) {
                if extent.first >= run.end || room == 0 {
                    break;
                }
                room = room.saturating_sub(u64::from(extent.length));
                extents.push(extent);
            }
            if room == 0 {
                break;
            }
        }
        Ok(extents)
    }

    /// Adds what extents hold of a stream: one that memory has, or any number that it does not have.
    fn collect(
        &self,
        id: StreamId,
        extents: &[Extent],
        gather: &mut Gather,
        chunk: &mut Chunk,
    ) -> Result<(), ReadError> {
        let cached = match extents {
            [one] => self.cached(one.lsn, one.length as usize),
            _ => None,
        };
        let bytes = cached.map_or_else(|| gather.read(extents), Ok)?;
        let mut at = 0;
        for extent in extents {
            let end = at + extent.length as usize;
            self.slices(id, extent, &bytes.slice(at..end), chunk)?;
            at = end;
        }
        Ok(())
    }

    fn slices(
        &self,
        id: StreamId,
        extent: &Extent,
        bytes: &Bytes,
        chunk: &mut Chunk,
    ) -> Result<(), ReadError> {
        let mut frames = Frames { id: &self.id, bytes, lsn: extent.lsn, at: 0 };
        for frame in frames.by_ref() {
            for entry in Entries::new(frame.body) {
                let entry = entry.ok_or_else(|| self.damaged(frame.header.lsn))?;
                if entry.header.stream != id.get() || entry.header.kind != Kind::Append {
                    continue;
                }
                let appended = Appended::decode(&entry);
                let appended = appended.ok_or_else(|| self.damaged(frame.header.lsn))?;
                let payload = frame.body_at + entry.payload_at;
                let records = payload + appended.records_at;
                let mut slice = Slice {
                    first: entry.header.first,
                    count: entry.header.count,
                    time_ms: appended.moved_ms.unwrap_or(frame.header.time_ms),
                    lsn: Lsn(frame.header.lsn),
                    metadata: bytes.slice(records - appended.metadata.len()..records),
                    records: bytes.slice(records..payload + entry.payload.len()),
                };
                slice.skip_to(chunk.next);
                if slice.count > 0 && slice.first == chunk.next {
                    chunk.next = slice.first + u64::from(slice.count);
                    chunk.slices.push(slice);
                }
            }
        }
        if frames.at == bytes.len() { Ok(()) } else { Err(self.damaged(frames.lsn)) }
    }
}

/// What is to be read, by what the stream says at this moment.
fn plan(stream: &Stream, from: u64, bytes: usize) -> Result<(Chunk, Vec<(u64, Piece)>), ReadError> {
    let published = stream.lock();
    let Published { start, tail, closed, deleted, .. } = *published;
    if deleted {
        return Err(ReadError::NoStream(stream.id));
    }
    if from < start {
        return Err(ReadError::Trimmed { start });
    }
    if from > tail {
        return Err(ReadError::BeyondTail { tail });
    }
    let chunk = Chunk { slices: Vec::new(), next: from, start, tail, closed };
    Ok((chunk, published.plan(from, bytes)))
}
