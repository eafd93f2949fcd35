//! How long things took, and what is said of it.

use std::time::Duration;

use serde_json::{Value, json};

/// Times of a measurement.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Percentiles in milliseconds; the longest as the hundredth.
    pub fn told(mut self) -> Value {
        self.0.sort_unstable();
        let at = |share: f64| self.percentile(share).as_secs_f64() * 1e3;
        json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) })
    }

    /// Nearest rank, so that nothing is made up between two times.
    fn percentile(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Times = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(times.told(), json!({ "p50_ms": 100.0, "p99_ms": 198.0, "max_ms": 200.0 }));
        assert_eq!(Times::default().told()["p99_ms"], 0.0);
    }
}
