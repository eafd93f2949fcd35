//! Stories of the sync session: devices with the client's machine, a relay with the relay's, and between and below them
//! a network and disks that fail.

mod device;
mod keys;
mod ledger;
mod network;
mod relay;
mod report;
mod small;
mod world;

pub use report::SyncReport;
pub use small::{Chances, SmallWorld, Step};

use super::Chance;
use world::World;

/// Tells the story of this seed.
///
/// # Panics
/// Where a promise is broken; a report is of stories that kept all of them.
pub fn run_sync(seed: u64) -> SyncReport {
    let mut world = World::new(Chance::new(seed));
    world.live();
    world.end()
}
