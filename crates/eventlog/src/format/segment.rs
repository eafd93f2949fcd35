//! The start of a segment file.

use super::{Bites, LogId, checksum as sum};

/// Length of a segment's header; the first frame follows.
pub(crate) const SEGMENT_HEADER: u64 = 64;

const MAGIC: &[u8; 8] = b"SLVGLOG\n";
const VERSION: u32 = 1;
const CHECKSUM: usize = 12;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub id: LogId,
    /// Position of the header in the log: where the segment before ends.
    pub base: u64,
    pub created_ms: u64,
    /// Header checksum of the last frame before this segment.
    pub chain: u32,
}

/// Why bytes are not the header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSegment {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER as usize] {
        let mut bytes = [0; SEGMENT_HEADER as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.id);
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.chain.to_le_bytes());
        let checksum = sum(&self.id, &bytes, CHECKSUM);
        bytes[CHECKSUM..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header. A version that is not ours is only believed from a header that is whole.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoSegment> {
        Self::fields(bytes).unwrap_or(Err(NoSegment::Damaged))
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, NoSegment>> {
        let mut bites = Bites(bytes.get(..SEGMENT_HEADER as usize)?);
        let magic = bites.take(8)?;
        let version = bites.u32()?;
        let checksum = bites.u32()?;
        let header = Self {
            id: bites.array()?,
            base: bites.u64()?,
            created_ms: bites.u64()?,
            chain: bites.u32()?,
        };
        let whole = sum(&header.id, &bytes[..SEGMENT_HEADER as usize], CHECKSUM) == checksum;
        if magic != MAGIC || !whole {
            return None;
        }
        Some(if version == VERSION { Ok(header) } else { Err(NoSegment::Version(version)) })
    }
}

/// Ending of a segment's name.
pub(crate) const SEGMENT_SUFFIX: &str = ".segment";

/// The name of the segment that begins at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:016x}{SEGMENT_SUFFIX}")
}

/// The position that is the stem of a file's name.
pub(crate) fn base_of(name: &str, suffix: &str) -> Option<u64> {
    let stem = name.strip_suffix(suffix)?;
    let digits =
        stem.len() == 16 && stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(stem, 16).ok().filter(|_| digits)
}
