//! A disk in memory that does what disks do.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use fastrand::Rng;

use crate::{
    disk::{Disk, File},
    locked,
};

/// What a disk writes at once, or tears.
const SECTOR: usize = 512;

/// What a thin disk gives to a file at once.
const BLOCK: usize = 4096;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The process is gone; what it wrote is still in the memory of the machine.
    Kill,
    /// The machine is gone, and of what was not synced an arbitrary part.
    PowerCut,
}

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    inodes: Vec<Inode>,
    /// Names as the running program sees them.
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the folder; each happens as a whole or not at all.
    renames: Vec<Vec<(String, Option<usize>)>>,
    capacity: u64,
    /// Whether files take room only where they are written to.
    thin: bool,
    /// Changes until the machine dies.
    fuse: Option<u64>,
    dead: bool,
    /// Syncs until one fails.
    sync_fuse: Option<u64>,
    changes: u64,
    failed_syncs: u64,
    /// Writes that were refused after a part of them.
    partial: u64,
    removed: Vec<String>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Blocks that were written to.
    blocks: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl SimDisk {
    /// An empty disk without an end.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            renames: Vec::new(),
            capacity: u64::MAX,
            thin: false,
            fuse: None,
            dead: false,
            sync_fuse: None,
            changes: 0,
            failed_syncs: 0,
            partial: 0,
            removed: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets the machine die after so many more changes; everything later fails.
    pub fn die_after(&self, changes: u64) {
        self.lock().fuse = Some(changes);
    }

    /// Lets a sync fail after so many that work; what it should have synced is then taken for clean,
    /// and an arbitrary part of it is on the disk.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.lock().sync_fuse = Some(syncs);
    }

    /// Sets how many bytes all files may have together.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Lets files take room only where they are written to, whatever is reserved, as file systems do that cannot reserve:
    /// any write may find the disk full, after a part of it.
    pub fn set_thin(&self) {
        self.lock().thin = true;
    }

    /// Bytes that all files take.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Whether the machine died.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Syncs that failed so far.
    pub fn failed_syncs(&self) -> u64 {
        self.lock().failed_syncs
    }

    /// Writes so far that were refused after a part of them.
    pub fn partial(&self) -> u64 {
        self.lock().partial
    }

    /// How many files with such an ending were removed so far.
    pub fn removed(&self, suffix: &str) -> u64 {
        self.lock().removed.iter().filter(|name| name.ends_with(suffix)).count() as u64
    }

    /// Flips a bit of a file, on the disk and in memory.
    pub fn rot(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.lock();
        let inode = state.names[name];
        let Inode { content, durable, .. } = &mut state.inodes[inode];
        for bytes in [content, durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// The content of a file as programs see it.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.inodes[state.names[name]].content.clone()
    }

    /// Starts the machine, or only the program, after it ended.
    pub fn restart(&self, death: Death) {
        let mut state = self.lock();
        (state.fuse, state.sync_fuse, state.dead) = (None, None, false);
        if death == Death::PowerCut {
            state.power_cut();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Fails where the machine is dead. Reads change nothing, so that dying at one is dying at the
    /// next change.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.dead { Err(io::Error::other("the power is off")) } else { Ok(state) }
    }

    /// Counts a change, and fails where the machine is dead.
    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.changes += 1;
        if let Some(left) = &mut state.fuse {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => state.dead = true,
            }
        }
        drop(state);
        self.alive()
    }
}

impl State {
    fn used(&self) -> u64 {
        let used = self.names.values().map(|inode| &self.inodes[*inode]);
        used.map(|inode| inode.used(self.thin)).sum()
    }

    fn free(&self) -> usize {
        usize::try_from(self.capacity.saturating_sub(self.used())).unwrap_or(usize::MAX)
    }

    /// How much of a write there is room for, from its beginning.
    fn room(&self, inode: usize, range: Range<usize>) -> usize {
        let (inode, free) = (&self.inodes[inode], self.free());
        let end = if self.thin {
            let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
            let mut new = blocks.filter(|block| !inode.blocks.contains(block));
            new.nth(free / BLOCK).map_or(range.end, |block| block * BLOCK)
        } else {
            range.end.min(inode.content.len().saturating_add(free))
        };
        end.saturating_sub(range.start)
    }

    /// Writes, where there is no room for all of it an arbitrary part of what there is room for.
    fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let room = self.room(inode, offset..offset + bytes.len());
        if room >= bytes.len() {
            self.inodes[inode].write(offset, bytes);
            return Ok(());
        }
        let part = self.rng.usize(0..=room);
        if part > 0 {
            self.partial += 1;
            self.inodes[inode].write(offset, &bytes[..part]);
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, changes: Vec<(String, Option<usize>)>) {
        apply_names(&mut self.names, &changes);
        self.renames.push(changes);
    }

    fn power_cut(&mut self) {
        for changes in std::mem::take(&mut self.renames) {
            if self.rng.bool() {
                apply_names(&mut self.names_durable, &changes);
            }
        }
        self.names = self.names_durable.clone();
        let Self { inodes, rng, .. } = self;
        for inode in inodes {
            inode.settle(rng);
        }
    }
}

fn apply_names(names: &mut BTreeMap<String, usize>, changes: &[(String, Option<usize>)]) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

impl Inode {
    /// Leaves an arbitrary part of what was not synced, and forgets the rest.
    fn settle(&mut self, rng: &mut Rng) {
        self.leave_some(rng);
        self.content = self.durable.clone();
    }

    /// Brings an arbitrary part of what was not synced to the disk.
    fn leave_some(&mut self, rng: &mut Rng) {
        // All, nothing and a mixture are equally interesting.
        let share = [0.0, 0.5, 0.9, 1.0][rng.usize(0..4)];
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Length(length) if rng.f64() < share => self.durable.resize(length, 0),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => self.leave_sectors(offset, &bytes, share, rng),
            }
        }
    }

    fn leave_sectors(&mut self, offset: usize, bytes: &[u8], share: f64, rng: &mut Rng) {
        let mut at = 0;
        while at < bytes.len() {
            let room = SECTOR - (offset + at) % SECTOR;
            let end = bytes.len().min(at + room);
            if rng.f64() < share {
                let torn = if rng.u8(..) < 16 { rng.usize(0..=end - at) } else { end - at };
                put(&mut self.durable, offset + at, &bytes[at..at + torn]);
            }
            at = end;
        }
    }

    fn used(&self, thin: bool) -> u64 {
        (if thin { self.blocks.len() * BLOCK } else { self.content.len() }) as u64
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.blocks.extend(offset / BLOCK..(offset + bytes.len()).div_ceil(BLOCK));
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.content, &change);
        self.pending.push(change);
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length, 0),
        Change::Write { offset, bytes } => put(content, *offset, bytes),
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.alive()?.inode(name)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.operate()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.name(vec![(name.to_owned(), Some(inode))]);
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        let inode = state.inode(from)?;
        state.name(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        state.inode(name)?;
        state.removed.push(name.to_owned());
        state.name(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        state.renames.clear();
        state.names_durable = state.names.clone();
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.alive()?;
        let content = &state.inodes[self.inode].content;
        let begin = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let end = content.len().min(begin + buffer.len());
        buffer[..end - begin].copy_from_slice(&content[begin..end]);
        Ok(end - begin)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        state.write(self.inode, offset, bytes)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        if self.length()? < length { self.set_len(length) } else { Ok(()) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let longer = state.inodes[self.inode].content.len()..length;
        if !state.thin && state.free() < longer.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].change(Change::Length(length));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.alive()?.inodes[self.inode].content.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let fails = state.sync_fuse == Some(0);
        state.sync_fuse = state.sync_fuse.and_then(|left| left.checked_sub(1));
        state.failed_syncs += u64::from(fails);
        let State { inodes, rng, .. } = &mut *state;
        let inode = &mut inodes[self.inode];
        if fails {
            inode.leave_some(rng);
            return Err(io::Error::other("the disk did not sync"));
        }
        for change in std::mem::take(&mut inode.pending) {
            apply(&mut inode.durable, &change);
        }
        Ok(())
    }
}
