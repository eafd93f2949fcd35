//! One story: everything that can go wrong goes wrong, then nothing more, and all must be well.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::Chance,
    device::Device,
    ledger::{self, LEDGER},
    network::Wire,
    relay::{Backup, Hosted, Relay},
    report::{Happened, SyncReport},
};
use crate::{
    Document,
    session::{DocumentId, LogId, Sealing, Want, relay::Terms},
};

const DEVICES: usize = 3;
const STEPS: usize = 800;
const LEASE_MS: u64 = 10 * 60_000;

/// Faults that are asked for by name.
const RESTORES: u32 = 3;
const ROLLS_BACK: u32 = 4;
const CLONES: u32 = 5;
const STAYS_AWAY: u32 = 8;
const LIES: u32 = 9;

/// How much later a relay says that it is, where it lies.
const LIES_MS: [u64; 4] = [60_000, 12 * 3_600_000, 4_000 * 86_400_000, u64::MAX];

/// Everything there is.
pub(super) struct World {
    chance: Chance,
    now_ms: u64,
    names: Vec<(DocumentId, Sealing)>,
    devices: Vec<Device>,
    relay: Relay,
    wires: BTreeMap<u64, Wire>,
    backups: BTreeMap<DocumentId, Backup>,
    copies: Vec<(usize, BTreeMap<DocumentId, crate::session::Saved>)>,
    edits: u64,
    wires_made: u64,
    epochs: u32,
    /// Of each document the edits that are safe at the relay, and that somebody still has.
    safe: BTreeMap<DocumentId, BTreeSet<u64>>,
    /// What every batch did that ever was durable.
    oracle: BTreeMap<DocumentId, Document>,
    /// Something happened after which what was lost may be legitimately gone.
    destroyed: bool,
    /// What goes wrong in this story.
    faults: u64,
    pub report: SyncReport,
    /// What went wrong, for who looks for the reason of a failure.
    told: Vec<String>,
}

impl World {
    pub fn new(mut chance: Chance) -> Self {
        let sealed = if chance.below(4) == 0 { Sealing::Epoch(1) } else { Sealing::Plain };
        let name = |name| DocumentId::new("acme", name).expect("a name");
        let names = vec![(name("main"), sealed), (name("side"), Sealing::Plain)];
        let terms =
            Terms { lease_ms: LEASE_MS, compact_records: 4, again_ms: 500, ..Terms::default() };
        let mut relay = Relay::new(terms);
        for (name, _) in &names {
            relay.hosted.insert(name.clone(), Hosted::new(name, LogId(chance.id())));
        }
        let devices = (0..DEVICES)
            .map(|number| Device::new(number, number as u8 + 1, &names, &mut chance))
            .collect();
        let faults = faults(&mut chance);
        let mut world = World {
            chance,
            now_ms: 1_700_000_000_000,
            names,
            devices,
            relay,
            wires: BTreeMap::new(),
            backups: BTreeMap::new(),
            copies: Vec::new(),
            edits: 0,
            wires_made: 0,
            epochs: 0,
            safe: BTreeMap::new(),
            oracle: BTreeMap::new(),
            destroyed: false,
            faults,
            report: SyncReport::default(),
            told: Vec::new(),
        };
        if sealed != Sealing::Plain {
            world.next_epoch();
        }
        world
    }

    fn next_epoch(&mut self) {
        self.epochs += 1;
        let name = self.names[0].0.clone();
        self.devices[0].write_keys(&name, self.epochs);
    }

    /// Who administers a document pushes again what did not come through.
    fn repeat_keys(&mut self) {
        let name = self.names[0].0.clone();
        let epoch = self.relay.hosted[&name].document.sealing().epoch();
        (epoch + 1..=self.epochs).for_each(|epoch| self.devices[0].write_keys(&name, epoch));
    }

    pub fn live(&mut self) {
        for _ in 0..STEPS {
            self.now_ms += self.chance.next() % 400;
            self.step();
        }
    }

    /// Whether what a relay forgot may be gone: two devices write under one id, or who has it stays away for a lease.
    fn may_forget(&self) -> bool {
        self.has(RESTORES) && (self.has(ROLLS_BACK) || self.has(CLONES) || self.has(STAYS_AWAY))
    }

    /// Whether such things happen in this story.
    fn has(&self, fault: u32) -> bool {
        self.faults >> fault & 1 == 1
    }

    fn step(&mut self) {
        let device = self.chance.below(self.devices.len());
        match self.chance.below(100) {
            0..=9 => self.write(device),
            10..=37 => self.tick(device),
            38..=47 => {
                let count = 1 + self.chance.below(3);
                self.devices[device].store(count);
            }
            48..=75 => self.carry(),
            76..=83 => self.sync(),
            84 if self.has(0) => self.break_wire(),
            85 if self.has(1) => self.device_dies(device),
            86 if self.has(2) && self.chance.below(2) == 0 => self.relay_dies(),
            87 if self.chance.below(2) == 0 => self.back_up(),
            88 | 89 => self.compact(),
            90 if self.has(RESTORES) && self.chance.below(2) == 0 => self.restore_relay(),
            91 if self.chance.below(2) == 0 => self.keep_copy(device),
            91 if self.has(ROLLS_BACK) && self.chance.below(4) == 0 => self.roll_back(device),
            92 if self.has(CLONES) && self.chance.below(2) == 0 => self.clone_device(device),
            93 if self.has(6) && self.chance.below(6) == 0 => self.evict(device),
            94 if self.has(7) && self.chance.below(2) == 0 => self.jump_clock(device),
            95 if self.has(STAYS_AWAY) && self.chance.below(2) == 0 => self.stay_away(),
            96 | 97 if self.chance.below(3) == 0 => self.trim(),
            99 if self.names[0].1 != Sealing::Plain && self.chance.below(4) == 0 => {
                self.next_epoch();
            }
            _ => self.connect(device),
        }
    }

    fn write(&mut self, device: usize) {
        self.edits += 1;
        let name = if self.chance.below(5) == 0 { 1 } else { 0 };
        let name = self.names[name].0.clone();
        self.devices[device].write(&name, self.edits, self.now_ms, &mut self.chance);
        self.report.note(Happened::Edit);
    }

    fn tick(&mut self, device: usize) {
        self.connect(device);
        self.devices[device].tick(self.now_ms);
        self.flush(device);
    }

    /// What the client says goes onto its connection.
    fn flush(&mut self, device: usize) {
        let it = &mut self.devices[device];
        while let Some(message) = it.client.poll_message() {
            if let Some(wire) = it.wire.and_then(|wire| self.wires.get_mut(&wire)) {
                wire.up.push_back(message);
            }
        }
    }

    fn connect(&mut self, device: usize) {
        let lies = self.has(LIES);
        let it = &mut self.devices[device];
        let wall_ms = it.wall_ms(self.now_ms);
        match it.client.wants(wall_ms) {
            Want::Nothing => {}
            Want::Connect => {
                self.wires_made += 1;
                let wire = self.wires_made;
                let challenge = self.chance.id();
                let credit = if self.chance.below(3) == 0 { 1 << 17 } else { 2 << 20 };
                self.relay.connect(wire, challenge, credit);
                if lies && wire.is_multiple_of(3) {
                    self.report.note(Happened::Lied);
                    self.relay.lies.insert(wire, LIES_MS[(wire / 3 % 4) as usize]);
                }
                self.wires.insert(wire, Wire::new(device));
                it.wire = Some(wire);
                it.client.connected(wall_ms);
                self.report.note(Happened::Connected);
                self.flush(device);
            }
            Want::Disconnect => {
                self.flush(device);
                self.leave(device);
            }
        }
    }

    /// A device's side of its connection ends.
    fn leave(&mut self, device: usize) {
        let it = &mut self.devices[device];
        let wall_ms = it.wall_ms(self.now_ms);
        if let Some(wire) = it.wire.take().and_then(|wire| self.wires.get_mut(&wire)) {
            wire.device_left = true;
            wire.down.clear();
        }
        it.client.disconnected(wall_ms);
        it.collect();
    }

    /// Carries one message, or notices that a connection is over.
    fn carry(&mut self) {
        let ids: Vec<u64> = self.wires.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let wire = ids[self.chance.below(ids.len())];
        for _ in 0..=self.chance.below(8) {
            self.carry_one(wire);
        }
    }

    fn carry_one(&mut self, wire: u64) {
        match self.chance.below(2) {
            0 => self.carry_up(wire),
            _ => self.carry_down(wire),
        };
    }

    fn carry_up(&mut self, wire: u64) -> bool {
        let Some(it) = self.wires.get_mut(&wire) else { return false };
        match it.up.pop_front() {
            Some(message) if !it.relay_left => {
                self.report.note(Happened::Delivered);
                if !self.relay.receive(wire, &message, self.now_ms) {
                    it.relay_left = true;
                }
                true
            }
            Some(_) => true,
            None if it.device_left => {
                self.relay.disconnect(wire);
                self.wires.remove(&wire);
                true
            }
            None => false,
        }
    }

    fn carry_down(&mut self, wire: u64) -> bool {
        let Some(it) = self.wires.get_mut(&wire) else { return false };
        if it.device_left {
            return false;
        }
        if it.down.is_empty() {
            while let Some(message) = self.relay.pop(wire) {
                it.down.push_back(message);
            }
        }
        let device = it.device;
        let message = it.down.pop_front();
        let over = message.is_none() && it.relay_left;
        if let Some(message) = &message {
            self.report.note(Happened::Delivered);
            let it = &mut self.devices[device];
            let wall_ms = it.wall_ms(self.now_ms);
            it.client.receive(wall_ms, message, &mut it.keys);
            it.collect();
        } else if over {
            self.leave(device);
        }
        message.is_some() || over
    }

    fn break_wire(&mut self) {
        let ids: Vec<u64> = self.wires.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        self.report.note(Happened::Lost);
        let id = ids[self.chance.below(ids.len())];
        let wire = self.wires.get_mut(&id).expect("it was there");
        let device = wire.device;
        // What is under way may still arrive, up to any message; what breaks off within one is not one.
        let kept = self.chance.below(wire.up.len() + 1);
        wire.up.truncate(kept);
        let kept = self.chance.below(wire.down.len() + 1);
        wire.down.truncate(kept);
        if self.chance.below(2) == 0 {
            wire.relay_left = true;
            self.relay.disconnect(id);
        } else if self.devices[device].wire == Some(id) {
            self.leave(device);
        }
    }

    fn sync(&mut self) {
        for (name, record) in self.relay.sync() {
            self.report.note(Happened::Durable);
            self.note_durable(&name, &record);
        }
        self.note_rest();
    }

    /// What was made durable on the way, as by an opening.
    fn note_rest(&mut self) {
        let records: Vec<_> = self
            .relay
            .hosted
            .iter()
            .flat_map(|(name, hosted)| {
                hosted.durable().iter().map(|record| (name.clone(), record.clone()))
            })
            .collect();
        records.iter().for_each(|(name, record)| self.note_durable(name, record));
    }

    fn note_durable(&mut self, name: &DocumentId, record: &[u8]) {
        let Some(batch) = ledger::batch_of(record) else { return };
        self.safe.entry(name.clone()).or_default().extend(ledger::edits_of(&batch));
        self.oracle.entry(name.clone()).or_default().apply(&batch);
    }

    fn note(&mut self, what: Happened, device: Option<usize>) {
        self.report.note(what);
        self.told.push(format!("{what:?} {device:?} at {}", self.now_ms % 100_000_000));
    }

    fn device_dies(&mut self, device: usize) {
        self.note(Happened::DeviceDied, Some(device));
        let count = self.chance.below(4);
        self.devices[device].store(count);
        self.leave(device);
        self.devices[device].start(&mut self.chance);
        self.repeat_keys();
    }

    fn relay_dies(&mut self) {
        self.note_rest();
        self.note(Happened::RelayDied, None);
        self.relay.crash();
        self.wires.values_mut().for_each(|wire| wire.relay_left = true);
    }

    fn back_up(&mut self) {
        for (name, hosted) in &mut self.relay.hosted {
            if let Some(backup) = hosted.backup() {
                self.backups.insert(name.clone(), backup);
                self.report.note(Happened::BackupTaken);
            }
        }
    }

    fn restore_relay(&mut self) {
        if self.backups.len() < self.names.len() {
            return;
        }
        self.relay_dies();
        self.note(Happened::Restored, None);
        for (name, backup) in std::mem::take(&mut self.backups) {
            let log = LogId(self.chance.id());
            let hosted = Hosted::restored(&name, &backup, (log, self.now_ms));
            self.relay.hosted.insert(name, hosted);
        }
        self.destroyed = true;
        self.recount();
    }

    fn keep_copy(&mut self, device: usize) {
        let disks = self.devices[device].disks.clone();
        self.copies.push((device, disks));
        if self.copies.len() > 4 {
            self.copies.remove(0);
        }
    }

    fn roll_back(&mut self, device: usize) {
        let Some(at) = self.copies.iter().position(|(of, _)| *of == device) else { return };
        self.note(Happened::RolledBack, Some(device));
        let (_, disks) = self.copies.remove(at);
        self.leave(device);
        self.devices[device].disks = disks;
        self.devices[device].start(&mut self.chance);
        self.destroyed = true;
        self.recount();
    }

    fn clone_device(&mut self, device: usize) {
        if self.devices.len() >= DEVICES + 2 {
            return;
        }
        self.note(Happened::Cloned, Some(device));
        self.destroyed = true;
        let copy = self.devices[device].copy(self.devices.len(), &mut self.chance);
        self.devices.push(copy);
    }

    fn evict(&mut self, device: usize) {
        self.note(Happened::Evicted, Some(device));
        self.leave(device);
        let key = self.devices[device].keys.device.0[0];
        let new = Device::new(device, key, &self.names, &mut self.chance);
        self.devices[device] = new;
        self.copies.retain(|(of, _)| *of != device);
        self.destroyed = true;
        self.recount();
    }

    fn jump_clock(&mut self, device: usize) {
        self.note(Happened::ClockJumped, Some(device));
        let days = self.chance.below(61) as i64 - 30;
        self.devices[device].skew_ms = days * 86_400_000;
    }

    fn stay_away(&mut self) {
        self.note(Happened::Away, None);
        self.now_ms += LEASE_MS / 2 + self.chance.next() % LEASE_MS;
    }

    fn compact(&mut self) {
        let name = self.names[self.chance.below(2)].0.clone();
        if self.relay.compact(&name, self.now_ms) {
            self.note(Happened::Compacted, None);
        }
    }

    fn trim(&mut self) {
        self.note_rest();
        self.relay.hosted.values_mut().for_each(Hosted::trim);
        self.note(Happened::Trimmed, None);
    }

    /// What was safe is so only as long as the relay or some device still has it.
    fn recount(&mut self) {
        for (name, _) in &self.names {
            let held = ledger::held(name, &self.devices, &self.relay.hosted[name]);
            self.safe.entry(name.clone()).or_default().retain(|edit| held.contains(edit));
        }
    }

    /// Nothing goes wrong any more: all must be well before long.
    pub fn end(mut self) -> SyncReport {
        self.set_clocks();
        for round in 0.. {
            assert!(round < 600, "no end: {}", self.describe());
            self.now_ms += 500;
            for device in 0..self.devices.len() {
                self.tick(device);
                self.devices[device].store(usize::MAX);
                self.tick(device);
            }
            let wires: Vec<u64> = self.wires.keys().copied().collect();
            for wire in &wires {
                while self.carry_up(*wire) {}
            }
            self.sync();
            for wire in &wires {
                while self.carry_down(*wire) {}
            }
            if round % 100 == 50 {
                self.repeat_keys();
            }
            if round > 4 && self.is_quiet() {
                break;
            }
        }
        self.check();
        for device in &self.devices {
            self.report.add(Happened::Renamed, device.renamed);
            self.report.add(Happened::Healed, device.healed);
        }
        self.report.add(Happened::Expired, self.relay.expired);
        let saved = self.relay.hosted.values().map(|hosted| hosted.document.snapshots().len());
        self.report.add(Happened::Snapshot, saved.sum::<usize>() as u64);
        self.report
    }

    /// People set the clocks of devices that are behind, and find another way to the relay where it lies.
    fn set_clocks(&mut self) {
        self.devices.iter_mut().for_each(|device| device.skew_ms = device.skew_ms.max(0));
        for wire in std::mem::take(&mut self.relay.lies).into_keys() {
            self.wires.get_mut(&wire).into_iter().for_each(|wire| wire.relay_left = true);
            self.relay.disconnect(wire);
        }
        self.faults &= !(1 << LIES);
    }

    fn is_quiet(&self) -> bool {
        let hosted = &self.relay.hosted;
        self.devices.iter().all(|device| hosted.iter().all(|(name, it)| device.has_all(name, it)))
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for device in &self.devices {
            for (name, _) in &self.names {
                let replica = device.client.replica(name).expect("it is here");
                let durable = self.relay.hosted[name].document.durable();
                text += &format!(
                    "\ndevice {} {name}: {} of {durable}, {} waiting, lost {}, trouble {:?}, {}",
                    device.number,
                    replica.position().map_or(0, |position| position.next),
                    replica.unacknowledged(),
                    replica.is_lost(),
                    device.trouble.last(),
                    replica.describe(),
                );
            }
        }
        text += &format!("\n{:?}", self.told);
        for device in &self.devices {
            let last = device.heard.len().saturating_sub(12);
            text += &format!("\n{} heard {:?}", device.number, &device.heard[last..]);
        }
        text
    }

    fn check(&self) {
        for (name, _) in &self.names {
            let first = self.devices[0].client.document(name).expect("it is here");
            let bytes = first.snapshot();
            for device in &self.devices[1..] {
                let other = device.client.document(name).expect("it is here");
                assert!(
                    other.snapshot() == bytes,
                    "replicas 0 and {} of {name} differ in the end",
                    device.number
                );
            }
            let there = ledger::edits_in(first);
            let safe = self.safe.get(name).filter(|_| !self.may_forget());
            for edit in safe.into_iter().flatten() {
                assert!(
                    there.contains(edit),
                    "edit {edit} of {name} was safe, and is lost: {}",
                    self.describe()
                );
            }
            if !self.destroyed {
                self.check_life(name, first);
            }
            // What two wrote under one name both issue again.
            if !self.has(ROLLS_BACK) && !self.has(CLONES) {
                let count = first.entity(LEDGER).map_or(0, |entity| entity.count("count"));
                let edits = there.len() as i64;
                assert!(
                    count == edits,
                    "{edits} edits of {name} count as {count}: {}",
                    self.describe()
                );
            }
        }
        for device in &self.devices {
            let fine = self.destroyed || device.trouble.is_empty();
            assert!(fine, "device {} saw {:?}: {}", device.number, device.trouble, self.describe());
        }
    }

    /// What is dead when nothing was ever compacted may not be alive.
    fn check_life(&self, name: &DocumentId, document: &Document) {
        let Some(oracle) = self.oracle.get(name) else { return };
        for entity in document.entities() {
            let id = entity.id();
            assert!(oracle.entity(id).is_some(), "{id} of {name} came back");
        }
    }
}

/// Which faults a story has, a bit for each. A relay that forgot what it knew is seldom together with copies of a device,
/// as what each wrote under one name cannot be told apart then, and with absences longer than a lease.
fn faults(chance: &mut Chance) -> u64 {
    let faults = chance.next();
    let faults = if faults >> 10 & 1 == 1 { faults } else { faults & !(1 << LIES) };
    match chance.below(8) {
        0 => faults,
        1..=4 => faults & !(1 << ROLLS_BACK | 1 << CLONES | 1 << STAYS_AWAY),
        _ => faults & !(1 << RESTORES),
    }
}
