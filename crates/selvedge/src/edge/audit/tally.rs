//! What the metrics tell of the way to the audit log.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use selvedge_audit::spool::{Fill, Why};
use selvedge_edge::AuditTrail;

/// Counts since the process began.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kept: AtomicU64,
    lost: [AtomicU64; Why::ALL.len()],
    delivered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// The last delivery, if there was one, came to nothing.
    is_failing: AtomicBool,
    fill: Mutex<Fill>,
}

impl Tally {
    pub(super) fn kept(&self, events: u64) {
        self.kept.fetch_add(events, Relaxed);
    }

    pub(super) fn lost(&self, why: Why, events: u64) {
        self.lost[why as usize].fetch_add(events, Relaxed);
    }

    pub(super) fn delivered(&self, events: u64, refused: u64) {
        self.delivered.fetch_add(events, Relaxed);
        self.refused.fetch_add(refused, Relaxed);
        self.is_failing.store(false, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.is_failing.store(true, Relaxed);
    }

    pub(super) fn set_fill(&self, fill: Fill) {
        *self.fill.lock().unwrap_or_else(PoisonError::into_inner) = fill;
    }

    /// Appends metrics in Prometheus' text format.
    pub(super) fn render(&self, trail: &AuditTrail, page: &mut String) {
        let fill = *self.fill.lock().unwrap_or_else(PoisonError::into_inner);
        let Fill { events, bytes, bytes_max, is_full } = fill;
        let count = |count: &AtomicU64| count.load(Relaxed);
        let up = u64::from(!self.is_failing.load(Relaxed));
        let rows = [
            ("events_total", "counter", "Events kept for the audit log.", count(&self.kept)),
            ("delivered_total", "counter", "Events that the core has.", count(&self.delivered)),
            (
                "refused_total",
                "counter",
                "Events that the core could not read; they lie aside.",
                count(&self.refused),
            ),
            (
                "delivery_failures_total",
                "counter",
                "Deliveries that came to nothing and are repeated.",
                count(&self.failed),
            ),
            (
                "sampled_out_total",
                "counter",
                "Blocked requests that became no event, as `sample` says.",
                trail.sampled_out(),
            ),
            ("core_up", "gauge", "Whether the core took the last delivery.", up),
            ("spool_events", "gauge", "Events that wait for the core.", events),
            ("spool_bytes", "gauge", "What they take.", bytes),
            ("spool_bytes_max", "gauge", "What they may take.", bytes_max),
            ("spool_full", "gauge", "Whether events are dropped.", u64::from(is_full)),
        ];
        for (name, kind, help, value) in rows {
            let name = format!("selvedge_audit_{name}");
            let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            writeln!(page, "{head}{name} {value}").expect("a String takes every write");
        }
        let name = "selvedge_audit_dropped_total";
        let head = format!("# HELP {name} Events dropped, by reason.\n# TYPE {name} counter\n");
        page.push_str(&head);
        for why in Why::ALL {
            let lost = match why {
                Why::QueueFull => trail.lost(),
                why => count(&self.lost[why as usize]),
            };
            let row = format!("{name}{{why=\"{}\"}} {lost}\n", why.name());
            page.push_str(&row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_told_and_documented() {
        let (tally, trail) = (Tally::default(), AuditTrail::default());
        tally.kept(3);
        tally.lost(Why::Disk, 2);
        tally.failed();
        let mut page = String::new();
        tally.render(&trail, &mut page);
        for row in [
            "selvedge_audit_events_total 3",
            "selvedge_audit_dropped_total{why=\"disk\"} 2",
            "selvedge_audit_core_up 0",
        ] {
            assert!(page.lines().any(|line| line == row), "{page}");
        }
        let documented = include_str!("../../../../../docs/reference/metrics.md");
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = name.split(' ').next().unwrap();
            assert!(documented.contains(&format!("`{name}`")), "{name}");
        }
    }
}
