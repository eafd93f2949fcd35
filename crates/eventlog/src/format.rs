//! Bytes of version 1, as `docs/reference/event-log-format.md` says them. All numbers are little-endian.

mod entry;
mod frame;
mod options;
mod segment;

use bytes::BytesMut;

pub(crate) use entry::{
    Appended, Entries, Entry, EntryHeader, HEADER as ENTRY_HEADER, Kind, Placement, flag,
};
pub(crate) use frame::{FRAME_HEADER, Frame, FrameHeader, Frames, MAGIC as FRAME_MAGIC, padded};
pub(crate) use options::{put_options, take_options};
pub(crate) use segment::{
    NoSegment, SEGMENT_HEADER, SEGMENT_SUFFIX, SegmentHeader, base_of, segment_name,
};

/// Random name of a log; it seeds every checksum, so that bytes of another log never look valid.
pub(crate) type LogId = [u8; 16];

/// A cursor over bytes that may end anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Bites<'a>(pub &'a [u8]);

impl<'a> Bites<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes bytes that follow their length.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Puts bytes behind their length; every length is checked against its bound before.
pub(crate) fn put_counted(out: &mut BytesMut, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("bounds of settings lie below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The checksum of bytes, in which its own place counts as zero.
fn checksum(id: &LogId, bytes: &[u8], place: usize) -> u32 {
    let before = crc32c::crc32c_append(crc32c::crc32c(id), &bytes[..place]);
    crc32c::crc32c_append(crc32c::crc32c_append(before, &[0; 4]), &bytes[place + 4..])
}

/// Where files that are checked as a whole have their checksum: behind magic and version.
const PLACE: usize = 12;

/// Puts the checksum into a file that begins with magic, version, checksum and the log's id.
pub(crate) fn seal(id: &LogId, bytes: &mut [u8]) {
    let sum = checksum(id, bytes, PLACE);
    bytes[PLACE..PLACE + 4].copy_from_slice(&sum.to_le_bytes());
}

/// What follows the id in such a file, if it is whole, of this log and of this version.
pub(crate) fn unsealed<'a>(
    id: &LogId,
    magic: &[u8; 8],
    version: u32,
    bytes: &'a [u8],
) -> Option<&'a [u8]> {
    let mut bites = Bites(bytes);
    let known = bites.take(8)? == magic && bites.u32()? == version;
    let sum = bites.u32()?;
    let ours = bites.array::<16>()? == *id;
    (known && ours && checksum(id, bytes, PLACE) == sum).then_some(bites.0)
}
