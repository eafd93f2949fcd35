//! How fast somebody may push: a bucket of some seconds' worth for each (GCRA).

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;

/// Buckets that are remembered; the one that was silent longest is forgotten, which is full again by then or nearly.
const BUCKETS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");
/// What fits into a bucket, in nanoseconds of its filling.
const BURST_NS: u64 = 10_000_000_000;

/// Buckets by whose they are.
pub(crate) struct Pace<K> {
    /// What one push costs. 0 lets everything pass.
    cost_ns: u64,
    /// When each bucket is full again.
    full_at: Mutex<LruCache<K, u64>>,
}

impl<K: Hash + Eq> Pace<K> {
    /// So many in a second, with ten seconds' worth at once; 0 is no bound.
    pub(crate) fn new(per_s: u32) -> Self {
        let cost_ns = 1_000_000_000_u64.checked_div(per_s.into()).unwrap_or(0);
        Self { cost_ns, full_at: Mutex::new(LruCache::new(BUCKETS_MAX)) }
    }

    /// Takes one from a bucket.
    ///
    /// # Errors
    /// How long until it would work.
    pub(crate) fn take(&self, whose: K, now_ns: u64) -> Result<(), Duration> {
        if self.cost_ns == 0 {
            return Ok(());
        }
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get_or_insert_mut(whose, || 0);
        let debt = (*full_at).max(now_ns) - now_ns + self.cost_ns;
        if debt > BURST_NS {
            return Err(Duration::from_nanos(debt - BURST_NS));
        }
        *full_at = now_ns + debt;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_seconds_worth_passes_at_once_and_the_rest_waits() {
        let pace = Pace::new(10);
        assert_eq!((0..100).filter(|_| pace.take("a", 5).is_ok()).count(), 100);
        assert_eq!(pace.take("a", 5), Err(Duration::from_millis(100)));
        assert_eq!(pace.take("b", 5), Ok(()));
        assert_eq!(pace.take("a", 100_000_005), Ok(()));
        assert!(pace.take("a", 100_000_005).is_err());
        assert!((0..1000).all(|_| Pace::new(0).take("a", 5).is_ok()));
    }
}
