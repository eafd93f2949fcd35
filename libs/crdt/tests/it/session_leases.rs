//! Leases: what is compacted everybody has seen who is expected back, and who is not comes too late.

use std::collections::BTreeMap;

use proptest::prelude::*;
use selvedge_crdt::{
    BatchHash, Document, Hlc, ReplicaId, Writer,
    session::{
        DeviceId, DocumentId, Record, RecordHash, Resume, Start,
        relay::{READ, RelayDocument, Session, Terms, WRITE},
    },
};

use crate::scripted::{LOG, RELAY_MS, others};

const LEASE_MS: u64 = 60_000;
const DEVICES: u8 = 4;

fn terms() -> Terms {
    Terms { compact_records: 1, lease_ms: LEASE_MS, ..Terms::default() }
}

fn session(device: u8) -> Session {
    Session { device: DeviceId([device; 32]), rights: READ | WRITE }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Write,
    Open(u8),
    /// Says that it has seen so much of the log, in parts of 256.
    Saw(u8, u8),
    Pass(u64),
    Compact,
}

fn act() -> impl Strategy<Value = Act> {
    let device = 0..DEVICES;
    prop_oneof![
        4 => Just(Act::Write),
        2 => device.clone().prop_map(Act::Open),
        4 => (device, any::<u8>()).prop_map(|(device, part)| Act::Saw(device, part)),
        2 => (0..LEASE_MS / 2).prop_map(Act::Pass),
        2 => Just(Act::Compact),
    ]
}

/// What a device has said.
#[derive(Clone, Copy)]
struct Seen {
    /// It has everything before this.
    next: u64,
    /// When it was heard.
    said_ms: u64,
    /// The relay has not forgotten it.
    is_leased: bool,
}

/// A relay's document, and what is expected of it.
struct World {
    relay: RelayDocument,
    writer: Writer,
    document: Document,
    prev: BatchHash,
    /// The stamp of each record's last operation.
    stamps: Vec<Hlc>,
    devices: BTreeMap<u8, Seen>,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        let name = DocumentId::new("acme", "notes").expect("a name");
        World {
            relay: RelayDocument::new(name, LOG, 0),
            writer: Writer::new(ReplicaId([9; 16])),
            document: Document::new(),
            prev: BatchHash::NONE,
            stamps: Vec::new(),
            devices: BTreeMap::new(),
            now_ms: RELAY_MS + 1_000_000,
        }
    }

    fn lives(&self, device: u8) -> bool {
        let lives = |it: &Seen| it.is_leased && self.now_ms < it.said_ms + LEASE_MS;
        self.devices.get(&device).is_some_and(lives)
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Write => {
                let at = self.stamps.len() as i64;
                let pushed = others(&mut self.writer, self.prev, &mut self.document, at);
                self.relay.replay(&pushed.record).expect("it is a record");
                self.prev = pushed.hash;
                self.stamps.push(pushed.batch.header(BatchHash::NONE).stamp_last);
            }
            Act::Open(device) => self.open(device),
            Act::Saw(device, part) => {
                let next = self.stamps.len() as u64 * u64::from(part) / 255;
                self.relay.saw(&session(device), next, self.now_ms);
                if let Some(seen) = self.devices.get_mut(&device).filter(|it| it.is_leased) {
                    (seen.next, seen.said_ms) = (next.max(seen.next), self.now_ms);
                }
            }
            Act::Pass(ms) => self.now_ms += ms,
            Act::Compact => self.compact(),
        }
    }

    /// A device goes on from where it said to be, or reads all that there is.
    fn open(&mut self, device: u8) {
        let known = self.devices.get(&device).copied();
        let resume = known.map(|it| Resume { log: LOG, next: it.next, last: RecordHash::NONE });
        let lives = self.lives(device);
        let replicas = [ReplicaId([device; 16])];
        let until = (&terms(), self.now_ms);
        let opened = self.relay.open(&session(device), (resume, None), &replicas, until);
        assert!(!lives || opened.start == Start::Resumed, "{:?} with a lease", opened.start);
        let is_old = |stamp: &Hlc| *stamp <= self.relay.horizon();
        let behind = known.is_some_and(|it| self.unseen(it).iter().any(is_old));
        assert!(!behind || opened.start == Start::Expired, "{:?} undead", opened.start);
        let seen = Seen { next: opened.next, said_ms: self.now_ms, is_leased: true };
        self.devices.insert(device, seen);
        if opened.start != Start::Resumed {
            self.act(Act::Saw(device, 255));
        }
    }

    fn unseen(&self, seen: Seen) -> &[Hlc] {
        &self.stamps[usize::try_from(seen.next).expect("it is small")..]
    }

    fn compact(&mut self) {
        // Nobody was heard later than now, whatever the clock said then.
        self.devices.values_mut().for_each(|seen| seen.said_ms = seen.said_ms.min(self.now_ms));
        let Some(record) = self.relay.compact(&terms(), self.now_ms) else { return };
        self.relay.commit();
        self.stamps.push(Hlc(u64::MAX));
        let Ok(Record::Compact { horizon, .. }) = Record::read(&record) else {
            panic!("this is no compaction")
        };
        assert!(horizon.ms() <= self.now_ms);
        let mut lives = self.devices.clone();
        lives.retain(|device, _| self.lives(*device));
        assert!(!lives.is_empty(), "nobody is there who has seen it");
        for (device, seen) in &lives {
            let has_seen = self.unseen(*seen).iter().all(|stamp| *stamp > horizon);
            assert!(has_seen, "device {device} has not seen all of it");
        }
        for (device, seen) in &mut self.devices {
            seen.is_leased = lives.contains_key(device);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nobody_who_is_expected_back_is_forgotten_and_nobody_else_brings_back_the_dead(
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut world = World::new();
        acts.into_iter().for_each(|act| world.act(act));
    }
}

#[test]
fn a_device_that_only_reads_holds_nothing_back() {
    let mut world = World::new();
    (0..100).for_each(|_| world.act(Act::Write));
    let reader = Session { device: DeviceId([7; 32]), rights: READ };
    let until = (&terms(), world.now_ms);
    world.relay.open(&reader, (None, None), &[ReplicaId([7; 16])], until);
    world.relay.saw(&reader, 1, world.now_ms);
    world.act(Act::Open(0));
    world.act(Act::Saw(0, 255));
    world.act(Act::Compact);
    assert_eq!(world.relay.devices(), 1);
    assert!(world.relay.horizon() > Hlc::ZERO);
}

#[test]
fn a_lease_of_a_clock_that_was_ahead_ends_like_others() {
    let mut world = World::new();
    (0..10).for_each(|_| world.act(Act::Write));
    world.now_ms += 1_000 * LEASE_MS;
    world.act(Act::Open(1));
    world.now_ms -= 1_000 * LEASE_MS;
    world.act(Act::Open(0));
    world.act(Act::Saw(0, 255));
    world.act(Act::Compact);
    let before = world.relay.horizon();
    (0..10).for_each(|_| world.act(Act::Write));
    world.now_ms += LEASE_MS;
    world.act(Act::Open(0));
    world.act(Act::Saw(0, 255));
    world.act(Act::Compact);
    assert!(world.relay.horizon() > before, "device 1 is not waited for");
}
