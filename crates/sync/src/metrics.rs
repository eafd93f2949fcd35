//! What the relay counts.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use selvedge_crdt::session::{Refusal, RelayFrame};

use crate::wakes::Outcome;

/// Counters and gauges; each is raised without a lock.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) channels: AtomicU64,
    pub(crate) documents: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) record_bytes: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) lags: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) unsaved: AtomicU64,
    pub(crate) subscriptions: AtomicU64,
    woken: [AtomicU64; OUTCOMES.len()],
    refused: [AtomicU64; KINDS.len()],
}

/// What became of messages that wake devices, by its label.
const OUTCOMES: [&str; 5] = ["sent", "gone", "later", "failed", "refused"];

/// Kinds of refusals, by their label.
const KINDS: [&str; 12] = [
    "expected",
    "forked",
    "drift",
    "epoch",
    "quota",
    "unavailable",
    "snapshot-required",
    "denied",
    "signature",
    "schema",
    "superseded",
    "invalid",
];

fn kind(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::Expected(_) => 0,
        Refusal::Forked => 1,
        Refusal::Drift(_) => 2,
        Refusal::Epoch(_) => 3,
        Refusal::Quota(_) => 4,
        Refusal::Unavailable(_) => 5,
        Refusal::SnapshotRequired => 6,
        Refusal::Denied => 7,
        Refusal::Signature => 8,
        Refusal::Schema(_) => 9,
        Refusal::Superseded(_) => 10,
        Refusal::Invalid(_) => 11,
    }
}

impl Metrics {
    /// Counts a refusal.
    pub(crate) fn refused(&self, frame: &RelayFrame<'_>) {
        if let RelayFrame::Refused { why, .. } | RelayFrame::Rejected { why, .. } = frame {
            self.refused[kind(why)].fetch_add(1, Relaxed);
        }
    }

    /// Counts what became of a message that wakes a device.
    pub(crate) fn woken(&self, outcome: &Outcome) {
        let kind = match outcome {
            Outcome::Sent => 0,
            Outcome::Gone => 1,
            Outcome::Later(_) => 2,
            Outcome::Failed => 3,
            Outcome::Refused => 4,
            Outcome::PutOff => return,
        };
        self.woken[kind].fetch_add(1, Relaxed);
    }

    /// Appends everything in Prometheus' text format.
    pub(crate) fn render(&self, out: &mut String) {
        let gauges = [
            ("connections", "Connections of devices.", &self.connections),
            ("channels", "Documents that connections have open.", &self.channels),
            ("documents_loaded", "Documents in memory.", &self.documents),
            ("subscriptions", "Devices to be woken, by document.", &self.subscriptions),
        ];
        for (name, help, value) in gauges {
            put(out, (name, help, "gauge"), value.load(Relaxed));
        }
        let counters = [
            ("connections_total", "Connections that were made.", &self.connections_total),
            ("records_total", "Records that became durable.", &self.records),
            ("record_bytes_total", "Bytes of records that became durable.", &self.record_bytes),
            ("messages_sent_total", "Messages to devices.", &self.sent),
            ("sent_bytes_total", "Bytes of messages to devices.", &self.sent_bytes),
            ("lags_total", "Times that a device was slower than others wrote.", &self.lags),
            ("compactions_total", "Records that compact a document.", &self.compactions),
            ("snapshots_total", "Snapshots that were put in place.", &self.snapshots),
            ("denied_total", "Documents that were not opened for want of a token.", &self.denied),
            ("lost_total", "Devices that had records which the log has not.", &self.lost),
            ("unsaved_total", "Checkpoints that the log did not take.", &self.unsaved),
        ];
        for (name, help, value) in counters {
            put(out, (name, help, "counter"), value.load(Relaxed));
        }
        let refused = ("refusals_total", "What was not taken, by why.", "why");
        put_kinds(out, refused, KINDS.iter().zip(&self.refused));
        let woken = ("wakes_total", "Push messages to devices, by what became of them.", "outcome");
        put_kinds(out, woken, OUTCOMES.iter().zip(&self.woken));
    }
}

fn put_kinds<'a>(
    out: &mut String,
    (name, help, label): (&str, &str, &str),
    kinds: impl Iterator<Item = (&'a &'static str, &'a AtomicU64)>,
) {
    let name = format!("selvedge_sync_{name}");
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
    for (kind, value) in kinds {
        let _ = writeln!(out, "{name}{{{label}=\"{kind}\"}} {}", value.load(Relaxed));
    }
}

fn put(out: &mut String, (name, help, kind): (&str, &str, &str), value: u64) {
    let name = format!("selvedge_sync_{name}");
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}
