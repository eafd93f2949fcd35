//! A device: its clock, its disk, and a client that dies and is restored.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
};

use super::{
    super::{
        Chance,
        scribble::{Scribbler, Verb},
    },
    keys::{SimKeys, sign},
    ledger::{EDITS, LEDGER},
    relay::Hosted,
};
use crate::{
    EditError, ReplicaId,
    session::{
        Client, DeviceId, DocumentId, Event, Record, Replica, Saved, Sealing, Settings, Signature,
        Suspicion, Token, Transaction,
    },
};

#[rustfmt::skip]
const SCRIBBLER: Scribbler = Scribbler {
    entities: &["a", "b", "c/1", "c/2"],
    keeps_first: false,
    verbs: &[
        Verb::Set, Verb::Set, Verb::Set, Verb::Set, Verb::Assign, Verb::Raise,
        Verb::Add, Verb::Remove, Verb::Increment, Verb::Unset, Verb::Delete, Verb::Bury,
    ],
};

#[derive(Clone)]
pub(super) struct Device {
    pub number: usize,
    pub keys: SimKeys,
    pub client: Client,
    pub disks: BTreeMap<DocumentId, Saved>,
    storing: VecDeque<(DocumentId, Transaction)>,
    pub wire: Option<u64>,
    /// How far its clock is off.
    pub skew_ms: i64,
    pub renamed: u64,
    pub healed: u64,
    /// Of each id that it wrote under, up to which sequence it was told to be safe.
    pub acknowledged: BTreeMap<ReplicaId, u64>,
    pub trouble: Vec<String>,
    /// What it told, for who looks for the reason of a failure.
    pub heard: Vec<String>,
}

impl Device {
    /// A device that has seen nothing. `key` says whose key it has.
    pub fn new(
        number: usize,
        key: u8,
        names: &[(DocumentId, Sealing)],
        chance: &mut Chance,
    ) -> Self {
        let device = DeviceId([key; 32]);
        let disks = BTreeMap::new();
        let mut new = Device::of(number, device, disks, chance);
        for (name, sealing) in names {
            let replica = Replica::new(name.clone(), ReplicaId(chance.id()), *sealing);
            new.client.add(replica, Some(token()));
        }
        new.collect();
        new.store(usize::MAX);
        new
    }

    fn of(
        number: usize,
        device: DeviceId,
        disks: BTreeMap<DocumentId, Saved>,
        chance: &mut Chance,
    ) -> Self {
        Device {
            number,
            keys: SimKeys { device, nonce: chance.next() },
            client: client(device, chance),
            disks,
            storing: VecDeque::new(),
            wire: None,
            skew_ms: (chance.next() % 3_000) as i64,
            renamed: 0,
            healed: 0,
            acknowledged: BTreeMap::new(),
            trouble: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// A copy of this device as it is on its disk.
    pub fn copy(&self, number: usize, chance: &mut Chance) -> Self {
        let mut copy = Device::of(number, self.keys.device, self.disks.clone(), chance);
        copy.skew_ms = self.skew_ms;
        copy.start(chance);
        copy
    }

    /// What was not stored is gone.
    pub fn start(&mut self, chance: &mut Chance) {
        self.storing.clear();
        self.client = client(self.keys.device, chance);
        for saved in self.disks.values() {
            let replica = Replica::restore(saved).expect("what was stored is read");
            self.client.add(replica, Some(token()));
        }
    }

    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.skew_ms)
    }

    /// Lets the client do what is due, and takes what it says.
    pub fn tick(&mut self, now_ms: u64) {
        let wall_ms = self.wall_ms(now_ms);
        self.client.tick(wall_ms, &mut self.keys);
        self.collect();
    }

    /// Takes over what is to be stored and what is told.
    pub fn collect(&mut self) {
        while let Some(transaction) = self.client.poll_transaction() {
            self.storing.push_back(transaction);
        }
        while let Some((name, event)) = self.client.poll_event() {
            if !matches!(event, Event::Changed(_) | Event::Acknowledged { .. } | Event::Lag(_)) {
                self.heard.push(format!("{name} {event:?}"));
            }
            match event {
                Event::Renamed { .. } => self.renamed += 1,
                Event::Healed => self.healed += 1,
                Event::Acknowledged { replica, seq } => {
                    let told = self.acknowledged.entry(replica).or_default();
                    *told = seq.max(*told);
                }
                // Its clock is behind, or the relay lies.
                Event::Suspicious { what: Suspicion::Clock, .. } => {}
                Event::Suspicious { .. } | Event::Unhealed => {
                    self.trouble.push(format!("{event:?}"));
                }
                _ => {}
            }
        }
    }

    pub fn has_to_store(&self) -> bool {
        !self.storing.is_empty()
    }

    /// Stores the next transactions, at most so many.
    pub fn store(&mut self, count: usize) {
        for _ in 0..count {
            let Some((name, transaction)) = self.storing.pop_front() else { return };
            let number = transaction.number;
            self.disks.entry(name.clone()).or_default().store(transaction);
            self.client.saved(&name, number);
        }
    }

    /// Whether it has all that the relay has, and the relay all that it wrote.
    pub fn has_all(&self, name: &DocumentId, hosted: &Hosted) -> bool {
        let replica = self.client.replica(name).expect("it is here");
        let next = replica.position().map(|position| position.next);
        replica.unacknowledged() == 0
            && !replica.is_lost()
            && next == Some(hosted.document.durable())
    }

    /// Writes something, and what edit this is.
    pub fn write(&mut self, name: &DocumentId, edit: u64, now_ms: u64, chance: &mut Chance) {
        let wall_ms = self.wall_ms(now_ms);
        let written = self.client.edit(name, wall_ms, |changes| {
            changes.include(LEDGER, EDITS, (edit as i64).into())?;
            changes.increment(LEDGER, "count", 1)?;
            for _ in 0..chance.below(3) {
                SCRIBBLER.write(changes, chance)?;
            }
            // So much that who reads slowly is left behind.
            if chance.below(80) == 0 {
                changes.set("large", "f", vec![7; 50_000].as_slice().into())?;
            }
            Ok::<(), EditError>(())
        });
        written.expect("the document is here").expect("everything is within its bounds");
        self.collect();
    }

    /// What is stored and is to be, and by which clock; not what the client is.
    pub fn hash(&self, state: &mut impl Hasher) {
        (self.skew_ms, &self.acknowledged).hash(state);
        for saved in self.disks.values() {
            (&saved.begin, &saved.appended).hash(state);
        }
        self.storing.len().hash(state);
    }

    /// Keys of the next epoch, signed.
    pub fn write_keys(&mut self, name: &DocumentId, epoch: u32) {
        let (device, members) = (self.keys.device, &b"all of them"[..]);
        let record = |signature| Record::Keys { device, epoch, members, signature };
        let signed = record(Signature([0; 64])).signed_bytes(name);
        let record = record(sign(device, &signed)).to_bytes();
        self.client.push_keys(name, &record);
    }
}

fn client(device: DeviceId, chance: &mut Chance) -> Client {
    let settings = Settings { snapshot_records: 6 + chance.next() % 30 };
    let seed = [chance.id(), chance.id()].concat();
    Client::new(device, settings, *seed.first_chunk().expect("two halves are a whole"))
}

fn token() -> Token {
    Token { text: "all".into(), ends_ms: None }
}
