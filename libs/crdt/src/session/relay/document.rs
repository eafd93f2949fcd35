//! What a relay knows of one document: a fold over its log, and the leases of its devices.

use std::{borrow::Cow, collections::VecDeque};

use super::{Vetted, lease::Lease, marks::Marks};
use crate::{
    BatchHash, Head, Header, Hlc, ReplicaId,
    session::{DeviceId, DocumentId, LogId, Record, RecordHash, Sealing, Signature, SnapshotInfo},
    sorted::Map,
    wire::Malformed,
};

/// Snapshots of a document that are kept: the current one, and those before it.
pub const SNAPSHOTS_KEPT: usize = 3;

/// Batches whose hash is remembered beside the heads, so that a repetition is known from a fork.
const RECENT_MAX: usize = 256;

/// What a relay knows of a document. Records that were admitted and are not durable yet are part of it, and can be
/// [taken back](Self::take_back).
#[derive(Clone, Debug)]
pub struct RelayDocument {
    pub(super) id: DocumentId,
    pub(super) log: LogId,
    /// When the log began, if records were lost before; 0 if none were.
    pub(super) lost_ms: u64,
    /// The first record of this life of the log; nothing until everything before it was read.
    pub(super) life_from: Option<u64>,
    pub(super) fold: Fold,
    pub(super) leases: Map<DeviceId, Lease>,
    /// Where the log begins by now.
    pub(super) start: u64,
    /// What is durable ends here.
    pub(super) durable: u64,
    /// Bytes of keys that are kept beside the log.
    kept: u64,
    recent: VecDeque<Recent>,
    /// How to take back what is not durable, in order of offsets.
    undo: VecDeque<Undo>,
}

/// What the records say, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fold {
    pub chains: Map<ReplicaId, Chain>,
    pub sealing: Sealing,
    /// Of the last keys.
    pub keys: Option<RecordHash>,
    /// The last one is current.
    pub snapshots: Vec<Placed>,
    pub compacted: Compacted,
    /// Of durable records only.
    pub marks: Marks,
    /// Of the last record.
    pub last: RecordHash,
    /// The greatest stamp.
    pub newest: Hlc,
}

/// A replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub device: DeviceId,
    pub head: Head,
    /// Of its last operation.
    pub stamp: Hlc,
    /// Where its last batch lies.
    pub offset: u64,
    pub is_retired: bool,
}

/// A snapshot that is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which.
    pub info: SnapshotInfo,
    /// Its device's, over the record.
    pub signature: Signature,
    /// Where that record lies.
    pub at: u64,
}

/// The last compaction; all zero if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Compacted {
    pub horizon: Hlc,
    /// The offset behind its record.
    pub end: u64,
    /// What every device that counted had seen.
    pub stable: u64,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    replica: ReplicaId,
    seq: u64,
    hash: BatchHash,
    offset: u64,
}

#[derive(Clone, Debug)]
struct Undo {
    last: RecordHash,
    newest: Hlc,
    bytes: usize,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Chain(ReplicaId, Option<Chain>),
    Keys(Sealing, Option<RecordHash>),
    Snapshots(Vec<Placed>),
    Compacted(Compacted, Vec<ReplicaId>),
}

impl RelayDocument {
    /// A document whose log begins. `lost_ms` is when the relay came back without records that it had, if it did.
    pub fn new(id: DocumentId, log: LogId, lost_ms: u64) -> Self {
        RelayDocument {
            id,
            log,
            lost_ms,
            life_from: (lost_ms == 0).then_some(0),
            fold: Fold::default(),
            leases: Map::new(),
            start: 0,
            durable: 0,
            kept: 0,
            recent: VecDeque::new(),
            undo: VecDeque::new(),
        }
    }

    /// Which document.
    pub fn id(&self) -> &DocumentId {
        &self.id
    }

    /// Where the next record goes.
    pub fn tail(&self) -> u64 {
        self.durable + self.undo.len() as u64
    }

    /// What is durable ends here.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The first offset that is kept.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The snapshots that are kept; the last one is current.
    pub fn snapshots(&self) -> &[Placed] {
        &self.fold.snapshots
    }

    /// The last snapshot whose record is durable: the log before it may be given up, as before no other.
    pub fn durable_snapshot(&self) -> Option<&Placed> {
        self.fold.snapshots.iter().rfind(|placed| placed.at < self.durable)
    }

    /// How batches are sealed.
    pub fn sealing(&self) -> Sealing {
        self.fold.sealing
    }

    /// Up to which stamp the document is compacted.
    pub fn horizon(&self) -> Hlc {
        self.fold.compacted.horizon
    }

    /// Replicas that wrote, and have not retired.
    pub fn replicas(&self) -> usize {
        self.fold.chains.values().filter(|chain| !chain.is_retired).count()
    }

    /// Devices whose leases are known.
    pub fn devices(&self) -> usize {
        self.leases.len()
    }

    /// Bytes of records and keys that are kept, also of those that are not durable yet.
    pub fn bytes(&self) -> u64 {
        let pending: usize = self.undo.iter().map(|undo| undo.bytes).sum();
        let before = self.fold.marks.at(self.start).map_or(0, |mark| mark.bytes);
        self.fold.marks.last.bytes - before + pending as u64 + self.kept
    }

    /// Says that so many bytes of keys are kept beside the log, also of what it lost at its beginning.
    pub fn keeps(&mut self, bytes: u64) {
        self.kept = bytes;
    }

    /// The hash of the last durable record.
    pub(super) fn last_durable(&self) -> RecordHash {
        self.undo.front().map_or(self.fold.last, |undo| undo.last)
    }

    /// Takes in the next record of the log, which is durable.
    ///
    /// # Errors
    /// What is no record.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let record = Record::read(bytes)?;
        let batch = match &record {
            Record::Batch { batch, .. } => Some((Header::read(batch)?.0, BatchHash::of(batch))),
            _ => None,
        };
        self.take(&Vetted { bytes, hash: RecordHash::of(bytes), record, batch });
        self.commit();
        Ok(())
    }

    /// Says that all records were read that the log has: where records were lost, this life of it begins here.
    pub fn loaded(&mut self) {
        self.life_from.get_or_insert(self.durable);
    }

    /// Says that the first record which was not durable is.
    pub fn commit(&mut self) {
        let Some(undo) = self.undo.pop_front() else { return };
        let newest = self.undo.front().map_or(self.fold.newest, |next| next.newest);
        self.durable += 1;
        self.fold.marks.push(self.durable, newest, undo.bytes);
    }

    /// Forgets every record that is not durable: the log did not take it.
    pub fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop_back() {
            let Undo { last, newest, bytes: _, change } = undo;
            let tail = self.tail();
            self.recent.retain(|recent| recent.offset < tail);
            self.fold.take_back(change);
            self.fold.last = last;
            self.fold.newest = newest;
        }
    }

    /// What the durable records say.
    pub(super) fn durable_fold(&self) -> Cow<'_, Fold> {
        if self.undo.is_empty() {
            return Cow::Borrowed(&self.fold);
        }
        let mut fold = self.fold.clone();
        for Undo { last, newest, bytes: _, change } in self.undo.iter().rev() {
            fold.take_back(change.clone());
            (fold.last, fold.newest) = (*last, *newest);
        }
        Cow::Owned(fold)
    }

    /// Says that the log begins here by now.
    pub fn trimmed(&mut self, start: u64) {
        self.start = self.start.max(start);
        self.fold.marks.trim(self.start);
    }

    /// Gives back room that it has no use for while nothing happens.
    pub fn rest(&mut self) {
        self.fold.chains.shrink_to_fit();
        self.fold.snapshots.shrink_to_fit();
        self.fold.marks.marks.shrink_to_fit();
        self.leases.shrink_to_fit();
        self.recent.shrink_to_fit();
        self.undo.shrink_to_fit();
    }

    /// Takes in a record that goes to the tail, and returns its offset.
    pub(super) fn take(&mut self, record: &Vetted<'_>) -> u64 {
        let offset = self.tail();
        let (last, newest) = (self.fold.last, self.fold.newest);
        let change = self.fold.take(offset, record);
        if let Some((header, hash)) = &record.batch {
            let recent =
                Recent { replica: header.replica, seq: header.last(), hash: *hash, offset };
            self.recent.push_back(recent);
            if self.recent.len() > RECENT_MAX {
                self.recent.pop_front();
            }
        }
        self.undo.push_back(Undo { last, newest, bytes: record.bytes.len(), change });
        offset
    }

    /// Where a batch lies that is not its replica's last one, if it is remembered.
    pub(super) fn find(&self, header: &Header, hash: BatchHash) -> Option<u64> {
        let is_it = |recent: &&Recent| {
            recent.replica == header.replica && recent.seq == header.last() && recent.hash == hash
        };
        self.recent.iter().find(is_it).map(|recent| recent.offset)
    }
}

impl Fold {
    fn take(&mut self, offset: u64, record: &Vetted<'_>) -> Change {
        let change = match (&record.record, &record.batch) {
            (Record::Batch { device, .. }, Some((header, hash))) => {
                self.newest = self.newest.max(header.stamp_last);
                let head = Head { seq: header.last(), hash: *hash };
                let stamp = header.stamp_last;
                let chain = Chain { device: *device, head, stamp, offset, is_retired: false };
                Change::Chain(header.replica, self.chains.insert(header.replica, chain))
            }
            (Record::Batch { .. }, None) => unreachable!("a batch comes with its header"),
            (Record::Keys { epoch, .. }, _) => {
                let before = Change::Keys(self.sealing, self.keys);
                self.sealing = Sealing::of(*epoch);
                self.keys = Some(record.hash);
                before
            }
            (Record::Snapshot { info, signature }, _) => {
                let before = self.snapshots.clone();
                self.snapshots.push(Placed { info: *info, signature: *signature, at: offset });
                let more = self.snapshots.len().saturating_sub(SNAPSHOTS_KEPT);
                self.snapshots.drain(..more);
                Change::Snapshots(before)
            }
            (Record::Compact { horizon, retired }, _) => self.compact(offset, *horizon, retired),
        };
        self.last = record.hash;
        change
    }

    fn compact(&mut self, offset: u64, horizon: Hlc, retired: &[ReplicaId]) -> Change {
        let before = self.compacted;
        let end = offset + 1;
        // Whoever compacted knew better; a log that is read again says only this much.
        let stable = self.marks.after(horizon).unwrap_or(offset);
        self.compacted = Compacted { horizon, end, stable };
        let mut changed = Vec::new();
        for replica in retired {
            if let Some(chain) = self.chains.get_mut(replica).filter(|chain| !chain.is_retired) {
                chain.is_retired = true;
                changed.push(*replica);
            }
        }
        Change::Compacted(before, changed)
    }

    fn take_back(&mut self, change: Change) {
        match change {
            Change::Chain(replica, Some(before)) => {
                self.chains.insert(replica, before);
            }
            Change::Chain(replica, None) => {
                self.chains.remove(&replica);
            }
            Change::Keys(sealing, keys) => (self.sealing, self.keys) = (sealing, keys),
            Change::Snapshots(before) => self.snapshots = before,
            Change::Compacted(before, retired) => {
                self.compacted = before;
                for replica in retired {
                    if let Some(chain) = self.chains.get_mut(&replica) {
                        chain.is_retired = false;
                    }
                }
            }
        }
    }
}
