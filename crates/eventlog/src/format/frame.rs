//! A frame: one batch that is in the log as a whole or not at all.

use super::{Bites, LogId};

/// Length of a frame's header; its entries follow.
pub(crate) const FRAME_HEADER: usize = 48;

/// First bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = *b"SLF1";

const CHECKSUM: usize = 4;

/// What stands before the entries of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Position of this header in the log.
    pub lsn: u64,
    /// Everything before this position was durable when the frame was written.
    pub durable: u64,
    pub time_ms: u64,
    /// Length of the entries, without what pads them to eight bytes.
    pub length: u32,
    pub body_checksum: u32,
    /// Checksum of the header before this one.
    pub chain: u32,
    pub entries: u16,
}

impl FrameHeader {
    /// Writes the header, and returns its checksum: the next frame's `chain`.
    pub(crate) fn encode(&self, id: &LogId, out: &mut [u8]) -> u32 {
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].fill(0);
        out[8..16].copy_from_slice(&self.lsn.to_le_bytes());
        out[16..24].copy_from_slice(&self.durable.to_le_bytes());
        out[24..32].copy_from_slice(&self.time_ms.to_le_bytes());
        out[32..36].copy_from_slice(&self.length.to_le_bytes());
        out[36..40].copy_from_slice(&self.body_checksum.to_le_bytes());
        out[40..44].copy_from_slice(&self.chain.to_le_bytes());
        out[44..46].copy_from_slice(&self.entries.to_le_bytes());
        out[46..48].fill(0);
        let checksum = sum(id, &out[..FRAME_HEADER]);
        out[CHECKSUM..8].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    /// Reads a header and its checksum, if it is whole and of this log.
    pub(crate) fn decode(id: &LogId, bytes: &[u8]) -> Option<(Self, u32)> {
        let header = bytes.get(..FRAME_HEADER)?;
        let mut bites = Bites(header);
        let magic = bites.array()?;
        let checksum = bites.u32()?;
        let frame = Self {
            lsn: bites.u64()?,
            durable: bites.u64()?,
            time_ms: bites.u64()?,
            length: bites.u32()?,
            body_checksum: bites.u32()?,
            chain: bites.u32()?,
            entries: bites.u16()?,
        };
        (magic == MAGIC && sum(id, header) == checksum).then_some((frame, checksum))
    }

    /// Length on disk: header, entries, padding.
    pub(crate) fn extent(&self) -> usize {
        padded(FRAME_HEADER + self.length as usize)
    }
}

/// The checksum of a header, in which its own place counts as zero, in one run over both: there is one for each
/// frame that is written or read.
fn sum(id: &LogId, header: &[u8]) -> u32 {
    let mut text = [0; size_of::<LogId>() + FRAME_HEADER];
    let (front, back) = text.split_at_mut(size_of::<LogId>());
    front.copy_from_slice(id);
    back.copy_from_slice(header);
    back[CHECKSUM..8].fill(0);
    crc32c::crc32c(&text)
}

/// Rounds up to where the next frame may begin.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// The frames in bytes that begin with one; ends at the first that is not whole.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    pub id: &'a LogId,
    pub bytes: &'a [u8],
    /// Position in the log of `bytes[at]`.
    pub lsn: u64,
    pub at: usize,
}

/// A whole frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub header: FrameHeader,
    /// Checksum of the header.
    pub checksum: u32,
    pub body: &'a [u8],
    /// Where the body begins in the bytes that were given.
    pub body_at: usize,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let bytes = self.bytes.get(self.at..)?;
        let (header, checksum) = FrameHeader::decode(self.id, bytes)?;
        let body = bytes.get(FRAME_HEADER..)?.get(..header.length as usize)?;
        if header.lsn != self.lsn || crc32c::crc32c(body) != header.body_checksum {
            return None;
        }
        let body_at = self.at + FRAME_HEADER;
        self.at += header.extent();
        self.lsn += header.extent() as u64;
        Some(Frame { header, checksum, body, body_at })
    }
}
