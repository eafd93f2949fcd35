//! How far a device lets a relay's clock lead its own.

use selvedge_crdt::{
    BatchHash, Document, ReplicaId, Writer,
    session::{ClientFrame, Event, OpenDocument, Refusal, Remedy, Rename, Start, Suspicion},
};

use crate::scripted::{Pushed, RELAY_MS, Scripted, fresh, others};

const DAY_MS: u64 = 86_400_000;

fn note(device: &mut Scripted, name: &str) {
    device.edit(|edit| edit.set(name, "title", 1.into()));
}

fn stamp_ms(pushed: &Pushed) -> u64 {
    pushed.batch.header(BatchHash::NONE).stamp_last.ms()
}

/// A device writes at [`RELAY_MS`] by its own clock; returns the stamp.
#[track_caller]
fn check(relay_ms: u64, expected_ms: u64) {
    let mut device = Scripted::new();
    device.connect_at(relay_ms);
    device.opened(fresh());
    note(&mut device, "note/1");
    device.pass(1);
    assert_eq!(stamp_ms(&device.push()), expected_ms);
}

#[test]
fn a_relay_moves_no_stamp_more_than_a_day_ahead() {
    check(RELAY_MS, RELAY_MS);
    check(RELAY_MS - 40 * DAY_MS, RELAY_MS - 40 * DAY_MS);
    check(RELAY_MS + 60_000, RELAY_MS + 60_000);
    check(RELAY_MS + DAY_MS, RELAY_MS + DAY_MS);
    check(RELAY_MS + DAY_MS + 1, RELAY_MS + DAY_MS);
    check(RELAY_MS + 8_000 * DAY_MS, RELAY_MS + DAY_MS);
    check(u64::MAX, RELAY_MS + DAY_MS);
    check(0, 0);
}

#[test]
fn a_refusal_moves_no_stamp_more_than_a_day_ahead() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    for name in ["note/1", "note/2"] {
        note(&mut device, name);
        device.pass(1_000);
        let pushed = device.pushes().iter().map(|it| Pushed::of(it)).next_back();
        let pushed = pushed.expect("it pushes");
        assert!(stamp_ms(&pushed) <= device.now_ms + DAY_MS, "{}", stamp_ms(&pushed));
        device.refuse(&pushed, Refusal::Drift(u64::MAX));
    }
}

#[test]
fn no_loss_is_later_than_now() {
    let mut device = Scripted::new();
    note(&mut device, "note/1");
    device.connect();
    device.opened(OpenDocument { lost_ms: u64::MAX, ..fresh() });
    device.pass(1);
    let (from, to) = (ReplicaId([1; 16]), device.replica().id());
    device.told(&Event::Renamed { from, to, why: Rename::Behind });
    assert_eq!(stamp_ms(&device.push()), RELAY_MS);
}

/// Connects to a relay whose clock is years ahead, and which lost records by that clock.
fn meet_a_liar(device: &mut Scripted, start: Start) {
    device.connect_at(RELAY_MS + 4_000 * DAY_MS);
    let lost_ms = RELAY_MS + 3_000 * DAY_MS;
    device.opened(OpenDocument { start, lost_ms, ..fresh() });
    device.pass(1);
}

#[test]
fn a_loss_that_cannot_have_been_opens_nothing() {
    let mut device = Scripted::new();
    note(&mut device, "note/1");
    meet_a_liar(&mut device, Start::Snapshot);
    device.told(&Event::Suspicious { offset: 0, what: Suspicion::Clock });
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new());
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    device.opened(fresh());
    device.pass(1);
    assert_eq!(stamp_ms(&device.push()), RELAY_MS, "nothing is left of it");
}

#[test]
fn who_is_in_a_log_knows_of_its_loss() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    note(&mut device, "note/1");
    meet_a_liar(&mut device, Start::Resumed);
    assert_eq!(stamp_ms(&device.push()), RELAY_MS + 2_000);
}

#[test]
fn a_clock_that_was_led_ahead_comes_back() {
    let mut device = Scripted::new();
    device.connect_at(u64::MAX);
    device.opened(fresh());
    device.pass(1);
    let mut device = device.restarted();
    device.connect();
    device.opened(OpenDocument { start: Start::Resumed, ..fresh() });
    note(&mut device, "note/1");
    device.pass(1);
    let ahead = device.push();
    assert_eq!(stamp_ms(&ahead), RELAY_MS + DAY_MS, "it was kept");
    device.refuse(&ahead, Refusal::Drift(RELAY_MS));
    device.pass(1_000);
    assert_eq!(stamp_ms(&device.push()), RELAY_MS);
    note(&mut device, "note/2");
    device.pass(1);
    assert!(stamp_ms(&device.push()) < RELAY_MS + 10_000);
}

#[test]
fn what_follows_stamps_that_a_relay_does_not_know_waits() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let ahead = i64::try_from(DAY_MS / 2).expect("it is small");
    let record = others(&mut other, BatchHash::NONE, &mut document, ahead);
    device.record(0, &record.record);
    note(&mut device, "note/1");
    device.pass(1);
    let pushed = device.push();
    assert_eq!(stamp_ms(&pushed), RELAY_MS + DAY_MS / 2);
    device.refuse(&pushed, Refusal::Drift(RELAY_MS));
    let why = Refusal::Drift(RELAY_MS);
    device.told(&Event::Refused { why, remedy: Remedy::Waits });
    device.pass(60_000);
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "it is not asked all the time");
    device.pass(3_600_000);
    let again = device.push();
    assert_eq!((again.batch.first(), stamp_ms(&again)), (1, stamp_ms(&pushed)));
}

#[test]
fn a_lease_lasts_a_year_at_most() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(OpenDocument { lease_ms: u64::MAX, ..fresh() });
    note(&mut device, "note/1");
    device.pass(1_000);
    let pushed = device.push();
    device.ack(&pushed, 0);
    device.client.disconnected(device.now_ms);
    device.pass(367 * DAY_MS);
    device.said.clear();
    device.connect();
    device.opened(OpenDocument { start: Start::Expired, ..fresh() });
    assert!(device.document().entity("note/1").is_none(), "it was forgotten");
    let said = device.said.iter().map(|it| ClientFrame::read(it).expect("it is read").1);
    assert!(said.into_iter().all(|it| !matches!(it, ClientFrame::Push { .. })));
}
