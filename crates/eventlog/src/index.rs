//! Where the records of each stream lie in a sealed segment.
//!
//! An index says nothing that its segment does not say: a damaged or missing one is made again.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use crate::{
    disk::INDEX,
    format::{Bites, Entries, Frames, Kind, LogId, SEGMENT_HEADER, seal, unsealed},
    stream::Extent,
};

const MAGIC: &[u8; 8] = b"SLVGIDX\n";
const VERSION: u32 = 1;
const HEADER: usize = 56;
const STREAM: usize = 16;
const EXTENT: usize = 32;

/// The extents of one segment, by stream.
pub(crate) type Extents = BTreeMap<u64, Vec<Extent>>;

/// An index as it lies in memory.
#[derive(Debug)]
pub(crate) struct Index {
    bytes: Vec<u8>,
    base: u64,
    streams: usize,
}

/// The name of the index of the segment that begins at `base`.
pub(crate) fn index_name(base: u64) -> String {
    format!("{base:016x}{INDEX}")
}

impl Index {
    pub(crate) fn encode(id: &LogId, base: u64, end: u64, extents: &Extents) -> Self {
        let count: usize = extents.values().map(Vec::len).sum();
        let mut out = BytesMut::with_capacity(HEADER + extents.len() * STREAM + count * EXTENT);
        out.put_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(0);
        out.put_slice(id);
        out.put_u64_le(base);
        out.put_u64_le(end);
        out.put_u32_le(short(extents.len()));
        out.put_u32_le(short(count));
        let mut at = 0;
        for (stream, extents) in extents {
            out.put_u64_le(*stream);
            out.put_u32_le(short(at));
            out.put_u32_le(short(extents.len()));
            at += extents.len();
        }
        extents.values().flatten().for_each(|extent| put_extent(&mut out, base, extent));
        seal(id, &mut out);
        Self { bytes: out.into(), base, streams: extents.len() }
    }

    /// Reads the index of a segment, if it is whole and of this segment.
    pub(crate) fn decode(id: &LogId, base: u64, end: u64, bytes: Vec<u8>) -> Option<Self> {
        let mut bites = Bites(unsealed(id, MAGIC, VERSION, &bytes)?);
        let fits = bites.u64()? == base && bites.u64()? == end;
        let (streams, count) = (bites.u32()? as usize, bites.u32()? as usize);
        let whole = bytes.len() == HEADER + streams * STREAM + count * EXTENT;
        (fits && whole).then_some(Self { bytes, base, streams })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = u64> {
        (0..self.streams).map(|at| self.stream(at).0)
    }

    /// The extents of a stream that end behind `from`.
    pub(crate) fn extents(&self, stream: u64, from: u64) -> impl Iterator<Item = Extent> {
        let (mut low, mut high) = (0, self.streams);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.stream(middle).0 < stream { low = middle + 1 } else { high = middle }
        }
        let found = (low < self.streams).then(|| self.stream(low));
        let range = found.filter(|(id, _, _)| *id == stream);
        let (begin, count) = range.map_or((0, 0), |(_, begin, count)| (begin, count));
        let (mut low, mut high) = (begin, begin + count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.extent(middle).end <= from { low = middle + 1 } else { high = middle }
        }
        (low..begin + count).map(|at| self.extent(at))
    }

    fn stream(&self, at: usize) -> (u64, usize, usize) {
        let mut bites = Bites(&self.bytes[HEADER + at * STREAM..]);
        let fields = (bites.u64(), bites.u32(), bites.u32());
        let (Some(id), Some(begin), Some(count)) = fields else { return (u64::MAX, 0, 0) };
        (id, begin as usize, count as usize)
    }

    fn extent(&self, at: usize) -> Extent {
        let begin = HEADER + self.streams * STREAM + at * EXTENT;
        let mut bites = Bites(self.bytes.get(begin..).unwrap_or_default());
        take_extent(&mut bites, self.base).unwrap_or_default()
    }
}

/// Finds the extents of a segment in its frames. Returns `None` if one is not whole.
pub(crate) fn scan(id: &LogId, base: u64, segment: &[u8]) -> Option<Extents> {
    let at = SEGMENT_HEADER as usize;
    let mut frames = Frames { id, bytes: segment, lsn: base + SEGMENT_HEADER, at };
    let mut found = Extents::new();
    for frame in frames.by_ref() {
        for entry in Entries::new(frame.body) {
            let entry = entry?;
            if entry.header.kind == Kind::Append && entry.header.count > 0 {
                let extents = found.entry(entry.header.stream).or_default();
                add(extents, Extent::of(&frame, &entry)?);
            }
        }
    }
    found.values_mut().for_each(|extents| extents.sort_by_key(|extent| extent.first));
    (frames.at == segment.len()).then_some(found)
}

/// Adds an extent to those of its stream, or to the last of them.
pub(crate) fn add(extents: &mut Vec<Extent>, extent: Extent) {
    if !extents.last_mut().is_some_and(|last| last.absorb(&extent)) {
        extents.push(extent);
    }
}

fn short(number: usize) -> u32 {
    u32::try_from(number).expect("a segment is at most 2 GiB")
}

fn put_extent(out: &mut BytesMut, base: u64, extent: &Extent) {
    let Extent { first, end, lsn, length, time_ms } = *extent;
    out.put_u64_le(first);
    out.put_u64_le(end);
    out.put_u64_le(time_ms);
    out.put_u32_le(u32::try_from(lsn - base).expect("a segment is at most 2 GiB"));
    out.put_u32_le(length);
}

fn take_extent(bites: &mut Bites, base: u64) -> Option<Extent> {
    Some(Extent {
        first: bites.u64()?,
        end: bites.u64()?,
        time_ms: bites.u64()?,
        lsn: base + u64::from(bites.u32()?),
        length: bites.u32()?,
    })
}
