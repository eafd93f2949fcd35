//! Gives up what has been kept long enough: keys of callers without an identity, and old entries.

use std::{sync::Arc, time::Duration};

use selvedge_audit::{time::Timestamp, verify::PRUNE_ACTION};
use selvedge_telemetry::Level;

use super::{Desk, http::Files, journal::now, problem::Problem};

/// How often it is looked for what is over.
const EVERY: Duration = Duration::from_secs(600);

/// Looks now and then, for as long as it is polled.
pub(super) async fn keep(desk: Arc<Desk>) {
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // What fails is told, and tried again at the next turn.
        let done = desk.read(|desk, files| give_up(desk, &files)).await;
        if let Ok(Done { keys, entries }) = done
            && (keys > 0 || entries > 0)
        {
            let fields: &[(&str, &dyn std::fmt::Display)] =
                &[("keys", &keys), ("entries", &entries)];
            desk.hub.event(Level::Info, "the audit log gave up what was kept long enough", fields);
        }
    }
}

struct Done {
    keys: usize,
    entries: u64,
}

fn give_up(desk: &Desk, files: &Files) -> Result<Done, Problem> {
    let in_force = desk.in_force();
    let keys = desk.journal.audit.erase_hours_before(before(in_force.personal), now())?;
    let Some(kept) = in_force.entries else { return Ok(Done { keys, entries: 0 }) };
    let (settled, first) = (desk.journal.audit.status().settled, desk.minimum());
    let minimum = files.all_before(&(before(kept)..now()), settled)?;
    if minimum <= first {
        return Ok(Done { keys, entries: 0 });
    }
    let origin = &desk.journal.audit.trust().origin;
    let reached = desk.prune(minimum, desk.journal.own(PRUNE_ACTION, ("log", origin)))?;
    Ok(Done { keys, entries: reached - first })
}

fn before(kept: Duration) -> Timestamp {
    let micros = u64::try_from(kept.as_micros()).unwrap_or(u64::MAX);
    Timestamp(now().0.saturating_sub(micros))
}
