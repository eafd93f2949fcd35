//! Lists of members that a device pushes, and what it reads with those that it is told.

use selvedge_crdt::{
    Document, ReplicaId, Writer,
    session::{
        ClientFrame, DeviceId, Event, OpenDocument, Refusal, RelayFrame, Remedy, Sealing,
        Signature, SnapshotHash, SnapshotInfo, Start, Suspicion,
    },
};

use crate::scripted::{Scripted, fresh, roster};

/// The type of PUSH.
const PUSH: u8 = 3;

/// A device that pushes a list of members, of which the relay says this.
fn refused(why: &Refusal) -> Scripted {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    device.client.push_keys(&device.name, &roster(1)).expect("they are keys");
    device.pass(1);
    assert_eq!(device.pushes(), [roster(1)]);
    device.hear(&RelayFrame::Rejected { frame: PUSH, why: why.clone() });
    device
}

#[test]
fn members_that_a_relay_never_takes_are_dropped_and_told_once() {
    let text = || "it is not".to_owned();
    for why in [
        Refusal::Denied,
        Refusal::Signature,
        Refusal::Epoch(7),
        Refusal::Invalid(text()),
        Refusal::Schema(text()),
        Refusal::SnapshotRequired,
    ] {
        let mut device = refused(&why);
        device.pass(120_000);
        assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "{why}");
        assert_eq!(device.keys.dropped, [roster(1)], "{why}");
        let told = Event::Rejected { frame: PUSH, why };
        assert_eq!(device.events.iter().filter(|event| **event == told).count(), 1);
    }
}

#[test]
fn members_wait_for_a_relay_that_takes_them_later() {
    for why in [Refusal::Quota(5_000), Refusal::Unavailable(5_000)] {
        let mut device = refused(&why);
        device.told(&Event::Refused { why, remedy: Remedy::Again });
        device.pass(4_000);
        assert_eq!(device.pushes(), Vec::<Vec<u8>>::new());
        device.pass(2_000);
        assert_eq!(device.pushes(), [roster(1)]);
        device.record(0, &roster(1));
        device.pass(60_000);
        assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "they are there");
        assert!(device.keys.dropped.is_empty());
    }
}

#[test]
fn of_several_the_one_that_was_refused_goes_again() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    let lists = [roster(1), roster(2), roster(3)];
    for list in &lists {
        device.client.push_keys(&device.name, list).expect("they are keys");
    }
    device.pass(1);
    assert_eq!(device.pushes(), lists);
    device.hear(&RelayFrame::Rejected { frame: PUSH, why: Refusal::Quota(1_000) });
    device.hear(&RelayFrame::Rejected { frame: PUSH, why: Refusal::Denied });
    device.record(0, &roster(3));
    assert_eq!(device.keys.dropped, [roster(2)]);
    device.pass(2_000);
    assert_eq!(device.pushes(), [roster(1)]);
}

#[test]
fn members_that_another_list_came_before_are_answered_by_their_place_in_the_log() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    for list in [roster(1), roster(2)] {
        device.client.push_keys(&device.name, &list).expect("they are keys");
    }
    device.pass(1);
    assert_eq!(device.pushes(), [roster(1), roster(2)]);
    device.keys.doubts = true;
    device.record(0, &roster(1));
    device.told(&Event::Suspicious { offset: 0, what: Suspicion::Keys });
    device.hear(&RelayFrame::Rejected { frame: PUSH, why: Refusal::Denied });
    assert_eq!(device.keys.dropped, [roster(2)]);
}

/// A newcomer, and the snapshot that it is to begin with, sealed with the second key.
fn newcomer() -> (Scripted, SnapshotInfo, Vec<u8>) {
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    other.edit(&mut document, 1).set("note/1", "title", 1.into()).expect("it is small");
    let bytes = document.snapshot();
    let info = SnapshotInfo {
        hash: SnapshotHash::of(&bytes),
        bytes: bytes.len() as u64,
        offset: 9,
        heals: false,
        sealing: Sealing::Epoch(2),
        device: DeviceId([2; 32]),
    };
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.keys.needs_rosters = true;
    device.connect();
    let snapshot = Some((info, Signature([2; 64])));
    let sealing = Sealing::Epoch(2);
    device.opened(OpenDocument { next: 9, tail: 9, snapshot, sealing, ..fresh() });
    (device, info, bytes)
}

#[test]
fn a_newcomer_reads_a_sealed_snapshot_with_keys_from_before_it() {
    let (mut device, info, bytes) = newcomer();
    for epoch in [1, 2] {
        device.hear(&RelayFrame::Keys { record: &roster(epoch) });
    }
    assert_eq!(device.next().1, ClientFrame::Fetch { snapshot: info.hash, from: 0 });
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 0, bytes: &bytes });
    assert!(device.document().entity("note/1").is_some());
    assert!(!device.events.iter().any(|event| matches!(event, Event::NeedsKey(_))));
    device.edit(|edit| edit.set("note/2", "title", 2.into()));
    device.pass(1);
    assert_eq!(device.push().sealing, Sealing::Epoch(2));
}

#[test]
fn a_newcomer_without_keys_says_so_and_comes_again() {
    let (mut device, info, bytes) = newcomer();
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 0, bytes: &bytes });
    device.told(&Event::NeedsKey(2));
    assert_eq!(device.document().entities().count(), 0);
    device.said.clear();
    device.pass(5_000);
    let snapshot = Some((info, Signature([2; 64])));
    let (start, sealing) = (Start::Snapshot, Sealing::Epoch(2));
    device.opened(OpenDocument { start, next: 9, tail: 9, snapshot, sealing, ..fresh() });
    device.hear(&RelayFrame::Keys { record: &roster(2) });
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 0, bytes: &bytes });
    assert!(device.document().entity("note/1").is_some());
}
