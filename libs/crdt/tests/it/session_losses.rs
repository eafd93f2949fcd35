//! What a relay lost, and somebody had read.

use selvedge_crdt::{
    BatchHash, Document, ReplicaId,
    session::{
        DeviceId, Event, LogId, OpenDocument, Record, RelayFrame, Rename, Sealing, Signature,
        SnapshotHash, SnapshotInfo, Start,
    },
};

use crate::scripted::{Pushed, Scripted, fresh};

fn increment(device: &mut Scripted) -> Pushed {
    device.edit(|edit| edit.increment("page", "visits", 1));
    device.pass(1_000);
    device.push()
}

fn visits(document: &Document) -> i64 {
    document.entity("page").map_or(0, |page| page.count("visits"))
}

/// A device that counted two visits. The relay had both, and everybody the first, so that nobody keeps that as it was pushed; then it
/// lost both. What it acknowledged of the second did not arrive.
fn come_back_after_a_loss(rights: u8) -> (Scripted, Vec<u8>) {
    let mut device = Scripted::new();
    device.connect();
    device.opened(fresh());
    let first = increment(&mut device);
    device.ack(&first, 0);
    let horizon = first.batch.header(BatchHash::NONE).stamp_last;
    device.record(1, &Record::Compact { horizon, retired: vec![] }.to_bytes());
    let second = increment(&mut device);
    let mut others = Document::new();
    others.apply(&first.batch);
    others.apply(&second.batch);
    others.compact(horizon, &[]);
    device.client.disconnected(device.now_ms);
    device.pass(2_000);
    device.said.clear();
    device.connect();
    device.opened(OpenDocument { log: LogId([5; 16]), start: Start::Lost, rights, ..fresh() });
    let (from, to) = (ReplicaId([1; 16]), device.replica().id());
    device.told(&Event::Renamed { from, to, why: Rename::Lost });
    assert_eq!(visits(device.document()), 2);
    (device, others.snapshot())
}

/// Another device heals with what it has read.
fn heal(device: &mut Scripted, at: u64, bytes: &[u8]) {
    let info = SnapshotInfo {
        hash: SnapshotHash::of(bytes),
        bytes: bytes.len() as u64,
        offset: at,
        heals: true,
        sealing: Sealing::Plain,
        device: DeviceId([2; 32]),
    };
    device.record(at, &Record::Snapshot { info, signature: Signature([2; 64]) }.to_bytes());
    device.hear(&RelayFrame::Piece { snapshot: info.hash, from: 0, bytes });
}

#[test]
fn what_somebody_else_read_counts_once() {
    for rights in [3, 15] {
        let (mut device, bytes) = come_back_after_a_loss(rights);
        device.pass(1);
        let again = device.push();
        assert_eq!((again.batch.replica(), again.batch.len()), (device.replica().id(), 1));
        device.ack(&again, 0);
        heal(&mut device, 1, &bytes);
        assert_eq!(visits(device.document()), 2);
        let mut others = Document::load(&bytes).expect("it is a document");
        others.apply(&again.batch);
        assert_eq!(visits(&others), 2, "whoever had it reads it as the same");
        increment(&mut device);
        assert_eq!(visits(device.document()), 3);
    }
}

#[test]
fn what_is_healed_before_it_is_issued_again_counts_once() {
    let (device, bytes) = come_back_after_a_loss(15);
    let mut device = device.restarted();
    assert_eq!(visits(device.document()), 2);
    device.connect();
    device.opened(OpenDocument { log: LogId([5; 16]), ..fresh() });
    heal(&mut device, 0, &bytes);
    assert_eq!(visits(device.document()), 2);
    device.pass(1_000);
    assert_eq!(visits(device.document()), 2);
}
