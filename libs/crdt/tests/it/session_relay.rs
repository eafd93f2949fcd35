//! What a relay knows of a document's devices.

use selvedge_crdt::{
    BatchHash, Document, ReplicaId, Writer,
    session::{
        DeviceId, DocumentId, LogId, OpenDocument, RecordHash, Resume, Start,
        relay::{READ, RelayDocument, Session, Terms, WRITE},
    },
};

use crate::scripted::{LOG, RELAY_MS, others};

/// When everything that is tested here happens: long after everything was written.
const NOW_MS: u64 = RELAY_MS + 86_400_000;

fn session(device: u8) -> Session {
    Session { device: DeviceId([device; 32]), rights: READ | WRITE }
}

fn terms() -> Terms {
    Terms { compact_records: 1, ..Terms::default() }
}

/// A document with so many batches in its log.
fn document(batches: u64) -> RelayDocument {
    let name = DocumentId::new("acme", "notes").expect("a name");
    let mut document = RelayDocument::new(name, LOG, 0);
    write(&mut document, batches);
    document
}

fn write(document: &mut RelayDocument, batches: u64) {
    let id = document.tail() as u8;
    let mut writer = Writer::new(ReplicaId([id; 16]));
    let (mut written, mut prev) = (Document::new(), BatchHash::NONE);
    for at in 0..batches {
        let pushed = others(&mut writer, prev, &mut written, (document.tail() + at) as i64);
        document.replay(&pushed.record).expect("it is a record");
        prev = pushed.hash;
    }
}

fn at(log: LogId, next: u64) -> Option<Resume> {
    Some(Resume { log, next, last: RecordHash::NONE })
}

fn open(document: &mut RelayDocument, device: u8, resume: Option<Resume>) -> OpenDocument {
    let replicas = [ReplicaId([device; 16])];
    document.open(&session(device), (resume, None), &replicas, (&terms(), NOW_MS))
}

/// Up to which offset a compaction goes now, if there is one.
fn stable(document: &mut RelayDocument, foreign: u8) -> Option<u64> {
    document.compact(&terms(), NOW_MS)?;
    document.commit();
    // Who stands before it has expired.
    let mut low = 0;
    while open(document, foreign, at(LOG, low)).start == Start::Expired {
        low += 1;
    }
    Some(low)
}

#[test]
fn offsets_of_another_log_make_nobody_expire() {
    let mut document = document(600);
    open(&mut document, 1, at(LOG, 600));
    assert!(document.compact(&terms(), NOW_MS).is_some());
    document.commit();
    let (same, other) = (at(LOG, 500), at(LogId([5; 16]), 500));
    assert_eq!(
        open(&mut document, 2, other).start,
        Start::Lost,
        "what it wrote there is lost here"
    );
    assert_eq!(open(&mut document, 3, same).start, Start::Expired);
}

/// Until then every device keeps what it wrote as it was pushed, beside what came of it.
#[test]
fn few_records_are_compacted_if_they_are_long() {
    let mut document = document(10);
    open(&mut document, 1, at(LOG, 10));
    let terms = |compact_bytes| Terms { compact_bytes, ..Terms::default() };
    assert!(document.compact(&terms(1 << 20), NOW_MS).is_none(), "ten short ones");
    assert!(document.compact(&terms(1 << 10), NOW_MS).is_some(), "ten of more than 100 bytes");
    document.commit();
    document.saw(&session(1), 11, NOW_MS);
    assert!(document.compact(&terms(1 << 10), NOW_MS).is_none(), "nothing came since");
}

/// Of a long log not every place is known: what lies before a compaction must not count again for the next one.
#[test]
fn a_record_behind_a_compaction_makes_no_other_one() {
    let mut document = document(1_000);
    let long = Terms { compact_bytes: 256, ..Terms::default() };
    open(&mut document, 1, at(LOG, 1_000));
    let (mut writer, mut written) = (Writer::new(ReplicaId([77; 16])), Document::new());
    let (mut prev, mut compacted, mut since) = (BatchHash::NONE, 0, usize::MAX / 2);
    for step in 0..80 {
        let pushed = others(&mut writer, prev, &mut written, 10_000 + step);
        document.replay(&pushed.record).expect("it is a record");
        (prev, since) = (pushed.hash, since + pushed.record.len());
        document.saw(&session(1), document.tail(), NOW_MS);
        if document.compact(&long, NOW_MS).is_some() {
            document.commit();
            assert!(since >= 256, "only {since} bytes lie behind the last one");
            (compacted, since) = (compacted + 1, 0);
        }
    }
    assert!(compacted >= 5, "{compacted} compactions of 80 records");
}

#[test]
fn by_coming_nobody_has_seen_more() {
    let mut document = document(100);
    open(&mut document, 1, at(LOG, 100));
    write(&mut document, 100);
    open(&mut document, 1, at(LOG, 200));
    open(&mut document, 2, at(LOG, 200));
    document.saw(&session(2), 200, NOW_MS);
    assert_eq!(stable(&mut document, 9), Some(100), "device 1 has said no more");
}

#[test]
fn who_only_looks_is_not_expected_back() {
    let mut document = document(200);
    open(&mut document, 1, at(LOG, 150));
    for resume in [None, at(LOG, 0), at(LOG, 200)] {
        let looking = document.open(&session(1), (resume, None), &[], (&terms(), NOW_MS));
        assert_eq!(looking.tail, 200);
        document.open(&session(7), (resume, None), &[], (&terms(), NOW_MS));
    }
    assert_eq!(document.devices(), 1);
    assert_eq!(stable(&mut document, 9), Some(150), "its lease is where it was");
}

/// Devices that nobody knows must not make what is known of a document as large as they like.
#[test]
fn so_many_devices_are_waited_for_and_the_ones_that_were_forgotten_make_room() {
    let mut document = document(10);
    let few = Terms { devices_max: 2, ..terms() };
    let open = |document: &mut RelayDocument, device: u8, now_ms: u64| {
        let replicas = [ReplicaId([device; 16])];
        document.open(&session(device), (at(LOG, 10), None), &replicas, (&few, now_ms)).start
    };
    for device in 0..5 {
        assert_eq!(open(&mut document, device, NOW_MS), Start::Resumed, "it reads and writes");
    }
    assert_eq!(document.devices(), 2);
    let later_ms = NOW_MS + few.lease_ms + 1;
    open(&mut document, 4, later_ms);
    assert_eq!(document.devices(), 1, "the first two did not come back");
    document.saw(&session(4), 10, later_ms);
    assert!(document.is_leased(&session(4).device, (&few, later_ms)));
}

/// However many devices and replicas there are, what is known of them has room in a record of the log.
#[test]
fn what_is_known_of_the_fullest_document_can_be_saved() {
    let most = Terms::default();
    let mut document = document(0);
    for at in 0..most.replicas_max {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(at as u64).to_be_bytes());
        let mut writer = Writer::new(ReplicaId(id));
        let (mut written, stamp) = (Document::new(), at as i64);
        let pushed = others(&mut writer, BatchHash::NONE, &mut written, stamp);
        document.replay(&pushed.record).expect("it is a record");
    }
    document.loaded();
    for at in 0..most.devices_max + 10 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(at as u64).to_be_bytes());
        let session = Session { device: DeviceId(id), rights: READ | WRITE };
        document.open(&session, (None, None), &[ReplicaId([1; 16])], (&most, NOW_MS));
    }
    assert_eq!((document.replicas(), document.devices()), (most.replicas_max, most.devices_max));
    let checkpoint = document.checkpoint().expect("everything was read");
    assert!(checkpoint.bytes.len() < 2 << 20, "{} bytes", checkpoint.bytes.len());
}
