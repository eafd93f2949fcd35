//! A stream as its readers number it: a fork continues the numbers of its source, whose records it inherits.

use axum::body::Bytes;
use selvedge_eventlog::{Log, ReadError, Slice, StreamId, StreamInfo};

/// A stream of the HTTP service, with what it inherits. Positions are those that clients see.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    /// The stream's own number in the log.
    pub(crate) id: StreamId,
    /// First position that is kept.
    pub(crate) start: u64,
    /// Next position.
    pub(crate) tail: u64,
    pub(crate) closed: bool,
    /// When the newest record of its own was written.
    pub(crate) time_ms: u64,
    /// What is inherited first, its own last.
    spans: Vec<Span>,
}

/// A range of positions, and the stream of the log that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    stream: StreamId,
    /// Position of the stream's sequence 0.
    base: u64,
    /// Where the next span begins.
    until: u64,
}

/// What was read of one span.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    base: u64,
    until: u64,
    slices: Vec<Slice>,
    /// Where to read on.
    pub(crate) next: u64,
}

/// Streams between one and its root at most. The service makes no more; damaged metadata may say anything.
const DEPTH_MAX: usize = 64;

impl Lineage {
    /// Of a stream that the log has.
    pub(crate) fn of(log: &Log, stream: StreamId) -> Result<Lineage, ReadError> {
        let own = log.info(stream)?;
        let mut source = Fork::of(&own);
        let base = source.as_ref().map_or(0, |fork| fork.base);
        let mut spans = vec![Span { stream, base, until: u64::MAX }];
        let mut starts = vec![own.start];
        let mut until = u64::MAX;
        while let Some(Fork { source: stream, base }) = source.filter(|_| spans.len() < DEPTH_MAX) {
            let info = log.info(stream)?;
            until = until.min(base);
            source = Fork::of(&info);
            spans.push(Span { stream, base: source.as_ref().map_or(0, |fork| fork.base), until });
            starts.push(info.start);
        }
        let kept = spans.iter().zip(starts).rev().map(|(span, start)| (*span, span.base + start));
        let start = kept.clone().find(|(span, start)| *start < span.until);
        let start = start.map_or(base + own.start, |(_, start)| start);
        let spans = kept.map(|(span, _)| span).filter(|span| span.base < span.until).collect();
        let StreamInfo { tail, closed, time_ms, .. } = own;
        Ok(Lineage { id: own.id, start, tail: base + tail, closed, time_ms, spans })
    }

    /// The sequence in the stream itself, of a position that is its own.
    pub(crate) fn own(&self, position: u64) -> u64 {
        self.spans.last().map_or(position, |own| position.saturating_sub(own.base))
    }

    /// Reads on at a position, about `bytes` of the log.
    pub(crate) fn read(&self, log: &Log, from: u64, bytes: usize) -> Result<Piece, ReadError> {
        let span = self.spans.iter().find(|span| from < span.until);
        let Span { stream, base, until } = *span.expect("a stream's own span has no end");
        match log.read(stream, from.saturating_sub(base), bytes) {
            Ok(chunk) => {
                let next = (base + chunk.next).min(until);
                Ok(Piece { base, until, slices: chunk.slices, next })
            }
            Err(ReadError::Trimmed { start }) => {
                Err(ReadError::Trimmed { start: (base + start).min(until) })
            }
            Err(error) => Err(error),
        }
    }
}

impl Piece {
    /// Nothing, up to a position.
    pub(crate) fn nothing(next: u64) -> Piece {
        Piece { next, ..Piece::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Every record with its position and the time at which it was written.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, u64, Bytes)> {
        let all = self.slices.iter().flat_map(|slice| {
            slice.records().map(|(seq, bytes)| (self.base + seq, slice.time_ms, bytes))
        });
        // A batch of the source may go on behind the place where the fork was made.
        all.take_while(|(position, ..)| *position < self.until)
    }

    /// When the first of them was written.
    pub(crate) fn time_ms(&self) -> Option<u64> {
        self.slices.first().map(|slice| slice.time_ms)
    }
}

/// What a stream's configuration says of where it comes from.
struct Fork {
    source: StreamId,
    base: u64,
}

impl Fork {
    fn of(info: &StreamInfo) -> Option<Fork> {
        let meta: serde_json::Value = serde_json::from_slice(&info.options.metadata).ok()?;
        let number = |name: &str| meta["fork"][name].as_u64();
        Some(Fork { source: StreamId::from(number("source")?), base: number("base")? })
    }
}
