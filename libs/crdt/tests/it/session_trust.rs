//! What a device believes a relay, and what it does not.

use selvedge_crdt::{
    Batch, BatchHash, Document, Head, Hlc, ReplicaId, Writer,
    session::{
        ClientFrame, DeviceId, Event, LogId, OpenDocument, Record, RelayFrame, Sealing, Signature,
        SnapshotHash, SnapshotInfo, Start, Suspicion,
    },
};

use crate::scripted::{LOG, Pushed, RELAY_MS, Scripted, fresh, others, roster};

fn note(device: &mut Scripted, name: &str) {
    device.edit(|edit| edit.set(name, "title", 1.into()));
}

fn has(device: &Scripted, name: &str) -> bool {
    device.document().entity(name).is_some()
}

/// A device with a note that it pushed, whose connection is gone.
fn away() -> Scripted {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    note(&mut device, "note/1");
    device.pass(2_000);
    let pushed = device.push();
    device.ack(&pushed, 0);
    device.pass(2_000);
    device.client.disconnected(device.now_ms);
    device
}

fn back(device: &mut Scripted) {
    device.said.clear();
    device.pass(5_000);
    device.connect();
}

#[test]
fn a_relay_cannot_say_that_a_lease_is_over_which_is_not() {
    let mut device = away().restarted();
    back(&mut device);
    let all = device.document().snapshot();
    device.opened(OpenDocument { start: Start::Expired, ..fresh() });
    device.pass(1);
    assert_eq!(device.document().snapshot(), all, "nothing is given up");
    device.told(&Event::Lost);
    assert_eq!(device.push().batch.len(), 1, "the relay gets it again");
}

#[test]
fn after_a_lease_a_device_was_forgotten() {
    let mut device = away().restarted();
    device.pass(fresh().lease_ms);
    back(&mut device);
    device.opened(OpenDocument { start: Start::Expired, ..fresh() });
    assert!(!has(&device, "note/1"));
}

fn info(bytes: &[u8], offset: u64, sealing: Sealing) -> SnapshotInfo {
    let (hash, device) = (SnapshotHash::of(bytes), DeviceId([2; 32]));
    SnapshotInfo { hash, bytes: bytes.len() as u64, offset, heals: false, sealing, device }
}

fn with_snapshot(start: Start, info: SnapshotInfo) -> OpenDocument {
    let (next, snapshot) = (info.offset, Some((info, Signature([2; 64]))));
    let (tail, sealing) = (next, info.sealing);
    OpenDocument { start, next, tail, snapshot, sealing, ..fresh() }
}

#[test]
fn an_older_snapshot_does_not_take_the_place_of_a_newer_one() {
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.connect();
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    others(&mut other, BatchHash::NONE, &mut document, 7);
    let (new, old) = (document.snapshot(), Document::new().snapshot());
    let newer = info(&new, 9, Sealing::Epoch(2));
    device.opened(with_snapshot(Start::Snapshot, newer));
    device.hear(&RelayFrame::Piece { snapshot: newer.hash, from: 0, bytes: &new });
    assert!(has(&device, "note/7"));
    device.pass(fresh().lease_ms + 60_000);
    device.client.disconnected(device.now_ms);

    back(&mut device);
    let older = info(&old, 3, Sealing::Epoch(2));
    device.opened(with_snapshot(Start::Expired, older));
    device.hear(&RelayFrame::Piece { snapshot: older.hash, from: 0, bytes: &old });
    assert!(has(&device, "note/7"), "it is joined, not taken instead");
    device.client.disconnected(device.now_ms);

    let mut device = device.restarted();
    back(&mut device);
    // What the replica holds now is the older one; a log that goes on has none under a key from before.
    device.opened(with_snapshot(Start::Snapshot, info(&old, 12, Sealing::Epoch(1))));
    device.told(&Event::Suspicious { offset: 12, what: Suspicion::Snapshot });
    assert!(has(&device, "note/7"));
}

#[test]
fn a_compaction_beyond_what_was_written_is_passed_over() {
    for horizon in [Hlc(u64::MAX), Hlc::from_ms(RELAY_MS + 60_001)] {
        let mut device = Scripted::new();
        device.connect();
        device.opened(fresh());
        let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
        let record = others(&mut other, BatchHash::NONE, &mut document, 60_000);
        device.record(0, &record.record);
        device.record(1, &Record::Compact { horizon, retired: vec![] }.to_bytes());
        device.told(&Event::Suspicious { offset: 1, what: Suspicion::Horizon });
        assert_eq!(device.document().horizon(), Hlc::ZERO);
        note(&mut device, "note/1");
        device.pass(1);
        assert!(has(&device, "note/1"), "what is written is seen");
        assert_eq!(device.push().batch.len(), 1);
    }
}

#[test]
fn a_compaction_of_what_was_passed_over_is_believed() {
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.connect();
    device.opened(OpenDocument { sealing: Sealing::Epoch(1), ..fresh() });
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let plain = others(&mut other, BatchHash::NONE, &mut document, 60_000);
    device.record(0, &plain.record);
    device.told(&Event::Suspicious { offset: 0, what: Suspicion::Sealing });
    let horizon = Hlc::from_ms(RELAY_MS + 60_000);
    device.record(1, &Record::Compact { horizon, retired: vec![] }.to_bytes());
    assert_eq!(device.document().horizon(), horizon);
}

#[test]
fn a_relay_cannot_compact_by_a_stamp_that_nobody_can_read() {
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.connect();
    device.opened(OpenDocument { sealing: Sealing::Epoch(1), ..fresh() });
    note(&mut device, "note/1");
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    other.edit(&mut document, u64::MAX).create("note/2").expect("it is within its bounds");
    let horizon = document.latest();
    let mut batch = other.take_batch().expect("it wrote").encode(BatchHash::NONE);
    batch.push(9);
    let (sealing, signature) = (Sealing::Epoch(1), Signature([2; 64]));
    let garbage = Record::Batch { device: DeviceId([2; 32]), sealing, batch: &batch, signature };
    device.record(0, &garbage.to_bytes());
    device.told(&Event::Suspicious { offset: 0, what: Suspicion::Sealing });
    device.record(1, &Record::Compact { horizon, retired: vec![] }.to_bytes());
    device.told(&Event::Suspicious { offset: 1, what: Suspicion::Horizon });
    assert!(has(&device, "note/1"), "what waits is still there");
    let (mut other, mut document) = (Writer::new(ReplicaId([3; 16])), Document::new());
    let later = others(&mut other, BatchHash::NONE, &mut document, 7);
    let mut batch = later.batch.encode(BatchHash::NONE);
    batch.push(1);
    let true_one = Record::Batch { device: DeviceId([2; 32]), sealing, batch: &batch, signature };
    device.record(2, &true_one.to_bytes());
    assert!(has(&device, "note/7"), "what others write is taken");
    assert!(device.document().latest() < horizon);
}

#[test]
fn what_a_relay_says_to_have_had_long_ago_stays_here() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let mut head = Head::default();
    for offset in 0..5 {
        let record = others(&mut other, head.hash, &mut document, offset as i64);
        device.record(offset, &record.record);
        head = record.head();
    }
    note(&mut device, "mine/1");
    device.pass(1);
    let pushed = device.push();
    device.ack(&pushed, 0);
    assert!(has(&device, "mine/1"));
    device.pass(2_000);
    let mut device = device.restarted();
    assert!(has(&device, "mine/1"));
    back(&mut device);
    let heads = vec![(other.replica(), head)];
    device.opened(OpenDocument { start: Start::Resumed, next: 5, tail: 5, heads, ..fresh() });
    device.pass(1);
    assert_eq!(device.push(), pushed, "it is pushed again, as the log does not have it");
}

#[test]
fn a_relay_does_not_say_with_which_key_is_sealed() {
    let mut device = Scripted::new();
    device.connect();
    device.opened(OpenDocument { sealing: Sealing::Epoch(9), ..fresh() });
    note(&mut device, "note/1");
    device.pass(1);
    device.told(&Event::NeedsKey(9));
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "that key may be true, and on its way");
    device.client.disconnected(device.now_ms);

    let mut device = device.restarted();
    back(&mut device);
    device.opened(OpenDocument { start: Start::Resumed, ..fresh() });
    device.pass(1);
    let pushed = device.push();
    assert_eq!(pushed.sealing, Sealing::Plain);
    let (replica, first) = (pushed.batch.replica(), pushed.batch.first());
    let why = selvedge_crdt::session::Refusal::Epoch(u32::MAX);
    device.hear(&RelayFrame::Refused { replica, first, why });
    device.pass(6_000);
    assert_eq!(device.push().sealing, Sealing::Plain, "it is tried once more");
}

#[test]
fn keys_that_members_told_of_are_used_from_then_on() {
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.connect();
    device.opened(OpenDocument { sealing: Sealing::Epoch(3), tail: 1, ..fresh() });
    note(&mut device, "note/1");
    device.pass(1);
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new());
    device.record(0, &roster(3));
    device.pass(1);
    assert_eq!(device.push().sealing, Sealing::Epoch(3));
    assert!(!device.events.contains(&Event::NeedsKey(3)));
}

/// Batches of another device, sealed with the key of epoch 1.
fn sealed(count: usize) -> Vec<Vec<u8>> {
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let mut prev = BatchHash::NONE;
    let mut next = |at: usize| {
        let plain = others(&mut other, prev, &mut document, at as i64);
        let mut batch = plain.batch.encode(prev);
        batch.push(1);
        prev = BatchHash::of(&batch);
        let (device, sealing, signature) =
            (DeviceId([2; 32]), Sealing::Epoch(1), Signature([2; 64]));
        Record::Batch { device, sealing, batch: &batch, signature }.to_bytes()
    };
    (0..count).map(&mut next).collect()
}

/// Whether the device offered a snapshot; whatever else it said is forgotten.
fn offers(device: &mut Scripted) -> bool {
    offered(device).is_some()
}

/// The snapshot that the device offered, as far as it was sent; whatever else it said is forgotten.
fn offered(device: &mut Scripted) -> Option<Vec<u8>> {
    let said: Vec<Vec<u8>> = device.said.drain(..).collect();
    let mut offered: Option<Vec<u8>> = None;
    for message in &said {
        match ClientFrame::read(message) {
            Ok((_, ClientFrame::Offer { .. })) => offered = Some(Vec::new()),
            Ok((_, ClientFrame::Piece { bytes, .. })) => {
                offered.get_or_insert_default().extend_from_slice(bytes);
            }
            _ => {}
        }
    }
    offered
}

#[test]
fn who_could_not_read_all_offers_no_snapshot_and_reads_again_when_it_can() {
    let records = sealed(6_000);
    let opened = OpenDocument { sealing: Sealing::Epoch(1), tail: 6_001, ..fresh() };
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.keys.needs_rosters = true;
    device.connect();
    device.opened(opened.clone());
    hear_all(&mut device, &records);
    assert!(!has(&device, "note/7"));
    let mut device = device.restarted();
    device.keys.needs_rosters = true;
    back(&mut device);
    device.opened(OpenDocument { start: Start::Resumed, next: 6_000, ..opened.clone() });
    device.record(6_000, &roster(1));
    assert!(!offers(&mut device), "what it has is not what the log says");
    device.pass(60_000);
    let Some((_, ClientFrame::Open { resume, .. })) = opens(&mut device) else {
        panic!("it is opened again");
    };
    assert_eq!(resume, None, "from the beginning");
    device.opened(opened);
    hear_all(&mut device, &records);
    device.record(6_000, &roster(1));
    device.pass(1);
    assert!(has(&device, "note/7") && has(&device, "note/5999"), "it is whole");
    assert!(!device.replica().is_lost() && !device.events.contains(&Event::Lost));
    assert!(offers(&mut device), "now it can be saved");
}

#[test]
fn who_could_not_read_all_compacts_when_it_can() {
    let mut records = sealed(20);
    let mut author = Document::new();
    for record in &records {
        let Ok(Record::Batch { batch, .. }) = Record::read(record) else { panic!("no batch") };
        author.apply(&Batch::decode(&batch[..batch.len() - 1]).expect("it is read").1);
    }
    let horizon = author.latest();
    author.compact(horizon, &[]);
    records.push(Record::Compact { horizon, retired: vec![] }.to_bytes());
    let opened = OpenDocument { sealing: Sealing::Epoch(1), tail: 22, ..fresh() };
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.keys.needs_rosters = true;
    device.connect();
    device.opened(opened.clone());
    hear_all(&mut device, &records);
    assert!(!device.events.contains(&Event::Suspicious { offset: 20, what: Suspicion::Horizon }));
    note(&mut device, "mine/1");
    device.record(21, &roster(1));
    device.pass(60_000);
    let reopened = opens(&mut device).map(|(_, frame)| frame);
    assert!(matches!(reopened, Some(ClientFrame::Open { resume: None, .. })));
    device.opened(opened);
    hear_all(&mut device, &records);
    device.record(21, &roster(1));
    device.pass(1);
    assert_eq!(device.document().horizon(), horizon);
    assert!(has(&device, "mine/1"), "what it wrote meanwhile lies behind the horizon");
    let written = device.push();
    author.apply(&written.batch);
    assert_eq!(device.document().snapshot(), author.snapshot(), "it is whole");
    device.ack(&written, 22);
    assert!(!device.replica().is_lost() && !device.events.contains(&Event::Lost));
    device.client.offer_snapshot(&device.name);
    device.pass(1);
    assert_eq!(
        offered(&mut device),
        Some(author.snapshot()),
        "nothing is lost for who comes later"
    );
}

fn hear_all(device: &mut Scripted, records: &[Vec<u8>]) {
    for (offset, record) in (0..).zip(records) {
        device.record(offset, record);
    }
}

/// The first OPEN that the device says; it stays to be answered.
fn opens(device: &mut Scripted) -> Option<(u32, ClientFrame<'static>)> {
    let is_open = |it: &Vec<u8>| matches!(ClientFrame::read(it), Ok((_, ClientFrame::Open { .. })));
    let message = device.said.iter().find(|it| is_open(it))?.clone();
    ClientFrame::read(message.leak()).ok()
}

#[test]
fn a_log_that_lost_records_may_go_back_to_an_older_snapshot() {
    let mut device = away();
    back(&mut device);
    let bytes = Document::new().snapshot();
    let older = info(&bytes, 0, Sealing::Plain);
    let opened = OpenDocument { log: LogId([5; 16]), ..with_snapshot(Start::Lost, older) };
    assert_ne!(opened.log, LOG);
    device.opened(opened);
    device.hear(&RelayFrame::Piece { snapshot: older.hash, from: 0, bytes: &bytes });
    assert!(has(&device, "note/1"));
    device.pass(1);
    assert!(!device.pushes().iter().map(|it| Pushed::of(it)).collect::<Vec<_>>().is_empty());
}
