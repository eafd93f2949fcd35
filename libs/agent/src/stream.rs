use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
};

/// One exchange between an edge and an agent; its number is never used twice on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number on the wire.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a stream is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CancelCode {
    /// The client is gone.
    ClientGone = 1,
    /// Another agent has decided.
    Decided = 2,
    /// The agent took too long.
    Timeout = 3,
    /// The edge shuts down.
    Shutdown = 4,
    /// There is nothing more to ask.
    NotNeeded = 5,
}

impl CancelCode {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        use CancelCode::*;
        [ClientGone, Decided, Timeout, Shutdown, NotNeeded]
            .get(usize::from(number).wrapping_sub(1))
            .copied()
    }
}

/// A map of streams. Their numbers follow each other, so that a multiplication spreads them.
pub type StreamMap<T> = HashMap<StreamId, T, BuildHasherDefault<StreamHasher>>;

/// The hash of a [`StreamMap`].
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden ratio; the map reads both ends of the product, so they are swapped
        // into each other.
        let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}
