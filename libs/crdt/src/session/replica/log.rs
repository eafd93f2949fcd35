//! Reading the relay's log, record by record.

use std::sync::Arc;

use super::{Piece, Replica, confirmed::Step, kept::KeptRecord, own::Whose};
use crate::{
    Batch, BatchHash, Document, Header, Hlc, ReplicaId,
    session::{
        DeviceId, Event, KeyPlace, Keys, Record, RecordHash, Rename, Sealing, Signature,
        SnapshotInfo, Suspicion, Unreadable,
    },
    sorted::Sorted,
};

/// Keys that were said early and are remembered, at most; others are looked at once more at their place.
const EARLY_MAX: usize = 16 << 10;

/// So much later than now may be what a relay took, at most: who seals what this device cannot read may not say otherwise.
const DRIFT_MS_MAX: u64 = 120_000;

/// What a record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Took {
    /// It was read, or had been before.
    Done,
    /// A snapshot is to be joined before anything else is read.
    Join(SnapshotInfo),
    /// Records before it are missing.
    Gap,
}

/// A batch of the log, read.
pub(super) struct Logged {
    pub header: Header,
    pub device: DeviceId,
    pub hash: BatchHash,
    pub record: Arc<[u8]>,
    pub batch: Batch,
    pub is_sealed: bool,
}

impl Replica {
    /// Takes in the record at `offset`, at `now_ms` by the relay's clock. What is not right is told, and passed over.
    pub(in crate::session) fn take(
        &mut self,
        offset: u64,
        bytes: &Arc<[u8]>,
        (now_ms, keys): (u64, &mut dyn Keys),
    ) -> Took {
        let Some(position) = self.position else { return Took::Gap };
        if offset != position.next {
            return if offset < position.next { Took::Done } else { Took::Gap };
        }
        match self.read(bytes, (now_ms, keys)) {
            Ok(Some(join)) => return Took::Join(join),
            Ok(None) => {}
            Err(what) => {
                self.suspect(offset, what);
                self.pass(RecordHash::of(bytes));
            }
        }
        Took::Done
    }

    fn read(
        &mut self,
        bytes: &Arc<[u8]>,
        (now_ms, keys): (u64, &mut dyn Keys),
    ) -> Result<Option<SnapshotInfo>, Suspicion> {
        let record = Record::read(bytes).map_err(|_| Suspicion::Malformed)?;
        if let Some((device, signature)) = record.signature()
            && !keys.verify(device, &record.signed_bytes(&self.name), &signature)
        {
            return Err(Suspicion::Signature);
        }
        match record {
            Record::Batch { device, sealing, batch, .. } => {
                let (header, _) = Header::read(batch).map_err(|_| Suspicion::Malformed)?;
                let hash = BatchHash::of(batch);
                // Until it was opened, anybody may have written it, also the relay.
                let latest = Hlc::from_ms(now_ms.saturating_add(DRIFT_MS_MAX));
                self.heard = self.heard.max(header.stamp_last.min(latest));
                if header.replica == self.id() {
                    if device != keys.device() {
                        return Err(Suspicion::Device);
                    }
                    if self.take_own(&header, hash) {
                        return Ok(None);
                    }
                }
                let read = self.open_batch(sealing, batch, keys)?;
                self.heard = self.heard.max(header.stamp_last);
                let (record, is_sealed) = (bytes.clone(), sealing != Sealing::Plain);
                self.take_batch(Logged { header, device, hash, record, batch: read, is_sealed });
                if header.replica == self.id() && self.rename.is_some() {
                    self.checkpoint();
                }
            }
            Record::Keys { epoch, .. } => {
                let is_known = self.early.take(&RecordHash::of(bytes));
                // Also what another one came before lies there, and is not pushed again.
                self.keys_answered(bytes);
                if !is_known && !keys.take_keys(&self.name, &record) {
                    return Err(Suspicion::Keys);
                }
                self.journal.append(&Piece::Keys(bytes));
                self.logged_keys(epoch, bytes.clone());
            }
            Record::Snapshot { info, .. } if info.heals && self.snapshot != Some(info) => {
                return Ok(Some(info));
            }
            Record::Snapshot { info, .. } => {
                self.tell(Event::Snapshot(info.hash));
                self.journal.append(&Piece::Snapshot(bytes));
                self.logged_snapshot(info, RecordHash::of(bytes));
            }
            // The relay signs nothing: what it may forget was written before.
            Record::Compact { horizon, .. } if horizon > self.heard => {
                return Err(Suspicion::Horizon);
            }
            Record::Compact { horizon, ref retired } => {
                self.journal.append(&Piece::Compact(bytes));
                self.logged_compact((horizon, retired), RecordHash::of(bytes));
            }
        }
        Ok(None)
    }

    /// Takes keys before their place in the log, so that what lies there before them can be read.
    pub(in crate::session) fn take_early(&mut self, bytes: &[u8], keys: &mut dyn Keys) {
        let Ok(record @ Record::Keys { epoch, .. }) = Record::read(bytes) else { return };
        let is_signed = record.signature().is_some_and(|(device, signature)| {
            keys.verify(device, &record.signed_bytes(&self.name), &signature)
        });
        if is_signed && keys.take_keys(&self.name, &record) {
            self.keys_answered(bytes);
            self.early_epoch = self.early_epoch.max(epoch);
            if self.early.len() < EARLY_MAX {
                self.early.add(RecordHash::of(bytes));
            }
        }
    }

    /// The document is opened again, and all keys are said again.
    pub(in crate::session) fn forget_early(&mut self) {
        self.early = Sorted::new();
        self.early_epoch = 0;
    }

    fn open_batch(
        &mut self,
        sealing: Sealing,
        pushed: &[u8],
        keys: &dyn Keys,
    ) -> Result<Batch, Suspicion> {
        match sealing {
            Sealing::Plain if self.read_sealing == Sealing::Plain => {
                Batch::decode(pushed).map(|(_, batch)| batch).map_err(|_| Suspicion::Malformed)
            }
            Sealing::Plain => Err(Suspicion::Sealing),
            Sealing::Epoch(epoch) => {
                let place = KeyPlace { document: &self.name, epoch };
                let opened = keys.open_batch(place, pushed);
                if opened == Err(Unreadable::NoKey) {
                    self.miss(epoch);
                    self.journal.append(&Piece::Missed(epoch));
                    self.tell(Event::NeedsKey(epoch));
                }
                opened.map_err(|_| Suspicion::Sealing)
            }
        }
    }

    /// A batch of this replica; returns whether it is what was expected.
    fn take_own(&mut self, header: &Header, hash: BatchHash) -> bool {
        match self.own.whose(header, hash) {
            Whose::Front => {
                self.journal.append(&Piece::Confirmed);
                if let Some(record) = self.confirm() {
                    self.advance(RecordHash::of(&record));
                }
                true
            }
            Whose::Former => {
                // The relay took the bytes from before they were changed: what follows does not continue these.
                self.rename = Some(Rename::Forked);
                self.own.outbox.pop_front();
                false
            }
            Whose::Known => false,
            Whose::Foreign => {
                self.is_forked();
                false
            }
        }
    }

    /// The first batch that waits lies in the log. Returns its record, behind which it goes on.
    pub(super) fn confirm(&mut self) -> Option<Arc<[u8]>> {
        let sent = self.own.outbox.pop_front()?;
        self.outlives &= !self.own.outbox.is_empty();
        let (seq, replica) = (sent.last(), self.id());
        if sent.state != super::own::PushState::Acknowledged {
            self.tell(Event::Acknowledged { replica, seq });
        }
        self.own.head = crate::Head { seq, hash: sent.hash };
        self.last_writer = Some(replica);
        let record = sent.record.clone();
        let header = Header::read(batch_bytes(&record)).ok().map(|(header, _)| header);
        self.heard = self.heard.max(sent.batch.header(BatchHash::NONE).stamp_last);
        self.kept.push(KeptRecord { record: sent.record, header, epoch: 0, is_own: true });
        self.step(Step::Batch(sent.batch));
        Some(record)
    }

    fn take_batch(&mut self, logged: Logged) {
        let own = logged.header.replica == self.id();
        let offset = self.position.map_or(0, |position| position.next);
        if !own && let Some(what) = self.receipts.admit(&logged.header, logged.hash, logged.device)
        {
            self.suspect(offset, what);
            if what == Suspicion::Device {
                return self.pass(RecordHash::of(&logged.record));
            }
        }
        let plain = logged.is_sealed.then(|| logged.batch.encode(logged.header.prev));
        let plain = plain.as_deref();
        self.journal.append(&Piece::Batch { record: &logged.record, plain });
        self.tell_changed(&logged.batch);
        let hash = RecordHash::of(&logged.record);
        self.logged_batch(logged);
        self.advance(hash);
    }

    /// Takes in a batch, behind which it goes on.
    pub(super) fn logged_batch(&mut self, logged: Logged) {
        let Logged { header, record, batch, .. } = logged;
        self.last_writer = Some(header.replica);
        self.heard = self.heard.max(header.stamp_last);
        self.document.apply(&batch);
        let is_own = header.replica == self.id();
        if is_own {
            self.step_over();
        }
        self.kept.push(KeptRecord { record, header: Some(header), epoch: 0, is_own });
        self.step(Step::Batch(batch));
    }

    /// Members began this epoch: nobody else can say so, and nobody takes it back.
    pub(super) fn logged_keys(&mut self, epoch: u32, record: Arc<[u8]>) {
        let hash = RecordHash::of(&record);
        self.sealing = self.sealing.max(Sealing::of(epoch));
        self.read_sealing = self.read_sealing.max(self.sealing);
        (self.own.needs_key, self.own.hold_ms) = (None, 0);
        self.kept.push(KeptRecord { record, header: None, epoch, is_own: false });
        self.advance(hash);
    }

    pub(super) fn logged_snapshot(&mut self, info: SnapshotInfo, hash: RecordHash) {
        self.snapshot = Some(info);
        self.advance(hash);
    }

    /// Compacts here, and writes again what nobody has yet. Who could not read all of the log lacks what lies below the horizon,
    /// and does it when that is read again.
    pub(super) fn logged_compact(
        &mut self,
        (horizon, retired): (Hlc, &[ReplicaId]),
        hash: RecordHash,
    ) {
        if self.is_complete() {
            self.step(Step::Compact { horizon, retired: retired.to_vec() });
            self.document.compact(horizon, retired);
            self.own.unconfirmed().for_each(|batch| self.document.apply(batch));
        } else {
            self.writer.observe(horizon);
        }
        self.kept.trim(horizon);
        self.has_shrunk = true;
        self.receipts.remove(retired);
        self.sweeps = self.last_writer == Some(self.id());
        if retired.contains(&self.id()) {
            self.rename = self.rename.or(Some(Rename::Behind));
        }
        self.look_behind(horizon);
        self.advance(hash);
    }

    pub(super) fn step(&mut self, step: Step) {
        if let Some(view) = &mut self.view {
            step.perform(view);
        }
        self.confirmed.push(step);
    }

    /// The record at the next offset was read.
    pub(super) fn advance(&mut self, hash: RecordHash) {
        if let Some(position) = &mut self.position {
            position.next = position.next.saturating_add(1);
            position.last = hash;
        }
    }

    /// Passes over a record.
    pub(super) fn pass(&mut self, hash: RecordHash) {
        self.journal.append(&Piece::Passed(hash));
        self.advance(hash);
    }

    /// Joins a snapshot at its place in the log: it may hold what the log lost.
    pub(in crate::session) fn heal(
        &mut self,
        info: SnapshotInfo,
        record: &[u8],
        healing: &Document,
    ) {
        let mut confirmed = self.confirmed.document();
        confirmed.merge(healing);
        if let Some(view) = &mut self.view {
            view.merge(healing);
        }
        self.confirmed.begin(confirmed.snapshot());
        self.kept.trim(confirmed.horizon());
        self.look_behind(confirmed.horizon());
        self.heard = self.heard.max(confirmed.latest());
        self.rebuild_on(confirmed);
        self.tell(Event::Snapshot(info.hash));
        self.logged_snapshot(info, RecordHash::of(record));
        self.checkpoint();
    }
}

/// The batch within a record that was read before.
pub(super) fn batch_bytes(record: &[u8]) -> &[u8] {
    match Record::read(record) {
        Ok(Record::Batch { batch, .. }) => batch,
        _ => &[],
    }
}

/// A record of a snapshot, signed.
pub(in crate::session) fn snapshot_record(
    info: SnapshotInfo,
    (name, keys): (&super::DocumentId, &dyn Keys),
) -> Vec<u8> {
    let unsigned = Record::Snapshot { info, signature: Signature([0; 64]) };
    let signature = keys.sign(&unsigned.signed_bytes(name));
    Record::Snapshot { info, signature }.to_bytes()
}
