//! Stories of devices and a relay: the first two hundred, and those that once went wrong.

use selvedge_crdt::sim::run_sync;

#[test]
fn fifty_stories() {
    (0..50).for_each(|seed| _ = run_sync(seed));
}

#[test]
fn fifty_more() {
    (50..100).for_each(|seed| _ = run_sync(seed));
}

#[test]
fn and_fifty_more() {
    (100..150).for_each(|seed| _ = run_sync(seed));
}

#[test]
fn and_the_last_fifty() {
    (150..200).for_each(|seed| _ = run_sync(seed));
}

/// A device whose retired replicas differed from the relay's; batches that nobody could bridge; credit that was less than a piece;
/// a snapshot that was put in place of before its device looked; one that was the same as the one before.
#[test]
fn what_went_wrong_once() {
    for seed in [1032, 184, 418, 8342, 18803] {
        run_sync(seed);
    }
}

/// A relay that was restored had forgotten a horizon, and took what lies below it: what a device had written before it was ever
/// connected, or before it came again and was taken to have seen more than it had said.
#[test]
fn horizons_that_a_relay_forgot() {
    for seed in [309, 698, 3327, 6053, 8371] {
        run_sync(seed);
    }
}

/// The relay of the stories cut its log off before a snapshot that was not durable.
#[test]
fn a_log_is_cut_where_a_snapshot_is_durable() {
    for seed in [2868, 2906, 9031] {
        run_sync(seed);
    }
}
