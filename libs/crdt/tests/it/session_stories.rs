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

/// A device whose retired replicas differed from the relay's; batches that nobody could bridge; credit that was less than a piece.
#[test]
fn what_went_wrong_once() {
    for seed in [1032, 184, 418] {
        run_sync(seed);
    }
}
