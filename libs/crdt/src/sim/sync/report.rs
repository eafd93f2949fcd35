//! What happened in some stories of the sync session.

use std::{fmt, ops::AddAssign};

/// What happened in some stories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    counts: [u64; ROWS.len()],
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Edit,
    Durable,
    Delivered,
    Lost,
    Connected,
    DeviceDied,
    RelayDied,
    BackupTaken,
    Restored,
    RolledBack,
    Cloned,
    Evicted,
    ClockJumped,
    Lied,
    Away,
    Compacted,
    Trimmed,
    Renamed,
    Healed,
    Expired,
    Snapshot,
}

const ROWS: [(Happened, &str); 21] = [
    (Happened::Edit, "edits"),
    (Happened::Durable, "records that a relay made durable"),
    (Happened::Delivered, "messages delivered"),
    (Happened::Lost, "connections lost, with what was under way"),
    (Happened::Connected, "connections made"),
    (Happened::DeviceDied, "devices that died between two steps of storing"),
    (Happened::RelayDied, "relays that died before a sync"),
    (Happened::BackupTaken, "backups of a relay"),
    (Happened::Restored, "relays restored from an old backup"),
    (Happened::RolledBack, "devices set back to an old copy of their disk"),
    (Happened::Cloned, "devices copied, both writing on"),
    (Happened::Evicted, "devices that lost everything"),
    (Happened::ClockJumped, "clocks that jumped, up to a month"),
    (Happened::Lied, "connections on which the relay said that it is later"),
    (Happened::Away, "times that all were away for longer than a lease"),
    (Happened::Compacted, "compactions"),
    (Happened::Trimmed, "logs cut off before a snapshot"),
    (Happened::Renamed, "replicas that took another id"),
    (Happened::Healed, "losses healed"),
    (Happened::Expired, "openings refused because the lease had run out"),
    (Happened::Snapshot, "snapshots saved"),
];

impl SyncReport {
    pub(super) fn note(&mut self, what: Happened) {
        self.add(what, 1);
    }

    pub(super) fn add(&mut self, what: Happened, count: u64) {
        self.counts[what as usize] += count;
    }

    pub(super) fn count(&self, what: Happened) -> u64 {
        self.counts[what as usize]
    }
}

impl AddAssign for SyncReport {
    fn add_assign(&mut self, other: SyncReport) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
    }
}

impl fmt::Display for SyncReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| what happened | how often |\n|---|--:|")?;
        for (what, text) in ROWS {
            write!(f, "\n| {text} | {} |", self.count(what))?;
        }
        for promise in PROMISES {
            write!(f, "\n| {promise} | 0 |")?;
        }
        Ok(())
    }
}

const PROMISES: [&str; 4] = [
    "acknowledged edits lost, unless everybody who had them was destroyed",
    "replicas that differ in the end",
    "deleted entities that came back",
    "stories that came to no end",
];
