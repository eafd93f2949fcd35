//! Instants as numbers, so that atomics can hold them.

use std::time::{Duration, Instant};

/// The instant that counts as zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    /// Counts from `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self(now)
    }

    /// Microseconds from the epoch to `now`; 0 for an instant before it.
    pub(crate) fn micros(self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.0))
    }
}

/// A duration in whole microseconds; saturates after half a million years.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
