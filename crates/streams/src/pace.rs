//! How fast a caller may append: a bucket of one second's worth for each (GCRA).

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;

/// Callers that are remembered; the one that was silent longest is forgotten, whose bucket is full again by then or nearly.
const CALLERS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");
/// What fits into a bucket, in nanoseconds of its filling.
const BURST_NS: u64 = 1_000_000_000;

/// The buckets of all callers.
pub(crate) struct Pace {
    bytes_per_s: u64,
    /// When each bucket is full again, in nanoseconds of the clock that the caller keeps.
    full_at: Mutex<LruCache<String, u64>>,
}

impl Pace {
    /// `bytes_per_s` of 0 lets everything pass.
    pub(crate) fn new(bytes_per_s: u64) -> Pace {
        Pace { bytes_per_s, full_at: Mutex::new(LruCache::new(CALLERS_MAX)) }
    }

    /// Takes `bytes` from a caller's bucket.
    ///
    /// # Errors
    /// How long until it would work. More than a bucket holds is taken from a full one.
    pub(crate) fn take(&self, caller: &str, bytes: usize, now_ns: u64) -> Result<(), Duration> {
        if self.bytes_per_s == 0 {
            return Ok(());
        }
        let cost = u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.bytes_per_s);
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        let mut callers = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = callers.get(caller).copied().unwrap_or_default().max(now_ns);
        let debt = (full_at - now_ns).saturating_add(cost.min(BURST_NS));
        if debt > BURST_NS {
            return Err(Duration::from_nanos(debt - BURST_NS));
        }
        callers.put(caller.to_owned(), full_at.saturating_add(cost));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_second_s_worth_passes_at_once_and_the_rest_waits() {
        let pace = Pace::new(1000);
        assert_eq!(pace.take("a", 600, 5 * S), Ok(()));
        assert_eq!(pace.take("a", 400, 5 * S), Ok(()));
        assert_eq!(pace.take("a", 100, 5 * S), Err(Duration::from_millis(100)));
        assert_eq!(pace.take("b", 100, 5 * S), Ok(()));
        assert_eq!(pace.take("a", 100, 5 * S + S / 10), Ok(()));
    }

    #[test]
    fn what_is_more_than_a_bucket_empties_it_for_longer() {
        let pace = Pace::new(1000);
        assert_eq!(pace.take("a", 3000, S), Ok(()));
        assert_eq!(pace.take("a", 1, S), Err(Duration::from_millis(2001)));
        assert_eq!(pace.take("a", 1000, 4 * S), Ok(()));
        assert_eq!(Pace::new(0).take("a", usize::MAX, 0), Ok(()));
    }
}
