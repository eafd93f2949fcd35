use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of a duration histogram in microseconds; the last bucket has none.
pub(super) const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000, 60_000_000,
];

/// A number that only grows. One thread adds, any may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds without a locked instruction: only the owning core may call it.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Adds from any thread.
    pub(crate) fn add_shared(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Durations in fixed buckets. One thread records, any may read.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_ns: Counter,
}

impl Histogram {
    #[inline]
    pub(super) fn record(&self, took: Duration) {
        let took_us = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < took_us)].add(1);
        self.sum_ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Histograms of several cores as one.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramSum {
    pub(super) buckets: [u64; BOUNDS_US.len() + 1],
    pub(super) sum_ns: u64,
}

impl HistogramSum {
    pub(super) fn add(&mut self, one: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&one.buckets) {
            *sum += bucket.get();
        }
        self.sum_ns = self.sum_ns.wrapping_add(one.sum_ns.get());
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(took: Duration, bucket: usize) {
        let one = Histogram::default();
        one.record(took);
        let mut sum = HistogramSum::default();
        sum.add(&one);
        assert_eq!(sum.buckets.iter().position(|count| *count == 1), Some(bucket), "{took:?}");
        assert_eq!(u128::from(sum.sum_ns), took.as_nanos());
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        check(Duration::ZERO, 0);
        check(Duration::from_micros(100), 0);
        check(Duration::from_nanos(100_001), 1);
        check(Duration::from_millis(1), 3);
        check(Duration::from_secs(60), BOUNDS_US.len() - 1);
        check(Duration::from_secs(61), BOUNDS_US.len());
    }
}
