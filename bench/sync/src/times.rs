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

    /// Percentiles in milliseconds; null without any time.
    pub fn told(mut self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0.sort_unstable();
        let at = |share: f64| self.percentile(share).as_secs_f64() * 1e3;
        json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0), "count": self.0.len() })
    }

    /// Nearest rank, so that nothing is made up between two times.
    fn percentile(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times((1..=200).rev().map(Duration::from_millis).collect());
        let told = json!({ "p50_ms": 100.0, "p99_ms": 198.0, "max_ms": 200.0, "count": 200 });
        assert_eq!(times.told(), told);
        assert_eq!(Times::default().told(), Value::Null);
    }
}
