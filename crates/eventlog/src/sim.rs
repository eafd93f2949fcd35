//! The log on a disk that fails on purpose, beside a model of what was acknowledged.
//!
//! A seed decides everything: what is appended, when the power goes, what of unsynced writes is left.
//! [`run`] is one life story of a log; it panics where a promise is broken.

mod disk;
#[cfg(test)]
mod faults;
mod model;
mod property;
mod story;

pub use disk::{Death, SimDisk};
pub use property::recovers;
pub use story::{Report, run};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_appears_that_was_not_sent() {
        let mut report = Report::default();
        for seed in 0..200 {
            let result = std::panic::catch_unwind(|| run(seed));
            report += result.unwrap_or_else(|_| panic!("seed {seed} breaks a promise"));
        }
        let Report { crashes, crashes_opening, acknowledged, survived, lost, .. } = report;
        assert!(crashes >= 800 && crashes_opening > 10 && acknowledged > 5000, "{report:?}");
        assert!(survived > 10 && lost > 10 && report.full > 5 && report.partial > 5, "{report:?}");
        assert!(report.failed_syncs > 5 && report.segments_removed > 20, "{report:?}");
        assert!(report.prepared > 100, "{report:?}");
    }
}
