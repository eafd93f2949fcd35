//! Bytes of many places in the log, read from the disk with few calls and kept without what lies between.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    ReadError,
    disk::{File, fill},
    shared::Shared,
    stream::Extent,
};

/// Extents with less than this between them are read in one go: copying what lies between is cheaper than a call.
const GAP_BYTES_MAX: u64 = 8 << 10;
/// What one call reads at most where something lies between.
const WINDOW_BYTES_MAX: u64 = 256 << 10;

/// Reads extents from segment files.
pub(super) struct Gather<'a> {
    shared: &'a Shared,
    segment: Option<Segment>,
    scratch: Vec<u8>,
}

/// The segment that was read from last: most likely also the next.
struct Segment {
    base: u64,
    end: u64,
    file: Arc<dyn File>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, segment: None, scratch: Vec::new() }
    }

    /// Returns what extents hold, one behind the other. A reader who keeps a record keeps these bytes, and none of
    /// other streams.
    pub(super) fn read(&mut self, extents: &[Extent]) -> Result<Bytes, ReadError> {
        let length = extents.iter().map(|extent| extent.length as usize).sum();
        let mut bytes = vec![0; length];
        let (mut left, mut out) = (extents, bytes.as_mut_slice());
        while let Some(first) = left.first() {
            self.enter(first.lsn)?;
            let (window, behind) = left.split_at(self.window(left));
            let length = window.iter().map(|extent| extent.length as usize).sum();
            let (here, rest) = out.split_at_mut(length);
            self.read_window(window, here)?;
            (left, out) = (behind, rest);
        }
        Ok(bytes.into())
    }

    /// Opens the segment that holds a position.
    fn enter(&mut self, lsn: u64) -> Result<(), ReadError> {
        if self.segment.as_ref().is_some_and(|open| (open.base..open.end).contains(&lsn)) {
            return Ok(());
        }
        let found = self.shared.segment(lsn).filter(|(_, end)| lsn < *end);
        let (base, end) = found.ok_or_else(|| self.shared.damaged(lsn))?;
        let file = self.shared.file(base).map_err(|error| Shared::unread(base, 0, error))?;
        self.segment = Some(Segment { base, end, file });
        Ok(())
    }

    /// How many of these extents, which begin in the open segment, are read by one call.
    fn window(&self, extents: &[Extent]) -> usize {
        let begin = extents[0].lsn;
        let segment_end = self.segment.as_ref().map_or(begin, |open| open.end);
        let near = |pair: &&[Extent]| {
            let (end, next) = (end_of(&pair[0]), &pair[1]);
            let adjoins = next.lsn == end;
            let close = next.lsn > end && next.lsn - end <= GAP_BYTES_MAX;
            let small = end_of(next).saturating_sub(begin) <= WINDOW_BYTES_MAX;
            next.lsn < segment_end && (adjoins || close && small)
        };
        1 + extents.windows(2).take_while(near).count()
    }

    fn read_window(&mut self, window: &[Extent], out: &mut [u8]) -> Result<(), ReadError> {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return Ok(()) };
        let Some(Segment { base, file, .. }) = &self.segment else { return Ok(()) };
        let offset = first.lsn - base;
        let span = usize::try_from(end_of(last) - first.lsn).expect("a range is within a segment");
        let unread = |error: io::Error| Shared::unread(*base, offset, error);
        if span == out.len() {
            return fill(file.as_ref(), offset, out).map_err(unread);
        }
        self.scratch.resize(span, 0);
        fill(file.as_ref(), offset, &mut self.scratch).map_err(unread)?;
        let mut out = out;
        for extent in window {
            let begin = usize::try_from(extent.lsn - first.lsn).expect("it is within the range");
            let (here, rest) = out.split_at_mut(extent.length as usize);
            here.copy_from_slice(&self.scratch[begin..begin + here.len()]);
            out = rest;
        }
        Ok(())
    }
}

fn end_of(extent: &Extent) -> u64 {
    extent.lsn + u64::from(extent.length)
}
