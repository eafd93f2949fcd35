//! What a relay takes, and with which words it refuses the rest.

use std::sync::Arc;

use proptest::prelude::*;
use selvedge_crdt::{
    BatchHash, Document, EntityType, FieldRule, Hlc, Kind, OnDelete, ReplicaId, Schema, ValueType,
    Writer,
    session::{
        CloseReason, DeviceId, DocumentId, Limits, NONCE_BYTES, Record, RelayFrame, Sealing,
        Signature, SnapshotHash, SnapshotInfo,
        relay::{
            ADMIN, Demand, Grant, JOIN, READ, RelayConnection, RelayDocument, SNAPSHOT, Session,
            Terms, Trust, Verdict, Vetted, WRITE,
        },
    },
};

use crate::{
    scripted::{LOG, RELAY_MS, fresh, roster},
    session_credit::asked,
};

const DRIFT_MS: u64 = 120_000;
const ALL: u8 = READ | WRITE | SNAPSHOT | ADMIN | JOIN;

/// Believes signatures that are their device's first byte, and what it grants.
#[derive(Default)]
struct Believes {
    grant: Option<Grant>,
    is_proven: bool,
}

impl Trust for Believes {
    fn grant(&self, _: &DocumentId, _: &DeviceId, _: &str, _: u64) -> Option<Grant> {
        self.grant.clone()
    }

    fn is_proven(
        &self,
        _: &[u8; NONCE_BYTES],
        _: &DocumentId,
        _: &DeviceId,
        _: (&str, &Signature),
    ) -> bool {
        self.is_proven
    }

    fn is_signed(&self, _: &DocumentId, record: &Record<'_>) -> bool {
        record.signature().is_some_and(|(device, it)| it.0 == [device.0[0]; 64])
    }
}

/// A device that writes batches.
struct Author {
    device: u8,
    writer: Writer,
    document: Document,
    prev: BatchHash,
    sealing: Sealing,
}

impl Author {
    fn new(device: u8) -> Self {
        let writer = Writer::new(ReplicaId([device; 16]));
        let (document, prev, sealing) = (Document::new(), BatchHash::NONE, Sealing::Plain);
        Author { device, writer, document, prev, sealing }
    }

    fn sealed(device: u8, epoch: u32) -> Self {
        Author { sealing: Sealing::of(epoch), ..Author::new(device) }
    }

    /// The record of the next batch.
    fn writes(&mut self, now_ms: u64) -> Vec<u8> {
        self.sets("title", now_ms)
    }

    fn sets(&mut self, field: &str, now_ms: u64) -> Vec<u8> {
        let mut edit = self.writer.edit(&mut self.document, now_ms);
        edit.set("note/1", field, i64::from(self.device).into()).expect("it is small");
        drop(edit);
        let batch = self.writer.take_batch().expect("it wrote").encode(self.prev);
        self.prev = BatchHash::of(&batch);
        signed(self.device, self.sealing, &batch)
    }
}

fn signed(device: u8, sealing: Sealing, batch: &[u8]) -> Vec<u8> {
    let (device, signature) = (DeviceId([device; 32]), Signature([device; 64]));
    Record::Batch { device, sealing, batch, signature }.to_bytes()
}

/// A relay's document, in which everything admitted is durable at once.
struct Relay {
    document: RelayDocument,
    terms: Terms,
    rights: u8,
    device: u8,
}

impl Relay {
    fn new() -> Self {
        Relay::that_lost(0)
    }

    fn that_lost(lost_ms: u64) -> Self {
        let mut document = RelayDocument::new(name(), LOG, lost_ms);
        document.loaded();
        let terms = Terms { drift_ms: DRIFT_MS, again_ms: 7, ..Terms::default() };
        Relay { document, terms, rights: ALL, device: 1 }
    }

    fn session(&self) -> Session {
        Session { device: DeviceId([self.device; 32]), rights: self.rights }
    }

    /// What becomes of a record, in words.
    fn push(&mut self, record: &[u8]) -> String {
        let vetted = match Vetted::judge(
            record,
            &name(),
            &Believes::default(),
            self.terms.schema.as_deref(),
        ) {
            Ok(vetted) => vetted,
            Err(frame) => return words(&frame),
        };
        let until = (&self.terms, RELAY_MS);
        let verdict = self.document.admit(&self.session(), &vetted, until);
        self.document.commit();
        match verdict {
            Verdict::Append(offset) => format!("at {offset}"),
            Verdict::Again(_, seq, offset) => format!("{seq} is at {offset}"),
            Verdict::Known => "known".to_owned(),
            Verdict::Refused(frame) => words(&frame),
        }
    }

    #[track_caller]
    fn check(&mut self, record: &[u8], expected: &str) {
        assert_eq!(self.push(record), expected);
    }

    #[track_caller]
    fn check_offer(&self, info: SnapshotInfo, replaces: Option<SnapshotHash>, expected: &str) {
        let signature = Signature([info.device.0[0]; 64]);
        let record = Record::Snapshot { info, signature }.to_bytes();
        let vetted = Vetted::judge(&record, &name(), &Believes::default(), None).expect("signed");
        let judged = self.document.judge_offer(&self.session(), &vetted, replaces, &self.terms);
        assert_eq!(judged.map_or_else(|frame| words(&frame), |_| "taken".to_owned()), expected);
    }
}

fn name() -> DocumentId {
    DocumentId::new("acme", "notes").expect("a name")
}

fn words(frame: &RelayFrame<'_>) -> String {
    match frame {
        RelayFrame::Refused { first, why, .. } => format!("batch {first}: {why}"),
        RelayFrame::Rejected { frame, why } => format!("frame {frame}: {why}"),
        other => panic!("{other:?} refuses nothing"),
    }
}

#[test]
fn a_chain_goes_on_and_nowhere_else() {
    let (mut relay, mut ann) = (Relay::new(), Author::new(1));
    let [one, two, three] = [1, 2, 3].map(|_| ann.writes(RELAY_MS));
    relay.check(&two, "batch 2: operations from sequence 1 on are missing");
    relay.check(&one, "at 0");
    relay.check(&one, "1 is at 0");
    relay.check(&three, "batch 3: operations from sequence 2 on are missing");
    relay.check(&two, "at 1");
    relay.check(&three, "at 2");
    relay.check(&one, "1 is at 0");
    let copy = Author::new(1).sets("other", RELAY_MS);
    relay.check(&copy, "batch 1: another copy writes under this replica's id");
    let mut stray = Author::new(1);
    (0..3).for_each(|_| _ = stray.sets("other", RELAY_MS));
    let stray = stray.writes(RELAY_MS);
    relay.check(&stray, "batch 4: another copy writes under this replica's id");
}

#[test]
fn what_is_long_past_is_not_remembered() {
    let (mut relay, mut ann) = (Relay::new(), Author::new(1));
    let records: Vec<Vec<u8>> = (0..258).map(|_| ann.writes(RELAY_MS)).collect();
    for (offset, record) in records.iter().enumerate() {
        relay.check(record, &format!("at {offset}"));
    }
    relay.check(&records[0], "batch 1: another copy writes under this replica's id");
    relay.check(&records[2], "3 is at 2");
}

#[test]
fn a_replica_is_of_one_device_and_signed_by_it() {
    let (mut relay, mut ann) = (Relay::new(), Author::new(1));
    relay.check(&ann.writes(RELAY_MS), "at 0");
    ann.device = 2;
    relay.check(&ann.writes(RELAY_MS), "batch 2: another copy writes under this replica's id");
    let mut forged = Author::new(3).writes(RELAY_MS);
    forged.pop();
    forged.push(9);
    relay.check(&forged, "batch 1: the signature does not hold");
    // Who pushes it does not matter: after a loss others bring it back.
    relay.check(&Author::new(4).writes(RELAY_MS), "at 1");
}

#[test]
fn what_is_no_record_of_a_device_is_invalid() {
    let mut relay = Relay::new();
    let refused = |it: String| it.starts_with("frame 3: ");
    assert!(refused(relay.push(&[])));
    assert!(refused(relay.push(&[9; 40])));
    assert!(refused(relay.push(&signed(1, Sealing::Plain, b"no batch"))));
    let compact = Record::Compact { horizon: Hlc(1), retired: vec![] }.to_bytes();
    relay.check(&compact, "frame 3: only a relay compacts");
    let signature = Signature([1; 64]);
    let snapshot = Record::Snapshot { info: info(1), signature }.to_bytes();
    relay.check(&snapshot, "frame 3: snapshots are offered, not pushed");
}

#[test]
fn who_may_not_write_is_denied() {
    for rights in [0, READ, READ | SNAPSHOT, ADMIN | JOIN] {
        let mut relay = Relay { rights, ..Relay::new() };
        let record = Author::new(1).writes(RELAY_MS);
        relay.check(&record, "batch 1: the token does not allow this");
    }
}

#[test]
fn stamps_are_two_minutes_ahead_at_most() {
    let drift = format!("batch 1: the clock is ahead; here it is {RELAY_MS} ms since 1970");
    for (at_ms, expected) in [
        (0, "at 0"),
        (RELAY_MS + DRIFT_MS, "at 0"),
        (RELAY_MS + DRIFT_MS + 1, drift.as_str()),
        (u64::MAX, drift.as_str()),
    ] {
        Relay::new().check(&Author::new(1).writes(at_ms), expected);
    }
    // Who follows what he saw is not refused, and nobody moves the clock on.
    let mut relay = Relay::new();
    relay.check(&Author::new(1).writes(RELAY_MS + DRIFT_MS), "at 0");
    relay.check(&Author::new(2).writes(RELAY_MS + DRIFT_MS + 1), "at 1");
    relay.check(&Author::new(3).writes(RELAY_MS + DRIFT_MS + 3), &drift);
}

#[test]
fn nobody_writes_below_a_horizon_or_when_he_was_forgotten() {
    let (mut relay, mut ann) = (Relay::new(), Author::new(1));
    relay.check(&ann.writes(RELAY_MS - 500), "at 0");
    let (horizon, retired) = (Hlc::from_ms(RELAY_MS - 400), vec![ReplicaId([1; 16])]);
    let compact = Record::Compact { horizon, retired }.to_bytes();
    relay.document.replay(&compact).expect("it is a record");
    let late = "batch 1: the lease ran out: the snapshot comes first";
    relay.check(&Author::new(2).writes(RELAY_MS - 500), late);
    relay.check(&Author::new(2).writes(RELAY_MS), "at 2");
    let retired = "batch 2: the lease ran out: the snapshot comes first";
    relay.check(&ann.writes(RELAY_MS), retired);
}

#[test]
fn batches_are_sealed_as_the_document_is() {
    let record = |epoch| Author::sealed(1, epoch).writes(RELAY_MS);
    let plain = "batch 1: this document is not encrypted";
    let current = "batch 1: the key of epoch 2 is in use";
    let mut relay = Relay::new();
    relay.check(&record(1), plain);
    relay.check(&roster(1), "at 0");
    relay.check(&roster(2), "at 1");
    relay.check(&record(0), current);
    relay.check(&record(1), current);
    relay.check(&record(3), current);
    relay.check(&record(2), "at 2");

    // What was lost comes again as it was written.
    let mut relay = Relay::that_lost(1);
    relay.check(&roster(1), "at 0");
    relay.check(&roster(2), "at 1");
    relay.check(&record(0), current);
    relay.check(&record(1), "at 2");

    let mut sealed = Relay::new();
    sealed.terms.demand = Demand::Sealed;
    sealed.check(&record(0), "batch 1: the key of epoch 1 is in use");
}

#[test]
fn members_are_changed_by_admins_and_joined_by_who_may() {
    let denied = "frame 3: the token does not allow this";
    let mut relay = Relay::new();
    relay.check(&roster(2), "frame 3: this document is not encrypted");
    relay.check(&roster(1), "at 0");
    relay.check(&roster(1), "known");
    relay.rights = JOIN;
    relay.check(&roster(2), denied);
    let joined = |epoch, members| {
        let (device, signature) = (DeviceId([2; 32]), Signature([2; 64]));
        Record::Keys { device, epoch, members, signature }.to_bytes()
    };
    relay.check(&joined(1, b"one more"), "at 1");
    relay.rights = WRITE;
    relay.check(&joined(1, b"yet one more"), denied);
    relay.rights = ADMIN;
    relay.check(&roster(3), "frame 3: the key of epoch 1 is in use");
    relay.check(&roster(2), "at 2");
    relay.terms.demand = Demand::Plain;
    relay.check(&roster(3), denied);
}

#[test]
fn quotas_hold() {
    let mut relay = Relay::new();
    let record = Author::new(1).writes(RELAY_MS);
    relay.terms.bytes_max = record.len() as u64 - 1;
    relay.check(&record, "batch 1: the quota is used up; again in 7 ms");
    relay.terms.bytes_max = roster(1).len() as u64 - 1;
    relay.check(&roster(1), "frame 3: the quota is used up; again in 7 ms");
    relay.terms.bytes_max = record.len() as u64;
    relay.check(&record, "at 0");
    // What is there is acknowledged, however full it is.
    relay.check(&record, "1 is at 0");

    let mut relay = Relay::new();
    relay.terms.replicas_max = 1;
    let mut ann = Author::new(1);
    relay.check(&ann.writes(RELAY_MS), "at 0");
    let full = "batch 1: the quota is used up; again in 7 ms";
    relay.check(&Author::new(2).writes(RELAY_MS), full);
    relay.check(&ann.writes(RELAY_MS), "at 1");
}

#[test]
fn plain_batches_follow_the_schema() {
    let note = EntityType::new(OnDelete::EditsRevive)
        .field("title", FieldRule::new(Kind::LWW, &[ValueType::Int]));
    let mut relay = Relay::new();
    relay.terms.schema = Some(Arc::new(Schema::default().entity("note", note)));
    let stray = Author::new(1).sets("shop", RELAY_MS);
    let why = "note/1 at sequence 1: note has no field \"shop\"";
    relay.check(&stray, &format!("batch 1: against the schema: {why}"));
    relay.check(&Author::new(1).writes(RELAY_MS), "at 0");
    relay.check(&roster(1), "at 1");
    relay.check(&Author::sealed(2, 1).sets("shop", RELAY_MS), "at 2");
}

fn info(offset: u64) -> SnapshotInfo {
    SnapshotInfo {
        hash: SnapshotHash::of(b"a document"),
        bytes: 10,
        offset,
        heals: false,
        sealing: Sealing::Plain,
        device: DeviceId([1; 32]),
    }
}

#[test]
fn a_snapshot_takes_the_place_of_the_one_that_was_looked_at() {
    let (mut relay, mut ann) = (Relay::new(), Author::new(1));
    (0..3).for_each(|_| _ = relay.push(&ann.writes(RELAY_MS)));
    let other = Some(SnapshotHash::of(b"another"));
    let outside = "frame 5: a snapshot reaches from 0 to 3";
    relay.check_offer(info(2), None, "taken");
    relay.check_offer(info(4), None, outside);
    relay.check_offer(SnapshotInfo { bytes: 0, ..info(2) }, None, outside);
    relay.check_offer(info(2), other, "frame 5: another one is the current one");
    let stranger = SnapshotInfo { device: DeviceId([2; 32]), ..info(2) };
    relay.check_offer(stranger, None, "frame 5: the token does not allow this");
    let sealed = SnapshotInfo { sealing: Sealing::Epoch(1), ..info(2) };
    relay.check_offer(sealed, None, "frame 5: this document is not encrypted");
    relay.terms.snapshot_bytes_max = 9;
    relay.check_offer(info(2), None, "frame 5: the quota is used up; again in 7 ms");
    relay.terms.snapshot_bytes_max = 10;
    relay.rights = ALL & !SNAPSHOT;
    relay.check_offer(info(2), None, "frame 5: the token does not allow this");

    relay.rights = ALL;
    let placed = Record::Snapshot { info: info(2), signature: Signature([1; 64]) }.to_bytes();
    relay.document.replay(&placed).expect("it is a record");
    relay.check_offer(info(2), None, "frame 5: another one is the current one");
    let current = Some(info(2).hash);
    relay.check_offer(info(1), current, "frame 5: a snapshot reaches from 2 to 4");
    relay.check_offer(info(4), current, "taken");
}

fn grant(rights: u8, expires_ms: u64) -> Option<Grant> {
    Some(Grant { rights, expires_ms, id: "one".to_owned() })
}

#[test]
fn a_token_opens_what_it_grants_until_it_ends() {
    let asked = asked(Limits::default());
    let verify = |grant, is_proven| {
        let trust = Believes { grant, is_proven };
        let shown = ("", &Signature([0; 64]));
        asked.verify(1, shown, (&trust, 100)).map(|it| it.rights)
    };
    assert_eq!(verify(grant(READ, 101), true), Some(READ));
    assert_eq!(verify(grant(READ, 101), false), None, "another device's");
    assert_eq!(verify(grant(READ, 100), true), None, "it is over");
    assert_eq!(verify(grant(0, 101), true), None, "it gives nothing here");
    assert_eq!(verify(None, true), None, "it does not count");
}

/// Messages of a relay, read.
fn said(connection: &mut RelayConnection<Arc<[u8]>>) -> Vec<CloseReason> {
    let mut reasons = Vec::new();
    let mut head = Vec::new();
    while connection.pop(&mut head).is_some() {
        if let Ok((1, RelayFrame::Closed { why, .. })) = RelayFrame::read(&head) {
            reasons.push(why);
        }
        head.clear();
    }
    reasons
}

#[test]
fn a_channel_ends_with_its_token_or_when_that_is_revoked() {
    let open = || {
        let mut connection = asked(Limits::default());
        connection.opened(1, (1, grant(READ, 101).expect("a grant")), fresh());
        connection
    };
    let mut connection = open();
    assert!(!connection.has_expired(100) && connection.expire(100).is_empty());
    assert_eq!(connection.expire(101), [1]);
    assert_eq!(said(&mut connection), [CloseReason::Expired]);
    assert!(connection.session(1).is_none(), "nothing is taken of it any more");

    let mut connection = open();
    assert!(connection.revoked(|id| id == "another").is_empty());
    assert_eq!(connection.revoked(|id| id == "one"), [1]);
    connection.renewed(1, grant(READ, 500).expect("a grant"));
    assert!(connection.expire(101).is_empty(), "another token goes on");
}

/// What may be pushed next, by one of three devices.
#[derive(Clone, Copy, Debug)]
enum Act {
    Next(usize),
    Again(usize, prop::sample::Index),
    Skip(usize),
    Fork(usize),
    Members,
    Sync,
    Fail,
}

fn act() -> impl Strategy<Value = Act> {
    let author = 0..3_usize;
    prop_oneof![
        6 => author.clone().prop_map(Act::Next),
        2 => (author.clone(), any::<prop::sample::Index>()).prop_map(|(at, nth)| Act::Again(at, nth)),
        1 => author.clone().prop_map(Act::Skip),
        1 => author.prop_map(Act::Fork),
        1 => Just(Act::Members),
        3 => Just(Act::Sync),
        1 => Just(Act::Fail),
    ]
}

/// A log whose end is not durable yet, and what each device has pushed of its chain.
struct Log {
    relay: Relay,
    authors: Vec<(Author, Vec<Vec<u8>>)>,
    records: Vec<Vec<u8>>,
    durable: usize,
}

impl Log {
    fn admit(&mut self, record: &[u8]) -> Verdict {
        let vetted = Vetted::judge(record, &name(), &Believes::default(), None).expect("signed");
        let session = self.relay.session();
        let verdict = self.relay.document.admit(&session, &vetted, (&self.relay.terms, RELAY_MS));
        if let Verdict::Append(offset) = verdict {
            assert_eq!(offset, self.records.len() as u64);
            self.records.push(record.to_vec());
        }
        verdict
    }

    /// How many batches of a device's chain the log has.
    fn length(&self, at: usize) -> usize {
        let chain = &self.authors[at].1;
        chain.iter().filter(|record| self.records.contains(record)).count()
    }

    /// The batch of a device's chain at this place.
    fn chain(&mut self, at: usize, place: usize) -> Vec<u8> {
        let (author, chain) = &mut self.authors[at];
        while chain.len() <= place {
            chain.push(author.writes(RELAY_MS));
        }
        chain[place].clone()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Next(at) => {
                let record = self.chain(at, self.length(at));
                assert!(matches!(self.admit(&record), Verdict::Append(_)));
            }
            Act::Again(at, nth) if self.length(at) > 0 => {
                let record = self.chain(at, nth.index(self.length(at)));
                let offset = self.records.iter().position(|it| *it == record);
                let verdict = self.admit(&record);
                let Verdict::Again(_, _, found) = verdict else { panic!("{verdict:?}") };
                assert_eq!(Some(found), offset.map(|offset| offset as u64));
            }
            Act::Skip(at) => {
                let record = self.chain(at, self.length(at) + 1);
                let refused = self.admit(&record);
                assert!(matches!(refused, Verdict::Refused(_)), "{refused:?}");
            }
            Act::Fork(at) if self.length(at) > 0 => {
                let fork = Author::new(self.authors[at].0.device).sets("other", RELAY_MS);
                let refused = self.admit(&fork);
                assert!(matches!(refused, Verdict::Refused(_)), "{refused:?}");
            }
            Act::Members => {
                let current = self.relay.document.sealing().epoch();
                let refused = self.admit(&roster(current + 2));
                assert!(matches!(refused, Verdict::Refused(_)), "{refused:?}");
            }
            Act::Sync if self.durable < self.records.len() => {
                self.relay.document.commit();
                self.durable += 1;
            }
            Act::Fail => {
                self.relay.document.take_back();
                self.records.truncate(self.durable);
            }
            _ => {}
        }
    }

    /// A relay that starts again reads the same.
    fn check(&self) {
        let mut again = RelayDocument::new(name(), LOG, 0);
        for record in &self.records[..self.durable] {
            again.replay(record).expect("it is a record");
        }
        again.loaded();
        assert_eq!(again.checkpoint(), self.relay.document.checkpoint());
        assert_eq!(self.relay.document.tail(), self.records.len() as u64);
        assert_eq!(self.relay.document.durable(), self.durable as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_is_what_a_relay_reads_that_starts_again(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let authors = (1..=3).map(|device| (Author::new(device), Vec::new())).collect();
        let (relay, records) = (Relay::new(), Vec::new());
        let mut log = Log { relay, authors, records, durable: 0 };
        for act in acts {
            log.act(act);
            log.check();
        }
    }
}
