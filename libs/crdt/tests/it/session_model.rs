//! Small worlds, searched through whole: two devices with the client's machine, a relay with the relay's, and every order in
//! which messages, disks and faults may come.

use std::{fmt::Write, fs};

use selvedge_crdt::sim::{Chances, SmallWorld, Step};
use stateright::{Checker, Model, Property};

/// What may go wrong in a world, and how often.
#[derive(Clone, Copy)]
struct Small(Chances);

impl Model for Small {
    type State = SmallWorld;
    type Action = Step;

    fn init_states(&self) -> Vec<SmallWorld> {
        vec![SmallWorld::new(self.0)]
    }

    fn actions(&self, world: &SmallWorld, steps: &mut Vec<Step>) {
        steps.extend(world.steps());
    }

    fn next_state(&self, world: &SmallWorld, step: Step) -> Option<SmallWorld> {
        let mut next = world.clone();
        next.take(step).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("who has everything has the same", |_, it: &SmallWorld| it.agrees()),
            Property::always(
                "what was acknowledged is durable",
                |model: &Self, it: &SmallWorld| model.0.restores > 0 || it.keeps(),
            ),
            Property::always("what began comes to an end", |_, it: &SmallWorld| it.ends()),
            Property::sometimes("all has happened, and all is well", |_, it: &SmallWorld| {
                it.is_over()
            }),
        ]
    }
}

/// Searches through a world; returns how many states it has.
#[track_caller]
fn check(chances: Chances) -> usize {
    let checker = Small(chances).checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

const EDITS: Chances = Chances {
    edits: 2,
    breaks: 0,
    deaths: 0,
    relay_deaths: 0,
    compactions: 0,
    restores: 0,
    jumps: 0,
    waits: 0,
};

#[test]
fn edits_meet() {
    check(EDITS);
}

#[test]
fn connections_break() {
    check(Chances { edits: 1, breaks: 2, ..EDITS });
}

#[test]
fn devices_die() {
    check(Chances { edits: 1, deaths: 1, ..EDITS });
}

#[test]
fn a_relay_dies() {
    check(Chances { edits: 1, breaks: 1, relay_deaths: 1, ..EDITS });
}

#[test]
fn a_relay_compacts() {
    check(Chances { edits: 1, compactions: 1, waits: 2, ..EDITS });
}

#[test]
fn a_relay_is_restored() {
    check(Chances { edits: 1, breaks: 1, restores: 1, ..EDITS });
}

/// `cargo xtask sim model` runs this, built for release.
#[test]
#[ignore = "takes minutes"]
fn larger_worlds() {
    let worlds = [
        ("three edits", Chances { edits: 3, ..EDITS }),
        ("two edits, a connection lost", Chances { breaks: 1, ..EDITS }),
        ("two edits, a device that dies", Chances { deaths: 1, ..EDITS }),
        ("two edits, a relay that dies", Chances { relay_deaths: 1, ..EDITS }),
        (
            "an edit, a connection lost, a compaction, time that passes twice",
            Chances { edits: 1, breaks: 1, compactions: 1, waits: 2, ..EDITS },
        ),
        (
            "an edit, a connection lost, a relay restored from a backup",
            Chances { edits: 1, breaks: 1, restores: 1, ..EDITS },
        ),
    ];
    let mut report = String::from("| world | states |\n|---|--:|");
    for (what, chances) in worlds {
        write!(report, "\n| {what} | {} |", check(chances)).expect("a text takes everything");
    }
    if let Ok(path) = std::env::var("SELVEDGE_MODEL_REPORT") {
        fs::write(path, report).expect("the report is written");
    }
}
