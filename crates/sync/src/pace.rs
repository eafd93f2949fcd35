//! How fast somebody may push: a bucket of some seconds' worth for each (GCRA).

use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;

/// Buckets that are remembered; the one that was silent longest is forgotten, which is full again by then or nearly.
const BUCKETS_MAX: usize = 65_536;
/// How much fits into a bucket of what may be done in a second.
const BURST: Duration = Duration::from_secs(10);

/// Buckets by whose they are.
pub struct Pace<K> {
    /// What one costs. 0 lets everything pass.
    cost_ns: u64,
    /// What fits into a bucket, in nanoseconds of its filling.
    burst_ns: u64,
    /// When each bucket is full again.
    full_at: Mutex<LruCache<K, u64>>,
}

/// What one who has a bucket of his own may do: so many at once, and as many again in this time.
#[derive(Debug)]
pub(crate) struct Bucket {
    cost_ns: u64,
    burst_ns: u64,
    full_at: u64,
}

impl Bucket {
    /// So many within this time, all at once if need be.
    pub(crate) fn within(count: u32, time: Duration) -> Self {
        let time_ns = ns(time);
        Self { cost_ns: time_ns / u64::from(count.max(1)), burst_ns: time_ns, full_at: 0 }
    }

    /// Takes one. `now_ns` counts from whenever.
    ///
    /// # Errors
    /// How long until it would work.
    pub(crate) fn take(&mut self, now_ns: u64) -> Result<(), Duration> {
        take(&mut self.full_at, (self.cost_ns, self.burst_ns), now_ns)
    }
}

impl<K: Hash + Eq> Pace<K> {
    /// So many in a second, with ten seconds' worth at once; 0 is no bound.
    pub(crate) fn new(per_s: u32) -> Self {
        Self { burst_ns: ns(BURST), ..Self::within(per_s, Duration::from_secs(1)) }
    }

    /// So many within this time, all at once if need be; 0 is no bound.
    pub fn within(count: u32, time: Duration) -> Self {
        // Room for all of them would be two megabytes before the first came.
        let (time_ns, full_at) = (ns(time), Mutex::new(LruCache::unbounded()));
        let cost_ns = time_ns.checked_div(count.into()).unwrap_or(0);
        Self { cost_ns, burst_ns: time_ns, full_at }
    }

    /// Takes one from a bucket. `now_ns` counts from whenever.
    ///
    /// # Errors
    /// How long until it would work.
    pub fn take(&self, whose: K, now_ns: u64) -> Result<(), Duration> {
        if self.cost_ns == 0 {
            return Ok(());
        }
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains(&whose) {
            buckets.pop_lru();
        }
        let full_at = buckets.get_or_insert_mut(whose, || 0);
        take(full_at, (self.cost_ns, self.burst_ns), now_ns)
    }
}

fn take(full_at: &mut u64, (cost_ns, burst_ns): (u64, u64), now_ns: u64) -> Result<(), Duration> {
    let debt = (*full_at).max(now_ns) - now_ns + cost_ns;
    if debt > burst_ns {
        return Err(Duration::from_nanos(debt - burst_ns));
    }
    *full_at = now_ns + debt;
    Ok(())
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn a_bucket_of_ones_own_fills_again() {
        let mut bucket = Bucket::within(4, Duration::from_secs(8));
        assert_eq!((0..10).filter(|_| bucket.take(5).is_ok()).count(), 4);
        assert_eq!(bucket.take(5), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(2_000_000_005), Ok(()));
        assert!(bucket.take(2_000_000_005).is_err());
    }

    #[test]
    fn the_bucket_that_was_silent_longest_is_forgotten() {
        let pace = Pace::within(1, Duration::from_secs(1));
        (0..BUCKETS_MAX).for_each(|whose| assert_eq!(pace.take(whose, 5), Ok(())));
        assert!(pace.take(0, 5).is_err());
        assert_eq!(pace.take(BUCKETS_MAX, 5), Ok(()));
        assert!(pace.take(0, 5).is_err(), "it was asked for just now");
        assert_eq!(pace.take(1, 5), Ok(()));
        assert_eq!(pace.full_at.lock().unwrap().len(), BUCKETS_MAX);
    }

    #[test]
    fn an_hours_worth_passes_at_once() {
        let pace = Pace::within(20, Duration::from_secs(3600));
        assert_eq!((0..100).filter(|_| pace.take("a", 5).is_ok()).count(), 20);
        assert_eq!(pace.take("a", 5), Err(Duration::from_secs(180)));
        assert_eq!(pace.take("a", 180_000_000_005), Ok(()));
    }
}
