//! What the audit log shows to Prometheus.

use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed};

use super::Desk;

/// Appends the log's metrics.
pub(super) fn render(desk: &Desk, out: &mut String) {
    let audit = &desk.journal.audit;
    let status = audit.status();
    let lag = desk.lag().as_millis();
    let rows = [
        ("entries_total", "counter", "Entries that are durable", audit.entries_taken()),
        ("signed_entries", "gauge", "Entries under the last signed head", status.signed),
        (
            "published_entries",
            "gauge",
            "Entries under the head that everybody sees",
            audit.published(),
        ),
        ("settled_entries", "gauge", "Entries whose files are durable", status.settled),
        ("first_entry", "gauge", "First entry that was not given up", desk.minimum()),
        ("subject_keys", "gauge", "Keys of subjects", audit.keys().len() as u64),
        (
            "sound",
            "gauge",
            "1 unless something is wrong with the log",
            u64::from(desk.fault().is_none()),
        ),
        (
            "cosignatures_total",
            "counter",
            "Heads of other logs that were cosigned here",
            desk.watch.cosigned.load(Relaxed),
        ),
        (
            "cosignatures_refused_total",
            "counter",
            "Heads of other logs that were refused here",
            desk.watch.refused.load(Relaxed),
        ),
    ];
    for (name, kind, help, value) in rows {
        head(out, (name, kind), help);
        line(out, format_args!("selvedge_audit_{name} {value}"));
    }
    let what = "How long the oldest entry has waited that no head covers";
    head(out, ("lag_seconds", "gauge"), what);
    line(out, format_args!("selvedge_audit_lag_seconds {}", lag as f64 / 1e3));
    witnesses(desk, out);
}

fn witnesses(desk: &Desk, out: &mut String) {
    let states = desk.cosigners.states();
    head(
        out,
        ("witness_up", "gauge"),
        "1 if the witness cosigned the last head that it was asked for",
    );
    for state in &states {
        let up = u8::from(state.error.is_none() && state.at.is_some());
        let name = &state.name;
        line(out, format_args!("selvedge_audit_witness_up{{witness={name:?}}} {up}"));
    }
    head(
        out,
        ("witness_entries", "gauge"),
        "Entries under the last head that the witness cosigned",
    );
    for state in &states {
        let (name, cosigned) = (&state.name, state.cosigned);
        line(out, format_args!("selvedge_audit_witness_entries{{witness={name:?}}} {cosigned}"));
    }
}

fn head(out: &mut String, (name, kind): (&str, &str), help: &str) {
    line(out, format_args!("# HELP selvedge_audit_{name} {help}."));
    line(out, format_args!("# TYPE selvedge_audit_{name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes every write");
}
