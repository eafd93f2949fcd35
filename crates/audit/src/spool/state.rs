//! What a spool remembers of itself.

use selvedge_eventlog::StreamOptions;

use crate::time::Timestamp;

/// Kept as what the stream `state` remembers for its owner, so that it changes in one step with events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// When the count began.
    pub(super) epoch: u64,
    /// The sequence of the event that has the number 0.
    pub(super) base: u64,
    /// Since when events are dropped for want of room.
    pub(super) full_since: Option<Timestamp>,
}

const VERSION: u8 = 1;

impl State {
    /// The same, with room or without; the first moment without stays.
    pub(super) fn with_full(&self, is_full: bool, now: Timestamp) -> Self {
        let full_since = is_full.then(|| self.full_since.unwrap_or(now));
        Self { full_since, ..self.clone() }
    }

    pub(super) fn options(&self) -> StreamOptions {
        let Self { epoch, base, full_since } = self;
        let mut bytes = vec![VERSION];
        for number in [*epoch, *base, full_since.map_or(0, |since| since.0.max(1))] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        StreamOptions { metadata: bytes.into(), ..StreamOptions::default() }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, numbers) = bytes.split_first()?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        let [epoch, base, full_since] = numbers else { return None };
        let [epoch, base, full_since] = [epoch, base, full_since].map(|it| u64::from_le_bytes(*it));
        let full_since = (full_since > 0).then_some(Timestamp(full_since));
        (*version == VERSION && rest.is_empty()).then_some(Self { epoch, base, full_since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read() {
        for full_since in [None, Some(Timestamp(7))] {
            let state = State { epoch: u64::MAX, base: 3, full_since };
            assert_eq!(State::decode(&state.options().metadata), Some(state));
        }
        for bytes in [&[][..], &[1; 24], &[2; 25], &[1; 26]] {
            assert_eq!(State::decode(bytes), None);
        }
    }
}
