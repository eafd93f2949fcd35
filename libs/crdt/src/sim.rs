//! Stories of many replicas under a seed: edits at the same time, deliveries in any order, devices that
//! restart, stay away and come back, compaction under way.

mod chance;
mod collide;
mod relay;
mod scribble;
mod site;
mod story;
mod sync;

use std::{fmt, ops::AddAssign};

use chance::Chance;
pub use sync::{Chances, SmallWorld, Step, SyncReport, run_sync};

/// What happened in some stories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations that were written.
    pub ops: u64,
    /// Batches and documents that were joined with a document.
    pub joins: u64,
    /// Compactions, each performed by every replica.
    pub compactions: u64,
    /// Entities that compactions dropped.
    pub dropped: u64,
    /// Replicas that were forgotten.
    pub retired: u64,
    /// Devices that came back after their lease.
    pub late: u64,
    /// Changes that were taken back.
    pub undone: u64,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        let Report { ops, joins, compactions, dropped, retired, late, undone } = other;
        self.ops += ops;
        self.joins += joins;
        self.compactions += compactions;
        self.dropped += dropped;
        self.retired += retired;
        self.late += late;
        self.undone += undone;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("operations written", self.ops),
            ("joins of batches and documents", self.joins),
            ("compactions", self.compactions),
            ("dead entities dropped by them", self.dropped),
            ("replicas retired", self.retired),
            ("devices that came back after their lease", self.late),
            ("changes taken back", self.undone),
            ("replicas that differ in the end", 0),
            ("dropped entities that came back", 0),
            ("entities that nobody deleted, and that lost something", 0),
        ];
        f.write_str("| what happened | how often |\n|---|--:|")?;
        rows.iter().try_for_each(|(what, number)| write!(f, "\n| {what} | {number} |"))
    }
}

/// Tells the story of this seed.
///
/// # Panics
/// Where a promise is broken; a report is of stories that kept all of them.
pub fn run(seed: u64) -> Report {
    let mut report = story::tell(Chance::new(seed));
    report += collide::tell(Chance::new(!seed));
    report
}
