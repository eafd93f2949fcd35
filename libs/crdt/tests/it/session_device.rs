//! The device's side of a session, against what may happen to it.

use selvedge_crdt::{
    BatchHash, Document, EditError, Hlc, ReplicaId, Writer,
    session::{
        Change, ClientFrame, CloseReason, DeviceId, Event, LogId, OpenDocument, Record, Refusal,
        RelayFrame, Remedy, Rename, Resume, Sealing, Signature, SnapshotHash, SnapshotInfo, Start,
        Suspicion, Want,
    },
};

use crate::scripted::{LOG, Pushed, RELAY_MS, Scripted, fresh, others, roster};

/// A device that has opened an empty document.
fn open() -> Scripted {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    device
}

fn note(device: &mut Scripted, value: i64) {
    device.edit(|edit| edit.set("note/1", "title", value.into()));
}

fn title(document: &Document) -> Option<i64> {
    let value = document.entity("note/1")?.get("title")?;
    if let selvedge_crdt::Value::Int(value) = value { Some(value) } else { None }
}

#[test]
fn edits_go_together_and_only_when_they_are_durable() {
    let mut device = Scripted::new();
    (1..=3).for_each(|value| note(&mut device, value));
    device.connect();
    device.opened(fresh());
    let pushed = device.push();
    assert_eq!((pushed.batch.first(), pushed.batch.len(), pushed.prev), (1, 3, BatchHash::NONE));
    device.ack(&pushed, 0);
    device.told(&Event::Acknowledged { replica: ReplicaId([1; 16]), seq: 3 });
    assert_eq!(device.replica().unacknowledged(), 0);

    note(&mut device, 4);
    device.tick();
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "nothing is stored yet");
    device.store();
    device.tick();
    let next = device.push();
    assert_eq!((next.batch.first(), next.prev), (4, pushed.hash));
}

#[test]
fn a_journal_is_begun_anew_when_it_is_long_beside_what_is_kept() {
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let mut device = open();
    let (mut begun, mut appended, mut prev) = (0, 0, BatchHash::NONE);
    for offset in 0..20_000 {
        // Nothing but the last of these stays, and the records of all.
        let record = others(&mut other, prev, &mut document, 7);
        prev = record.hash;
        let frame = RelayFrame::Record { offset, record: &record.record };
        device.client.receive(device.now_ms, &frame.to_bytes(device.channel), &mut device.keys);
        device.client.tick(device.now_ms, &mut device.keys);
        while let Some((name, transaction)) = device.client.poll_transaction() {
            device.client.saved(&name, transaction.number);
            for change in &transaction.changes {
                match change {
                    Change::Begin(bytes) => begun += bytes.len(),
                    Change::Append(bytes) => appended += bytes.len(),
                }
            }
            device.saved.store(transaction);
        }
    }
    assert!(begun <= 4 * appended, "{begun} bytes for {appended}");
    assert!(begun > 0 && device.saved.appended.len() < 20_000, "it is begun anew");
    let device = device.restarted();
    assert_eq!(device.document().snapshot(), document.snapshot());
}

#[test]
fn what_need_not_be_kept_any_more_is_not_stored_any_more() {
    let mut device = open();
    let text = "word ".repeat(10_000);
    for offset in 0..20 {
        device.edit(|edit| edit.set(&format!("note/{offset}"), "f", text.as_str().into()));
        device.pass(100);
        let pushed = device.push();
        device.ack(&pushed, offset);
        device.record(offset, &pushed.record);
        device.pass(100);
    }
    let stored = |device: &Scripted| {
        device.saved.begin.len() + device.saved.appended.iter().map(Vec::len).sum::<usize>()
    };
    let (before, all) = (stored(&device), 20 * text.len());
    assert!(before > 2 * all, "{before} bytes: the notes, and what was pushed");
    let horizon = device.document().latest();
    device.record(20, &Record::Compact { horizon, retired: vec![] }.to_bytes());
    device.pass(100);
    let after = stored(&device);
    assert!(after < all + all / 4, "{after} bytes are stored of {all}");
    let snapshot = device.document().snapshot();
    assert_eq!(device.restarted().document().snapshot(), snapshot);
}

#[test]
fn what_was_pushed_before_a_crash_is_pushed_with_the_same_bytes() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let before = device.push();
    let mut device = device.restarted();
    assert_eq!(title(device.document()), Some(1));
    device.connect();
    let resumed = OpenDocument { start: Start::Resumed, ..fresh() };
    device.opened(resumed);
    assert_eq!(device.push(), before);
}

/// Starts a device again whose journal says what happened so far, up to the records that it read: it must be where it was, push again
/// what waits, and write on behind that.
#[track_caller]
fn check_goes_on(device: Scripted, read: &[&Pushed], waiting: &[&Pushed]) {
    let last = read.last().expect("it has read");
    let position = device.replica().position().expect("it has read");
    assert_eq!(position.last, BatchHash::of(&last.record));
    let mut device = device.restarted();
    assert_eq!(device.replica().position(), Some(position));
    note(&mut device, 9);
    device.connect();
    let Resume { next, .. } = position;
    let mut heads: Vec<_> = read.iter().map(|it| (it.batch.replica(), it.head())).collect();
    heads.sort_by_key(|(replica, head)| (*replica, std::cmp::Reverse(head.seq)));
    heads.dedup_by_key(|(replica, _)| *replica);
    device.opened(OpenDocument { start: Start::Resumed, next, tail: next, heads, ..fresh() });
    let pushes: Vec<Pushed> = device.pushes().iter().map(|it| Pushed::of(it)).collect();
    let (new, again) = pushes.split_last().expect("it pushes what it wrote");
    assert!(again.iter().eq(waiting.iter().copied()));
    let own = read.iter().chain(waiting).rfind(|it| it.batch.replica() == ReplicaId([1; 16]));
    assert_eq!(own.map(|own| own.hash), Some(new.prev));
}

#[test]
fn a_device_that_is_started_again_is_where_its_journal_ends() {
    let mut device = open();
    (1..=3).for_each(|value| {
        note(&mut device, value);
        device.pass(1);
    });
    let pushed: Vec<Pushed> = device.pushes().iter().map(|record| Pushed::of(record)).collect();
    let [first, second, third] = &pushed[..] else { panic!("{} pushes", pushed.len()) };
    device.ack(first, 0);
    device.ack(second, 1);
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let theirs = others(&mut other, BatchHash::NONE, &mut document, 7);
    let again = |device: &Scripted| Scripted { saved: device.saved.clone(), ..Scripted::new() };
    check_goes_on(again(&device).restarted(), &[first, second], &[third]);
    device.record(2, &theirs.record);
    check_goes_on(again(&device).restarted(), &[first, second, &theirs], &[third]);
    device.ack(third, 3);
    check_goes_on(device, &[first, second, &theirs, third], &[]);
}

#[test]
fn pushes_do_not_wait_for_each_other() {
    let mut device = open();
    for value in 1..=5 {
        note(&mut device, value);
        device.pass(1);
    }
    let pushed: Vec<Pushed> = device.pushes().iter().map(|record| Pushed::of(record)).collect();
    assert_eq!(pushed.len(), 5);
    assert!(pushed.windows(2).all(|pair| pair[1].prev == pair[0].hash));
    pushed.iter().zip(0..).for_each(|(pushed, offset)| device.ack(pushed, offset));
    assert_eq!(device.replica().position().map(|it| it.next), Some(5));
}

#[test]
fn it_says_that_it_has_seen_what_is_durable_and_what_it_wrote_before_is_safe() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(10);
    let pushed = device.push();
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let record = others(&mut other, BatchHash::NONE, &mut document, 7);
    device.record(0, &record.record);
    device.pass(5_000);
    assert_eq!(seen(&mut device), 0, "what it wrote before is not safe");
    device.ack(&pushed, 1);
    device.pass(5_000);
    assert_eq!(seen(&mut device), 2);
}

/// What the device said last that it has seen.
fn seen(device: &mut Scripted) -> u64 {
    let said: Vec<Vec<u8>> = device.said.drain(..).collect();
    let mut seen = said.iter().filter_map(|message| match ClientFrame::read(message) {
        Ok((_, ClientFrame::Saw { next })) => Some(next),
        _ => None,
    });
    seen.next_back().unwrap_or(0)
}

#[test]
fn a_clock_that_was_ahead_writes_again_with_the_relays_time() {
    let mut device = Scripted::new();
    device.now_ms = RELAY_MS + 30 * 86_400_000;
    note(&mut device, 1);
    device.now_ms = RELAY_MS;
    device.connect();
    device.opened(fresh());
    let ahead = device.push();
    device.refuse(&ahead, Refusal::Drift(RELAY_MS));
    device.pass(200);
    let again = device.push();
    assert_eq!(again.batch.first(), ahead.batch.first());
    let stamp = again.batch.header(BatchHash::NONE).stamp_last;
    assert_eq!(stamp, Hlc::from_ms(RELAY_MS));
    device.ack(&again, 0);
    assert_eq!(title(device.document()), Some(1));
    assert_eq!(device.document().latest(), stamp);
}

#[test]
fn a_copied_profile_takes_another_id_and_loses_nothing() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let first = device.push();
    device.ack(&first, 0);
    note(&mut device, 2);
    device.pass(1);
    let mine = device.push();
    device.refuse(&mine, Refusal::Forked);
    device.pass(2_000);
    // The copy wrote something else under the same name.
    let mut copy = Writer::resume(ReplicaId([1; 16]), 2, Hlc::from_ms(RELAY_MS));
    let mut document = Document::new();
    let theirs = others(&mut copy, first.hash, &mut document, 9);
    let theirs = Pushed::of(&signed(&theirs, 1));
    let heads = vec![(ReplicaId([1; 16]), theirs.head())];
    device.opened(OpenDocument { start: Start::Resumed, next: 1, tail: 2, heads, ..fresh() });
    device.record(1, &theirs.record);
    let id = device.replica().id();
    assert_ne!(id, ReplicaId([1; 16]));
    let from = ReplicaId([1; 16]);
    device.told(&Event::Renamed { from, to: id, why: Rename::Forked });
    device.pass(1);
    let again = device.push();
    assert_eq!((again.batch.replica(), again.batch.first(), again.prev), (id, 1, BatchHash::NONE));
    assert_eq!(title(device.document()), Some(2));
    let entity = device.document().entity("note/1").expect("it is there");
    assert_eq!(entity.get("from"), Some(9.into()), "what the copy wrote is there as well");
}

/// The same batch, signed by another device.
fn signed(pushed: &Pushed, device: u8) -> Vec<u8> {
    let Ok(Record::Batch { sealing, batch, .. }) = Record::read(&pushed.record) else {
        panic!("no batch");
    };
    let (device, signature) = (DeviceId([device; 32]), Signature([device; 64]));
    Record::Batch { device, sealing, batch, signature }.to_bytes()
}

#[test]
fn a_relay_that_lost_records_gets_them_again_also_those_of_others() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let mine = device.push();
    device.ack(&mine, 0);
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let theirs = others(&mut other, BatchHash::NONE, &mut document, 7);
    device.record(1, &theirs.record);
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    let lost = OpenDocument { log: LogId([5; 16]), start: Start::Lost, ..fresh() };
    device.opened(lost);
    device.told(&Event::Lost);
    assert_eq!(device.pushes(), [mine.record.clone(), theirs.record.clone()]);
    device.ack(&mine, 0);
    device.ack(&theirs, 1);
    device.told(&Event::Healed);
    assert!(!device.replica().is_lost());
}

#[test]
fn what_only_a_snapshot_brought_is_put_back_by_a_snapshot_that_heals() {
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    others(&mut other, BatchHash::NONE, &mut document, 7);
    let mut device = Scripted::new();
    device.connect();
    load(&mut device, &document.snapshot(), Start::Snapshot);
    assert!(device.document().entity("note/7").is_some());
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    device.opened(OpenDocument { log: LogId([5; 16]), start: Start::Lost, ..fresh() });
    device.pass(1_000);
    let offered = device.said.iter().find_map(|it| match ClientFrame::read(it) {
        Ok((_, ClientFrame::Offer { record, replaces: None })) => Some(record.to_vec()),
        _ => None,
    });
    let offered = offered.expect("a snapshot is offered");
    let Ok(Record::Snapshot { info, .. }) = Record::read(&offered) else { panic!("a snapshot") };
    assert!(info.heals);
    assert_eq!(info.hash, SnapshotHash::of(&document.snapshot()));
}

/// The device is told to begin with this snapshot, and gets it in two parts.
fn load(device: &mut Scripted, bytes: &[u8], start: Start) {
    let info = info_of(bytes);
    let signature = Signature([2; 64]);
    let snapshot = Some((info, signature));
    device.opened(OpenDocument { start, next: 3, tail: 3, snapshot, ..fresh() });
    let (_, asked) = device.next();
    assert_eq!(asked, ClientFrame::Fetch { snapshot: info.hash, from: 0 });
    let half = bytes.len() / 2;
    let snapshot = info.hash;
    device.hear(&RelayFrame::Piece { snapshot, from: 0, bytes: &bytes[..half] });
    device.hear(&RelayFrame::Piece { snapshot, from: half as u64, bytes: &bytes[half..] });
}

fn info_of(bytes: &[u8]) -> SnapshotInfo {
    SnapshotInfo {
        hash: SnapshotHash::of(bytes),
        bytes: bytes.len() as u64,
        offset: 3,
        heals: false,
        sealing: Sealing::Plain,
        device: DeviceId([2; 32]),
    }
}

#[test]
fn a_snapshot_goes_on_where_the_connection_was_lost() {
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    others(&mut other, BatchHash::NONE, &mut document, 7);
    let bytes = document.snapshot();
    let info = info_of(&bytes);
    let snapshot = Some((info, Signature([2; 64])));
    let opened = OpenDocument { next: 3, tail: 3, snapshot, ..fresh() };
    let mut device = Scripted::new();
    device.connect();
    device.opened(opened.clone());
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 0, bytes: &bytes[..20] });
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    device.opened(opened);
    let (_, asked) = device.next();
    assert_eq!(asked, ClientFrame::Fetch { snapshot: info.hash, from: 20 });
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 20, bytes: &bytes[20..] });
    assert_eq!(device.document().snapshot(), bytes);
}

#[test]
fn a_snapshot_that_is_not_what_it_says_is_not_joined() {
    let bytes = Document::new().snapshot();
    let mut device = Scripted::new();
    device.connect();
    let snapshot = Some((info_of(&bytes), Signature([9; 64])));
    device.opened(OpenDocument { next: 3, tail: 3, snapshot, ..fresh() });
    let hash = SnapshotHash::of(&bytes);
    device.hear(&RelayFrame::Piece { snapshot: hash, from: 0, bytes: &bytes });
    device.told(&Event::Suspicious { offset: 3, what: Suspicion::Snapshot });
    assert_eq!(device.replica().position(), None);
}

#[test]
fn after_its_lease_a_device_keeps_only_what_it_had_not_pushed() {
    let mut device = open();
    device.edit(|edit| edit.set("note/old", "f", 1.into()));
    device.pass(1);
    let old = device.push();
    device.ack(&old, 0);
    device.client.disconnected(device.now_ms);
    note(&mut device, 5);
    device.pass(fresh().lease_ms + 2_000);
    device.said.clear();
    device.connect();
    // Others deleted the old note, compacted, and forgot this replica.
    load(&mut device, &Document::new().snapshot(), Start::Expired);
    let id = device.replica().id();
    let from = ReplicaId([1; 16]);
    device.told(&Event::Renamed { from, to: id, why: Rename::Expired });
    assert!(device.document().entity("note/old").is_none(), "it does not come back");
    device.pass(1);
    let again = device.push();
    assert_eq!((again.batch.replica(), again.batch.len()), (id, 1));
    assert_eq!(title(device.document()), Some(5));
}

#[test]
fn at_a_compaction_what_is_not_confirmed_is_written_again_and_one_sweeps() {
    let mut device = open();
    device.edit(|edit| edit.set("note/dead", "f", 1.into()));
    device.edit(|edit| edit.delete("note/dead"));
    device.pass(1);
    let dead = device.push();
    let horizon = dead.batch.header(BatchHash::NONE).stamp_last;
    device.ack(&dead, 0);
    device.now_ms += 1_000;
    note(&mut device, 1);
    let compact = Record::Compact { horizon, retired: vec![] }.to_bytes();
    device.record(1, &compact);
    device.pass(10);
    assert_eq!(device.document().horizon(), horizon);
    assert_eq!(title(device.document()), Some(1));
    let pushed = device.pushes();
    let sweeps = pushed
        .iter()
        .any(|record| Pushed::of(record).batch.ops().any(|op| &**op.entity == "note/dead"));
    assert!(sweeps, "who wrote the last batch drops what is dead");
}

#[test]
fn what_is_older_than_the_horizon_is_written_again_under_another_id() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let stale = device.push();
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let later = others(&mut other, BatchHash::NONE, &mut document, 60_000);
    device.record(0, &later.record);
    let horizon = Hlc::from_ms(RELAY_MS + 60_000);
    let compact = Record::Compact { horizon, retired: vec![] }.to_bytes();
    device.record(1, &compact);
    device.refuse(&stale, Refusal::SnapshotRequired);
    device.pass(2_000);
    device.opened(OpenDocument { start: Start::Resumed, next: 2, tail: 2, ..fresh() });
    device.pass(1);
    let again = device.push();
    assert_ne!(again.batch.replica(), stale.batch.replica());
    assert!(again.batch.header(BatchHash::NONE).stamp_first > horizon);
    assert_eq!(title(device.document()), Some(1));
}

#[test]
fn another_epoch_seals_again_and_none_is_given_up() {
    let mut device = Scripted::sealed(Sealing::Epoch(1));
    device.connect();
    device.opened(OpenDocument { sealing: Sealing::Epoch(1), ..fresh() });
    note(&mut device, 1);
    device.pass(1);
    let first = device.push();
    assert_eq!(first.sealing, Sealing::Epoch(1));
    device.refuse(&first, Refusal::Epoch(2));
    device.pass(200);
    assert_eq!(device.pushes(), Vec::<Vec<u8>>::new(), "no member told of that key");
    device.record(0, &roster(2));
    device.pass(200);
    let again = device.push();
    assert_eq!((again.sealing, again.batch), (Sealing::Epoch(2), first.batch));
    let pushed = Pushed::of(&again.record);
    device.refuse(&pushed, Refusal::Epoch(0));
    device.pass(200);
    device.told(&Event::Refused { why: Refusal::Epoch(0), remedy: Remedy::Waits });
    assert!(device.pushes().iter().all(|it| Pushed::of(it).sealing == Sealing::Epoch(2)));
}

#[test]
fn an_edit_that_breaks_the_schema_is_dropped_and_the_others_stay() {
    let mut device = Scripted::new();
    note(&mut device, 1);
    device.now_ms += 10;
    device.edit(|edit| edit.set("note/bad", "f", 1.into()));
    device.now_ms += 10;
    note(&mut device, 2);
    device.connect();
    device.opened(fresh());
    let together = device.push();
    assert_eq!(together.batch.len(), 3);
    device.refuse(&together, Refusal::Schema("note/bad".into()));
    device.pass(1);
    let single: Vec<Pushed> = device.pushes().iter().map(|it| Pushed::of(it)).collect();
    assert_eq!(single.len(), 3);
    device.ack(&single[0], 0);
    device.refuse(&single[1], Refusal::Schema("note/bad".into()));
    device.refuse(&single[2], Refusal::Expected(2));
    device.pass(2_000);
    let heads = vec![(ReplicaId([1; 16]), single[0].head())];
    device.opened(OpenDocument { start: Start::Resumed, next: 1, tail: 1, heads, ..fresh() });
    device.pass(1);
    let last = device.push();
    assert_eq!(last.batch.len(), 1);
    assert_eq!(title(device.document()), Some(2));
    assert!(device.document().entity("note/bad").is_none());
}

#[test]
fn records_that_are_not_right_are_told_and_passed_over() {
    let mut device = open();
    let (mut other, mut document) = (Writer::new(ReplicaId([2; 16])), Document::new());
    let good = others(&mut other, BatchHash::NONE, &mut document, 7);
    let mut forged = good.record.clone();
    *forged.last_mut().expect("it has bytes") ^= 1;
    let odd = signed(&good, 2);
    let Ok(Record::Batch { device: by, sealing, signature, .. }) = Record::read(&odd) else {
        panic!("a batch");
    };
    let rubbish = Record::Batch { device: by, sealing, batch: b"rubbish", signature }.to_bytes();
    for (offset, record) in [b"nonsense".to_vec(), forged, rubbish].iter().enumerate() {
        device.record(offset as u64, record);
    }
    device.record(3, &good.record);
    let stolen = others(&mut other, good.hash, &mut document, 8);
    device.record(4, &signed(&stolen, 3));
    for (offset, what) in [
        (0, Suspicion::Malformed),
        (1, Suspicion::Signature),
        (2, Suspicion::Malformed),
        (4, Suspicion::Device),
    ] {
        device.told(&Event::Suspicious { offset, what });
    }
    assert_eq!(device.replica().position().map(|it| it.next), Some(5));
    assert!(device.document().entity("note/7").is_some());
    assert!(device.document().entity("note/8").is_none());
}

#[test]
fn a_channel_that_is_closed_comes_again_when_it_was_told_to() {
    let mut device = open();
    let again_ms = Some(20_000);
    device.hear(&RelayFrame::Closed { why: CloseReason::Unavailable, again_ms });
    device.pass(19_000);
    assert!(device.said.is_empty());
    device.pass(10_000);
    let (_, frame) = device.next();
    let ClientFrame::Open { resume, .. } = frame else { panic!("{frame:?}") };
    assert_eq!(resume, Some(Resume { log: LOG, next: 0, last: BatchHash::NONE }));
}

#[test]
fn a_token_that_ended_is_asked_for() {
    let mut device = open();
    device.hear(&RelayFrame::Closed { why: CloseReason::Expired, again_ms: None });
    device.told(&Event::NeedsToken);
    device.pass(100_000);
    assert!(device.said.is_empty());
    let token = selvedge_crdt::session::Token { text: "another".into(), ends_ms: None };
    device.client.set_token(&device.name, token, &device.keys);
    device.pass(5_000);
    assert!(matches!(device.next(), (_, ClientFrame::Open { token: "another", .. })));
}

#[test]
fn presence_is_said_twenty_times_a_second_at_most_and_again_before_it_ends() {
    let mut device = open();
    for at in 0..100 {
        assert!(device.client.show(&device.name, vec![1, at]));
        device.pass(10);
    }
    let shown = |device: &mut Scripted| {
        let said: Vec<Vec<u8>> = device.said.drain(..).collect();
        said.iter()
            .filter(|it| matches!(ClientFrame::read(it), Ok((_, ClientFrame::Presence { .. }))))
            .count()
    };
    let often = shown(&mut device);
    assert!((18..=21).contains(&often), "{often}");
    device.pass(60_000);
    assert!((3..=6).contains(&shown(&mut device)));
    assert!(!device.client.show(&device.name, vec![0; 5_000]));
}

#[test]
fn a_relay_that_talks_nonsense_is_left() {
    let mut device = open();
    device.client.receive(device.now_ms, b"\xff\xff", &mut device.keys);
    assert_eq!(device.client.wants(device.now_ms), Want::Disconnect);
    device.client.disconnected(device.now_ms);
    assert_eq!(device.client.wants(device.now_ms), Want::Nothing);
    device.pass(1_000);
    assert_eq!(device.client.wants(device.now_ms), Want::Connect);
}

#[test]
fn who_cannot_bridge_what_the_relay_lost_writes_on_under_another_id() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let first = device.push();
    device.ack(&first, 0);
    // Everybody had it, so that it is not kept as it was pushed.
    let horizon = first.batch.header(BatchHash::NONE).stamp_last;
    device.record(1, &Record::Compact { horizon, retired: vec![] }.to_bytes());
    device.client.disconnected(device.now_ms);
    note(&mut device, 2);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    device.opened(OpenDocument { log: LogId([5; 16]), start: Start::Lost, ..fresh() });
    let (from, to) = (ReplicaId([1; 16]), device.replica().id());
    device.told(&Event::Renamed { from, to, why: Rename::Lost });
    device.pass(1);
    let again = device.push();
    assert_eq!((again.batch.replica(), again.batch.first(), again.prev), (to, 1, BatchHash::NONE));
    assert_eq!(title(device.document()), Some(2));
}

/// A device that wrote offline at `wrote_ms`, with a relay that lost records at `lost_ms`.
fn after_a_loss(device: &mut Scripted, (wrote_ms, lost_ms): (u64, u64)) -> Pushed {
    device.now_ms = wrote_ms;
    note(device, 2);
    device.store();
    device.now_ms = RELAY_MS.max(wrote_ms) + 2_000;
    device.said.clear();
    device.connect();
    let start = if device.replica().position().is_some() { Start::Lost } else { Start::Snapshot };
    device.opened(OpenDocument { log: LogId([5; 16]), start, lost_ms, ..fresh() });
    device.pass(1);
    let pushes: Vec<Pushed> = device.pushes().iter().map(|it| Pushed::of(it)).collect();
    pushes.last().expect("it pushes").clone()
}

#[test]
fn what_was_written_before_the_first_connection_is_not_older_than_what_the_relay_forgot() {
    let (month_ago, hour_ago) = (RELAY_MS - 30 * 86_400_000, RELAY_MS - 3_600_000);
    let mut device = Scripted::new();
    let pushed = after_a_loss(&mut device, (month_ago, hour_ago));
    let (from, to) = (ReplicaId([1; 16]), device.replica().id());
    device.told(&Event::Renamed { from, to, why: Rename::Behind });
    assert_eq!((pushed.batch.replica(), pushed.batch.first()), (to, 1));
    assert!(pushed.batch.header(BatchHash::NONE).stamp_first > Hlc::from_ms(hour_ago));
}

#[test]
fn what_was_written_after_a_loss_or_by_who_had_a_lease_stays_as_it_is() {
    let (month_ago, hour_ago) = (RELAY_MS - 30 * 86_400_000, RELAY_MS - 3_600_000);
    let mut device = Scripted::new();
    let pushed = after_a_loss(&mut device, (hour_ago, month_ago));
    assert_eq!(pushed.batch.replica(), ReplicaId([1; 16]));
    assert_eq!(pushed.batch.header(BatchHash::NONE).stamp_first, Hlc::from_ms(hour_ago));

    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let first = device.push();
    device.ack(&first, 0);
    device.client.disconnected(device.now_ms);
    let now_ms = device.now_ms;
    let pushed = after_a_loss(&mut device, (now_ms, now_ms + 1_000));
    assert_eq!((pushed.batch.replica(), pushed.batch.first()), (ReplicaId([1; 16]), 2));
}

#[test]
fn an_edit_that_fails_leaves_nothing_behind() {
    let mut device = open();
    note(&mut device, 1);
    device.pass(1);
    let before = device.document().snapshot();
    let failed = device.try_edit(|edit| {
        edit.delete("note/1")?;
        edit.set("note/2", "title", "half of it".into())?;
        edit.set("note/2", &"long".repeat(100), "does not fit".into())
    });
    assert_eq!(failed, Err(EditError::FieldName));
    assert_eq!(device.document().snapshot(), before);
    assert_eq!(device.replica().unacknowledged(), 1);
    // The next edit takes the names that the failed one had.
    note(&mut device, 2);
    device.pass(1);
    let firsts: Vec<u64> =
        device.pushes().iter().map(|record| Pushed::of(record).batch.first()).collect();
    assert_eq!(firsts, [1, 2]);
    assert_eq!(title(device.document()), Some(2));
}
