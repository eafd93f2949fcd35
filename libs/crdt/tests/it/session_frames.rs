//! Messages and records: one encoding each, and nothing else is taken.

use proptest::prelude::*;
use selvedge_crdt::{
    BatchHash, Head, Hlc, ReplicaId,
    session::{
        ClientFrame, CloseReason, DeviceId, DocumentId, Limits, LogId, OpenDocument, Record,
        Refusal, RelayFrame, Resume, Sealing, Signature, SnapshotHash, SnapshotInfo, Start,
        Subscription,
    },
};

fn document() -> DocumentId {
    DocumentId::new("acme", "notes/ann").expect("a name")
}

fn snapshot() -> SnapshotInfo {
    SnapshotInfo {
        hash: SnapshotHash([7; 32]),
        bytes: 1 << 20,
        offset: 300,
        heals: false,
        sealing: Sealing::Epoch(2),
        device: DeviceId([1; 32]),
    }
}

fn records() -> Vec<Record<'static>> {
    let (device, signature) = (DeviceId([1; 32]), Signature([9; 64]));
    vec![
        Record::Batch { device, sealing: Sealing::Plain, batch: b"batch", signature },
        Record::Batch { device, sealing: Sealing::Epoch(300), batch: b"", signature },
        Record::Keys { device, epoch: 1, members: b"members", signature },
        Record::Snapshot { info: snapshot(), signature },
        Record::Compact { horizon: Hlc(1 << 40), retired: vec![] },
        Record::Compact { horizon: Hlc(5), retired: vec![ReplicaId([1; 16]), ReplicaId([2; 16])] },
    ]
}

fn client_frames() -> Vec<(u32, ClientFrame<'static>)> {
    let (proof, hash) = (Signature([3; 64]), SnapshotHash([7; 32]));
    let resume = Resume { log: LogId([4; 16]), next: 12, last: BatchHash([5; 16]) };
    let replicas = vec![ReplicaId([1; 16]), ReplicaId([2; 16])];
    let open = |resume, replicas| ClientFrame::Open {
        document: document(),
        token: "a.b.c",
        proof,
        resume,
        replicas,
    };
    let subscription =
        Subscription { endpoint: "https://push.example/1", key: [4; 65], secret: [5; 16] };
    vec![
        (0, ClientFrame::Hello { version: 1, device: DeviceId([1; 32]), credit: 1 << 20 }),
        (1, open(None, vec![])),
        (300, open(Some(resume), replicas)),
        (1, ClientFrame::Push { record: b"record" }),
        (1, ClientFrame::Saw { next: u64::MAX }),
        (1, ClientFrame::Offer { record: b"record", replaces: None }),
        (1, ClientFrame::Offer { record: b"record", replaces: Some(hash) }),
        (1, ClientFrame::Piece { from: 1 << 18, bytes: b"piece" }),
        (1, ClientFrame::Fetch { snapshot: hash, from: 0 }),
        (1, ClientFrame::Presence { state: b"" }),
        (1, ClientFrame::Token { token: "a.b.c", proof }),
        (0, ClientFrame::Credit { bytes: 77 }),
        (1, ClientFrame::Wake { subscription: None }),
        (1, ClientFrame::Wake { subscription: Some(subscription) }),
        (0, ClientFrame::Close),
        (9, ClientFrame::Close),
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::Expected(9),
        Refusal::Forked,
        Refusal::Drift(1_700_000_000_000),
        Refusal::Epoch(3),
        Refusal::Quota(1_000),
        Refusal::Unavailable(2_000),
        Refusal::SnapshotRequired,
        Refusal::Denied,
        Refusal::Signature,
        Refusal::Schema("note/1 title: a number".into()),
        Refusal::Superseded(None),
        Refusal::Superseded(Some(SnapshotHash([7; 32]))),
        Refusal::Invalid("no batch".into()),
    ]
}

fn relay_frames() -> Vec<(u32, RelayFrame<'static>)> {
    let replica = ReplicaId([1; 16]);
    let limits =
        Limits { channels: 64, credit: 1 << 20, presence_ms: 50, presence_ends_ms: 30_000 };
    let opened = OpenDocument {
        log: LogId([4; 16]),
        start: Start::Lost,
        next: 300,
        tail: 400,
        snapshot: Some((SnapshotInfo { heals: true, ..snapshot() }, Signature([8; 64]))),
        heads: vec![(replica, Head { seq: 70, hash: BatchHash([6; 16]) })],
        sealing: Sealing::Epoch(2),
        rights: 3,
        lease_ms: 30 * 86_400_000,
        lost_ms: 1 << 40,
    };
    let bare =
        OpenDocument { snapshot: None, heads: vec![], start: Start::Resumed, ..opened.clone() };
    let mut frames = vec![
        (0, RelayFrame::Welcome { version: 1, challenge: [2; 16], now_ms: 1 << 40, limits }),
        (1, RelayFrame::Opened(Box::new(opened))),
        (1, RelayFrame::Opened(Box::new(bare))),
        (1, RelayFrame::Ack { replica, seq: 5, offset: 300 }),
        (1, RelayFrame::Rejected { frame: 5, why: Refusal::Denied }),
        (1, RelayFrame::Record { offset: 300, record: b"record" }),
        (1, RelayFrame::Piece { snapshot: SnapshotHash([7; 32]), from: 0, bytes: b"piece" }),
        (1, RelayFrame::Presence { session: 8, state: b"here" }),
        (1, RelayFrame::Lag { behind: 0 }),
        (0, RelayFrame::Credit { bytes: 77 }),
        (1, RelayFrame::Closed { why: CloseReason::Asked, again_ms: None }),
        (0, RelayFrame::Closed { why: CloseReason::Unavailable, again_ms: Some(500) }),
        (1, RelayFrame::Keys { record: b"record" }),
    ];
    frames.extend(
        refusals().into_iter().map(|why| (1, RelayFrame::Refused { replica, first: 4, why })),
    );
    frames
}

#[test]
fn what_is_written_is_read() {
    for record in records() {
        assert_eq!(Record::read(&record.to_bytes()), Ok(record));
    }
    for (channel, frame) in client_frames() {
        assert_eq!(ClientFrame::read(&frame.to_bytes(channel)), Ok((channel, frame)));
    }
    for (channel, frame) in relay_frames() {
        assert_eq!(RelayFrame::read(&frame.to_bytes(channel)), Ok((channel, frame)));
    }
}

#[test]
fn documents_do_not_share_signatures() {
    let other = DocumentId::new("acmen", "otes/ann").expect("a name");
    for record in records() {
        assert_ne!(record.signed_bytes(&document()), record.signed_bytes(&other));
    }
}

#[test]
fn messages_are_for_their_channels() {
    for frame in [ClientFrame::Credit { bytes: 1 }, ClientFrame::Saw { next: 1 }] {
        let wrong = u32::from(frame == ClientFrame::Credit { bytes: 1 });
        assert!(ClientFrame::read(&frame.to_bytes(wrong)).is_err(), "{frame:?}");
    }
    for frame in [RelayFrame::Credit { bytes: 1 }, RelayFrame::Lag { behind: 1 }] {
        let wrong = u32::from(frame == RelayFrame::Credit { bytes: 1 });
        assert!(RelayFrame::read(&frame.to_bytes(wrong)).is_err(), "{frame:?}");
    }
}

#[test]
fn retired_replicas_are_in_order() {
    let retired = vec![ReplicaId([2; 16]), ReplicaId([1; 16])];
    let record = Record::Compact { horizon: Hlc(5), retired };
    assert!(Record::read(&record.to_bytes()).is_err());
}

/// Every encoding there is above, with some bytes changed, cut off or added.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let mut all: Vec<Vec<u8>> = records().iter().map(Record::to_bytes).collect();
    all.extend(client_frames().iter().map(|(channel, frame)| frame.to_bytes(*channel)));
    all.extend(relay_frames().iter().map(|(channel, frame)| frame.to_bytes(*channel)));
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(all), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, at, cut)| {
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if cut {
                bytes.truncate(at.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_is_read_is_written_again(bytes in damaged()) {
        if let Ok(record) = Record::read(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes.clone());
        }
        if let Ok((channel, frame)) = ClientFrame::read(&bytes) {
            prop_assert_eq!(frame.to_bytes(channel), bytes.clone());
        }
        if let Ok((channel, frame)) = RelayFrame::read(&bytes) {
            prop_assert_eq!(frame.to_bytes(channel), bytes);
        }
    }
}
