//! The bytes of one exchange: those that were received, and those that were made of them.

use std::{fmt, io::Write as _};

/// A place in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// The highest bit tells derived bytes from received ones.
    start: u32,
    len: u32,
}

const DERIVED: u32 = 1 << 31;

impl Span {
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Where it begins in its buffer.
    pub fn start(self) -> usize {
        (self.start & !DERIVED) as usize
    }

    pub fn is_received(self) -> bool {
        self.start & DERIVED == 0
    }

    /// A part of it.
    pub fn part(self, start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= self.len());
        Self { start: self.start + start as u32, len: (end - start) as u32 }
    }
}

/// So much of a buffer is kept for the next exchange; what a larger one needed is given back.
pub(super) const KEPT_BYTES_MAX: usize = 512 << 10;

/// Empties a buffer, and gives back what of it is beyond a bound.
pub(super) fn empty<T>(buffer: &mut Vec<T>, kept_max: usize) {
    buffer.clear();
    buffer.shrink_to(kept_max);
}

/// Two buffers that only grow until the exchange ends, and are used again for the next.
#[derive(Default)]
pub(super) struct Arena {
    pub received: Vec<u8>,
    pub derived: Vec<u8>,
}

impl Arena {
    pub fn clear(&mut self) {
        empty(&mut self.received, KEPT_BYTES_MAX);
        empty(&mut self.derived, KEPT_BYTES_MAX);
    }

    pub fn get(&self, span: Span) -> &[u8] {
        let start = span.start();
        let buffer = if span.is_received() { &self.received } else { &self.derived };
        &buffer[start..start + span.len()]
    }

    pub fn receive(&mut self, bytes: &[u8]) -> Span {
        let start = self.received.len();
        self.received.extend_from_slice(bytes);
        received(start, bytes.len())
    }

    pub fn derive(&mut self, bytes: &[u8]) -> Span {
        let start = self.derived.len();
        self.derived.extend_from_slice(bytes);
        derived(start, bytes.len())
    }

    /// Derives text that is put together here.
    pub fn write(&mut self, text: fmt::Arguments<'_>) -> Span {
        let start = self.derived.len();
        self.derived.write_fmt(text).expect("memory takes what is written");
        derived(start, self.derived.len() - start)
    }
}

/// `len` received bytes from `start`.
pub(super) fn received(start: usize, len: usize) -> Span {
    span(start, len)
}

/// `len` derived bytes from `start`.
pub(super) fn derived(start: usize, len: usize) -> Span {
    let span = span(start, len);
    Span { start: span.start | DERIVED, ..span }
}

fn span(start: usize, len: usize) -> Span {
    let start = u32::try_from(start).ok().filter(|start| start & DERIVED == 0);
    let len = u32::try_from(len).ok();
    let (Some(start), Some(len)) = (start, len) else {
        unreachable!("bounds of bodies, arguments and work keep an exchange below 2 GiB");
    };
    Span { start, len }
}
