//! A small world of which everything is known that may happen next, for who searches through all of it: the machines
//! of devices and of a relay, connections, disks, and faults that are counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    hash::{Hash, Hasher},
};

use super::{
    super::Chance,
    device::Device,
    ledger::{self, EDITS, LEDGER},
    network::Wire,
    relay::{Backup, Hosted, Relay},
};
use crate::{
    Document, EditError,
    session::{DocumentId, LogId, Sealing, Want, relay::Terms},
};

const DEVICES: usize = 2;
const LEASE_MS: u64 = 10 * 60_000;
const JUMP_MS: i64 = 30 * 86_400_000;

/// Times that time may pass until all is well.
const WAITS_MAX: usize = 64;

/// How often something may still happen that need not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chances {
    /// A device writes.
    pub edits: u8,
    /// A connection is lost, with what is under way.
    pub breaks: u8,
    /// A device dies, with what it had not stored.
    pub deaths: u8,
    /// The relay dies, with what was not durable.
    pub relay_deaths: u8,
    /// The relay compacts.
    pub compactions: u8,
    /// The relay is restored from a backup.
    pub restores: u8,
    /// A clock jumps by a month.
    pub jumps: u8,
    /// Time passes although something else could happen first.
    pub waits: u8,
}

/// Something that may happen next. A device is named by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A device writes.
    Write(usize),
    /// A device stores its next transaction.
    Store(usize),
    /// A message reaches the relay.
    Up(usize),
    /// A message reaches a device.
    Down(usize),
    /// The relay's log is made durable.
    Sync,
    /// Time passes until somebody has something to do.
    Wait,
    /// A connection is lost.
    Break(usize),
    /// A device dies.
    Die(usize),
    /// The relay dies.
    RelayDies,
    /// The relay compacts, if it has reason to.
    Compact,
    /// A backup of the relay is taken.
    BackUp,
    /// The relay is restored from the backup.
    Restore,
    /// A clock jumps back by a month.
    Back(usize),
    /// A clock jumps ahead by a month.
    Ahead(usize),
}

/// Two devices, a relay, and a document.
#[derive(Clone)]
pub struct SmallWorld {
    name: DocumentId,
    now_ms: u64,
    devices: Vec<Device>,
    relay: Relay,
    wires: BTreeMap<u64, Wire>,
    backup: Option<Backup>,
    edits: u64,
    /// Edits that were durable at the relay, and that somebody still has.
    safe: BTreeSet<u64>,
    /// How often time passed since something happened that need not.
    waited: usize,
    left: Chances,
}

impl SmallWorld {
    /// A world in which both devices have opened the document, and nothing was written.
    pub fn new(left: Chances) -> Self {
        let mut world = SmallWorld::unopened();
        world.calm();
        SmallWorld { waited: 0, left, ..world }
    }

    fn unopened() -> Self {
        let name = DocumentId::new("acme", "main").expect("a name");
        let names = [(name.clone(), Sealing::Plain)];
        let mut chance = Chance::new(1);
        let device = |number| Device::new(number, number as u8 + 1, &names, &mut chance);
        let devices = (0..DEVICES).map(device).collect();
        let terms = Terms { lease_ms: LEASE_MS, compact_records: 1, ..Terms::default() };
        let mut relay = Relay::new(terms);
        relay.hosted.insert(name.clone(), Hosted::new(&name, LogId([1; 16])));
        let mut world = SmallWorld {
            name,
            now_ms: 1_700_000_000_000,
            devices,
            relay,
            wires: BTreeMap::new(),
            backup: None,
            edits: 0,
            safe: BTreeSet::new(),
            waited: 0,
            left: Chances::default(),
        };
        (0..DEVICES).for_each(|device| world.settle(device));
        world
    }

    /// Everything that may happen next.
    pub fn steps(&self) -> Vec<Step> {
        let Chances { edits, breaks, deaths, relay_deaths, compactions, restores, jumps, waits } =
            self.left;
        let each =
            |count: u8, step: fn(usize) -> Step| (0..DEVICES).filter(move |_| count > 0).map(step);
        let once = |may: bool, step: Step| may.then_some(step);
        let due = self.due();
        let rests = due.is_empty() && !self.is_well();
        let connected = |step: &Step| match step {
            Step::Break(device) => self.devices[*device].wire.is_some(),
            _ => true,
        };
        due.into_iter()
            .chain(each(edits, Step::Write))
            .chain(each(breaks, Step::Break).filter(connected))
            .chain(each(deaths, Step::Die))
            .chain(each(jumps, Step::Back))
            .chain(each(jumps, Step::Ahead))
            .chain(once(relay_deaths > 0, Step::RelayDies))
            .chain(once(compactions > 0, Step::Compact))
            .chain(once(restores > 0 && self.backup.is_none(), Step::BackUp))
            .chain(once(restores > 0 && self.backup.is_some(), Step::Restore))
            .chain(once(waits > 0 || rests, Step::Wait))
            .collect()
    }

    /// What happens without a fault, and without time going on.
    fn due(&self) -> Vec<Step> {
        let hosted = &self.relay.hosted[&self.name].document;
        let mut due = Vec::new();
        for (number, device) in self.devices.iter().enumerate() {
            let wire = device.wire.and_then(|wire| self.wires.get(&wire));
            due.extend(wire.filter(|wire| !wire.up.is_empty()).map(|_| Step::Up(number)));
            due.extend(wire.filter(|wire| !wire.down.is_empty()).map(|_| Step::Down(number)));
            due.extend(device.has_to_store().then_some(Step::Store(number)));
        }
        due.extend((hosted.durable() < hosted.tail()).then_some(Step::Sync));
        due
    }

    /// Lets it happen. Returns whether it made a difference.
    pub fn take(&mut self, step: Step) -> bool {
        self.waited = match step {
            Step::Store(_) | Step::Up(_) | Step::Down(_) | Step::Sync => self.waited,
            Step::Wait => self.waited + 1,
            _ => 0,
        };
        match step {
            Step::Write(device) => self.write(device),
            Step::Store(device) => {
                self.devices[device].store(1);
                self.settle(device);
            }
            Step::Up(device) => self.up(device),
            Step::Down(device) => self.down(device),
            Step::Sync => {
                self.relay.sync();
                self.fan_out();
            }
            Step::Wait => self.wait(),
            Step::Break(device) => {
                self.left.breaks -= 1;
                self.cut(device);
            }
            Step::Die(device) => {
                self.left.deaths -= 1;
                self.cut(device);
                self.devices[device].start(&mut Chance::new(u64::from(self.left.deaths)));
                self.settle(device);
            }
            Step::RelayDies => {
                self.left.relay_deaths -= 1;
                self.relay_dies();
            }
            Step::Compact => {
                self.left.compactions -= 1;
                return self.relay.compact(&self.name, self.now_ms);
            }
            Step::BackUp => {
                let hosted = self.relay.hosted.get_mut(&self.name);
                self.backup = hosted.and_then(Hosted::backup);
                return self.backup.is_some();
            }
            Step::Restore => self.restore(),
            Step::Back(device) => self.jump(device, -JUMP_MS),
            Step::Ahead(device) => self.jump(device, JUMP_MS),
        }
        true
    }

    fn write(&mut self, device: usize) {
        self.left.edits -= 1;
        self.edits += 1;
        let (edit, it) = (self.edits as i64, &mut self.devices[device]);
        let wall_ms = it.wall_ms(self.now_ms);
        let written = it.client.edit(&self.name, wall_ms, |changes| {
            changes.include(LEDGER, EDITS, edit.into())?;
            changes.set("a", "f", edit.into())?;
            Ok::<(), EditError>(())
        });
        written.expect("the document is here").expect("everything is within its bounds");
        self.settle(device);
    }

    fn up(&mut self, device: usize) {
        let id = device as u64;
        let message = self.wires.get_mut(&id).and_then(|wire| wire.up.pop_front());
        let goes_on = message.is_none_or(|it| self.relay.receive(id, &it, self.now_ms));
        if goes_on { self.fan_out() } else { self.cut(device) }
    }

    fn down(&mut self, device: usize) {
        let wire = self.wires.get_mut(&(device as u64));
        let Some(message) = wire.and_then(|wire| wire.down.pop_front()) else { return };
        let it = &mut self.devices[device];
        let wall_ms = it.wall_ms(self.now_ms);
        it.client.receive(wall_ms, &message, &mut it.keys);
        self.settle(device);
    }

    /// A device does what is due, and connects if it likes.
    fn settle(&mut self, device: usize) {
        let id = device as u64;
        let it = &mut self.devices[device];
        let wall_ms = it.wall_ms(self.now_ms);
        match it.client.wants(wall_ms) {
            Want::Nothing => {}
            Want::Connect => {
                self.relay.connect(id, [7; 16], 2 << 20);
                self.wires.insert(id, Wire::new(device));
                it.wire = Some(id);
                it.client.connected(wall_ms);
            }
            Want::Disconnect => return self.cut(device),
        }
        it.tick(self.now_ms);
        let said = std::iter::from_fn(|| it.client.poll_message());
        match self.wires.get_mut(&id) {
            Some(wire) => wire.up.extend(said),
            None => said.for_each(drop),
        }
    }

    /// What the relay says is under way, and what is durable is safe.
    fn fan_out(&mut self) {
        for (id, wire) in &mut self.wires {
            wire.down.extend(std::iter::from_fn(|| self.relay.pop(*id)));
        }
        let durable = self.relay.hosted[&self.name].durable();
        let batches = durable.iter().filter_map(|record| ledger::batch_of(record));
        self.safe.extend(batches.flat_map(|batch| ledger::edits_of(&batch).collect::<Vec<_>>()));
    }

    /// A connection is lost, with everything under way, and both sides notice.
    fn cut(&mut self, device: usize) {
        self.wires.remove(&(device as u64));
        self.relay.disconnect(device as u64);
        let it = &mut self.devices[device];
        if it.wire.take().is_some() {
            it.client.disconnected(it.wall_ms(self.now_ms));
            it.collect();
        }
    }

    fn relay_dies(&mut self) {
        self.relay.crash();
        (0..DEVICES).for_each(|device| self.cut(device));
    }

    fn restore(&mut self) {
        self.left.restores -= 1;
        let Some(backup) = self.backup.take() else { return };
        self.relay_dies();
        let life = (LogId([2 + self.left.restores; 16]), self.now_ms);
        let hosted = Hosted::restored(&self.name, &backup, life);
        self.relay.hosted.insert(self.name.clone(), hosted);
        let held = ledger::held(&self.name, &self.devices, &self.relay.hosted[&self.name]);
        self.safe.retain(|edit| held.contains(edit));
    }

    fn jump(&mut self, device: usize, by_ms: i64) {
        self.left.jumps -= 1;
        self.devices[device].skew_ms += by_ms;
        self.settle(device);
    }

    fn wait(&mut self) {
        self.left.waits = self.left.waits.saturating_sub(1);
        let wait_ms = |device: &Device| {
            let due = device.client.wake_at()?;
            Some(due.saturating_sub(device.wall_ms(self.now_ms)).max(1))
        };
        self.now_ms += self.devices.iter().filter_map(wait_ms).min().unwrap_or(1_000);
        (0..DEVICES).for_each(|device| self.settle(device));
    }

    fn is_well(&self) -> bool {
        let hosted = &self.relay.hosted[&self.name];
        hosted.document.durable() == hosted.document.tail()
            && self.devices.iter().all(|device| device.has_all(&self.name, hosted))
    }

    /// Lets everything come to its end without a fault. All of it are steps, so that who takes all steps need not look
    /// ahead for an end: he comes by.
    fn calm(&mut self) {
        while !self.is_well() && self.ends() {
            let due = self.due();
            self.take(due.first().copied().unwrap_or(Step::Wait));
        }
    }

    /// Whether what began comes to an end before long, if no fault happens.
    pub fn ends(&self) -> bool {
        self.waited < WAITS_MAX
    }

    /// Whether those who have everything have the same, byte for byte, with every edit that was safe.
    pub fn agrees(&self) -> bool {
        let hosted = &self.relay.hosted[&self.name];
        let all = self.devices.iter().filter(|device| device.has_all(&self.name, hosted));
        let documents: Vec<_> =
            all.filter_map(|device| device.client.document(&self.name)).collect();
        let whole = |it: &&Document| self.safe.is_subset(&ledger::edits_in(it));
        documents.windows(2).all(|pair| pair[0].snapshot() == pair[1].snapshot())
            && (!self.is_well() || documents.iter().all(whole))
    }

    /// Whether the relay has, durably, whatever a device was told to be safe there. Not so while it was restored from a
    /// backup and is not healed.
    pub fn keeps(&self) -> bool {
        let durable = self.relay.hosted[&self.name].durable();
        let batches: Vec<_> = durable.iter().filter_map(|it| ledger::batch_of(it)).collect();
        let told = self.devices.iter().flat_map(|device| &device.acknowledged);
        told.into_iter().all(|(replica, seq)| {
            batches.iter().any(|it| it.replica() == *replica && it.first() + it.len() as u64 > *seq)
        })
    }

    /// Whether everything that could happen has, and all is well.
    pub fn is_over(&self) -> bool {
        self.left == Chances::default() && self.is_well()
    }
}

impl Hash for SmallWorld {
    /// All that makes a difference to what may happen, as it would be printed.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let SmallWorld { now_ms, devices, relay, wires, backup, edits, safe, left, .. } = self;
        (now_ms, edits, safe, left, backup.is_some()).hash(state);
        let mut out = Printed(state);
        for device in devices {
            device.hash(out.0);
            write!(out, "{:?}", device.client).expect("a hash takes everything");
        }
        for (id, wire) in wires {
            (id, &wire.up, &wire.down).hash(out.0);
        }
        relay.hash(out.0);
        for hosted in relay.hosted.values() {
            write!(out, "{:?}", hosted.document).expect("a hash takes everything");
        }
        write!(out, "{:?}", relay.connections).expect("a hash takes everything");
    }
}

impl PartialEq for SmallWorld {
    fn eq(&self, other: &Self) -> bool {
        let of = |world: &SmallWorld| {
            let mut hasher = std::hash::DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        of(self) == of(other)
    }
}

impl fmt::Debug for SmallWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosted = &self.relay.hosted[&self.name].document;
        write!(f, "log {} of {}", hosted.durable(), hosted.tail())?;
        for device in &self.devices {
            let replica = device.client.replica(&self.name).expect("it is here");
            let next = replica.position().map_or(0, |position| position.next);
            let edits = ledger::edits_in(replica.document());
            write!(f, "; {} at {next} has {edits:?}, {}", device.number, replica.describe())?;
        }
        write!(f, "; left {:?}", self.left)
    }
}

/// A hash of what is printed.
struct Printed<'h, H>(&'h mut H);

impl<H: Hasher> Write for Printed<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
