//! A device: its clock, its disk, and a client that dies and is restored.

use std::collections::{BTreeMap, VecDeque};

use super::{
    super::Chance,
    keys::{SimKeys, sign},
};
use crate::{
    Edit, EditError, Kind, ReplicaId,
    session::{
        Client, DeviceId, DocumentId, Event, Record, Replica, Saved, Sealing, Settings, Signature,
        Token, Transaction,
    },
};

/// The entity and the set that hold every edit there was.
pub(super) const LEDGER: &str = "ledger";
pub(super) const EDITS: &str = "edits";

const ENTITIES: [&str; 4] = ["a", "b", "c/1", "c/2"];

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
            let replica = Replica::new(name.clone(), id(chance), *sealing);
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
                Event::Suspicious { .. } | Event::Unhealed => {
                    self.trouble.push(format!("{event:?}"));
                }
                _ => {}
            }
        }
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

    /// Writes something, and what edit this is.
    pub fn write(&mut self, name: &DocumentId, edit: u64, now_ms: u64, chance: &mut Chance) {
        let wall_ms = self.wall_ms(now_ms);
        let written = self.client.edit(name, wall_ms, |changes| {
            changes.include(LEDGER, EDITS, (edit as i64).into())?;
            changes.increment(LEDGER, "count", 1)?;
            for _ in 0..chance.below(3) {
                scribble(changes, chance)?;
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
    let seed = [id(chance).0, id(chance).0].concat();
    Client::new(device, settings, *seed.first_chunk().expect("two halves are a whole"))
}

fn token() -> Token {
    Token { text: "all".into(), ends_ms: None }
}

pub(super) fn id(chance: &mut Chance) -> ReplicaId {
    let halves = [chance.next().to_le_bytes(), chance.next().to_le_bytes()];
    ReplicaId(*halves.concat().first_chunk().expect("two halves are a whole"))
}

fn scribble(edit: &mut Edit<'_>, chance: &mut Chance) -> Result<(), EditError> {
    let entity = chance.one(&ENTITIES);
    let field = chance.one(&["f", "g"]);
    let value = (chance.next() % 4) as i64;
    match chance.below(12) {
        0..=3 => edit.set(entity, field, value.into()),
        4 => edit.assign(entity, field, value.into()),
        5 => edit.raise(entity, field, value.into()),
        6 => edit.add(entity, field, value.into()),
        7 => edit.remove(entity, field, value.into()),
        8 => edit.increment(entity, field, value - 1),
        9 => edit.unset(entity, field, Kind::LWW),
        10 => edit.delete(entity),
        _ => edit.bury(entity),
    }
}
