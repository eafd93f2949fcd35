//! One document on one device: what it holds, what it wrote, and where it is in the relay's log.

mod arrive;
mod confirmed;
mod journal;
mod kept;
mod log;
mod own;
mod receipts;
mod refused;
mod rename;
mod restore;
mod state;

use std::collections::VecDeque;

pub use journal::{Change, Saved, Transaction};
pub use restore::RestoreError;

pub(super) use log::Took;
pub(super) use log::snapshot_record;
pub(super) use refused::Next;

use super::{
    DocumentId, KeyPlace, Keys, Record, RecordHash, Resume, Sealing, SnapshotInfo,
    event::{Event, Rename, Suspicion},
};
use crate::{Batch, BatchHash, Document, Edit, Hlc, Op, ReplicaId, Writer, sorted::Sorted};
use confirmed::Confirmed;
use journal::{Journal, Piece};
use kept::Kept;
use own::{Own, Pending};
use receipts::Receipts;

/// Events that wait to be taken, at most; after that, changes are told as one.
const EVENTS_MAX: usize = 1024;

/// Records of keys that wait to be pushed, at most.
const KEYS_MAX: usize = 64;

/// Epochs that are remembered because their keys were missing, at most.
const MISSED_MAX: usize = 1024;

/// How long a lease is believed to be, at most.
const LEASE_MS_MAX: u64 = 366 * 86_400_000;

/// Entities that one event names, at most.
const NAMED_MAX: usize = 256;

/// One document on one device.
///
/// It is made anew or [restored](Replica::restore), and lives in a [`Client`](super::Client). What must be durable
/// comes out as [`Transaction`]s: each is stored as a whole or not at all, in their order, and then
/// [reported](super::Client::saved). Nothing is pushed and nothing acknowledged before that.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub struct Replica {
    name: DocumentId,
    /// What was read, and what was written here.
    document: Document,
    writer: Writer,
    own: Own,
    confirmed: Confirmed,
    /// Where it is in the log; nothing if it was never opened.
    position: Option<Resume>,
    receipts: Receipts,
    kept: Kept,
    /// How what is pushed is sealed. It is never taken back.
    sealing: Sealing,
    /// How what is read must be sealed at least.
    read_sealing: Sealing,
    snapshot: Option<SnapshotInfo>,
    /// What the relay has, while that may be less than what is confirmed.
    view: Option<Document>,
    /// Keys that were said before their place in the log.
    early: Sorted<RecordHash>,
    /// The last epoch of these.
    early_epoch: u32,
    lost: bool,
    /// The greatest stamp of all batches of the log, also of those that were passed over.
    heard: Hlc,
    /// Until then, by this device's clock, no relay can have forgotten it that kept its word.
    leased_ms: u64,
    /// Epochs whose keys were missing when what they seal was passed over.
    missed: Sorted<u32>,
    /// Who wrote the last batch that was read: he sweeps.
    last_writer: Option<ReplicaId>,
    sweeps: bool,
    rename: Option<Rename>,
    /// What waits may have been pushed to a relay that lost it, and read there by others.
    outlives: bool,
    journal: Journal,
    /// Something need not be kept any more.
    has_shrunk: bool,
    events: VecDeque<Event>,
}

impl Replica {
    /// A document that this device never saw. `id` is 16 random bytes; `sealing` is the first epoch for
    /// what is end-to-end encrypted: a relay cannot talk the device out of it.
    pub fn new(name: DocumentId, id: ReplicaId, sealing: Sealing) -> Self {
        let mut replica = Replica {
            name,
            document: Document::new(),
            writer: Writer::new(id),
            own: Own::default(),
            confirmed: Confirmed::default(),
            position: None,
            receipts: Receipts::default(),
            kept: Kept::default(),
            sealing,
            read_sealing: sealing,
            snapshot: None,
            view: None,
            early: Sorted::new(),
            early_epoch: 0,
            lost: false,
            heard: Hlc::ZERO,
            leased_ms: 0,
            missed: Sorted::new(),
            last_writer: None,
            sweeps: false,
            rename: None,
            outlives: false,
            journal: Journal::default(),
            has_shrunk: false,
            events: VecDeque::new(),
        };
        replica.checkpoint();
        replica
    }

    /// Which document.
    pub fn name(&self) -> &DocumentId {
        &self.name
    }

    /// Under which id it writes.
    pub fn id(&self) -> ReplicaId {
        self.writer.replica()
    }

    /// What was read and written.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Where it is in the relay's log.
    pub fn position(&self) -> Option<Resume> {
        self.position
    }

    /// How many operations are not acknowledged yet.
    pub fn unacknowledged(&self) -> u64 {
        self.own.unacknowledged()
    }

    /// The operations that are not acknowledged yet, the oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = Op<'_>> {
        self.own.unacknowledged_batches().flat_map(|batch| batch.ops())
    }

    /// Returns whether a relay lost something that is here, and does not have it again yet.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Changes the document. What was written is in the next transaction, also where `write` fails half-way.
    pub fn edit<T>(&mut self, now_ms: u64, write: impl FnOnce(&mut Edit<'_>) -> T) -> T {
        let mut edit = self.writer.edit(&mut self.document, now_ms);
        let written = write(&mut edit);
        drop(edit);
        self.keep_written();
        written
    }

    /// Changes the document, or leaves it as it was where `write` fails.
    ///
    /// # Errors
    /// What `write` says.
    pub fn try_edit<T, E>(
        &mut self,
        now_ms: u64,
        write: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.writer.clone();
        let written = write(&mut self.writer.edit(&mut self.document, now_ms));
        match written {
            Ok(_) => self.keep_written(),
            Err(_) => self.forget_written(before),
        }
        written
    }

    /// Goes back to a writer of which everything was kept. Most edits that fail have written nothing by then; otherwise the document
    /// is made anew, which costs more than an edit, but not every edit.
    fn forget_written(&mut self, before: Writer) {
        let after = std::mem::replace(&mut self.writer, before);
        if after.next_seq() > self.writer.next_seq() {
            self.show(self.confirmed.document());
        }
    }

    fn keep_written(&mut self) {
        let at = self.position.map_or(0, |position| position.next);
        while let Some(batch) = self.writer.take_batch() {
            self.journal.append(&Piece::Wrote { at, batch: &batch });
            self.own.wrote(Pending { at, batch });
        }
    }

    /// What is to be stored next.
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        let next = self.position.map_or(0, |position| position.next);
        self.journal.take(next)
    }

    /// Everything up to this transaction is durable.
    pub fn saved(&mut self, number: u64) {
        self.journal.saved(number);
    }

    pub(super) fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.events.retain(|event| !matches!(event, Event::Changed(_) | Event::Lag(_)));
            self.events.truncate(EVENTS_MAX - 2);
            self.events.extend([Event::Changed(None), event]);
        }
    }

    fn suspect(&mut self, offset: u64, what: Suspicion) {
        self.tell(Event::Suspicious { offset, what });
    }

    fn tell_changed(&mut self, batch: &Batch) {
        let named: Sorted<_> = batch.ops().map(|op| op.entity).take(NAMED_MAX + 1).collect();
        let named = named.iter().map(|id| (*id).clone()).collect();
        self.tell(Event::Changed((batch.len() <= NAMED_MAX).then_some(named)));
    }

    /// Takes notice of the relay's time: what is written from here on is later than what was ever lost there.
    pub(super) fn observe(&mut self, relay_ms: u64) {
        let seen = Hlc::from_ms(relay_ms);
        if seen > self.writer.last_hlc() {
            self.writer.observe(seen);
            self.journal.append(&Piece::Clock(seen));
        }
    }

    /// What the device can say to hold: everything before this offset durably, and acknowledged what it wrote before
    /// it saw that.
    pub(super) fn seen(&self) -> Option<u64> {
        self.position?;
        if self.rename.is_some() {
            return None;
        }
        let saved = self.journal.saved_next();
        Some(self.own.first_at().map_or(saved, |at| at.min(saved)))
    }

    /// Does what was put off: drops what is dead for all, makes batches of what was written, begins the journal anew.
    pub(super) fn settle(&mut self, now_ms: u64, keys: &mut dyn Keys) {
        if std::mem::take(&mut self.sweeps) {
            self.writer.edit(&mut self.document, now_ms).sweep();
            self.keep_written();
        }
        if self.rename.is_none() {
            self.cut(keys);
        }
        let (is_long, has_shrunk) =
            (self.confirmed.is_long(), std::mem::take(&mut self.has_shrunk));
        let is_worth = || self.journal.is_worth(self.state_bytes());
        if self.journal.is_long() || (is_long || has_shrunk) && is_worth() {
            self.checkpoint();
        } else if is_long {
            self.confirmed.begin(self.confirmed_snapshot());
        }
    }

    /// About how long a new beginning would be.
    fn state_bytes(&self) -> usize {
        self.confirmed.bytes() + self.kept.bytes() + self.own.bytes()
    }

    /// The relay holds this device's place for so long from now on, by its own clock.
    pub(super) fn leased(&mut self, now_ms: u64, lease_ms: u64) {
        let lease_ms = lease_ms.min(LEASE_MS_MAX);
        let until_ms = now_ms.saturating_add(lease_ms);
        // What is stored may say a little less.
        if until_ms > self.leased_ms.saturating_add(lease_ms / 16) {
            self.leased_ms = until_ms;
            self.journal.append(&Piece::Leased(until_ms));
        }
    }

    /// Whether the relay may have forgotten this device.
    pub(super) fn is_forgettable(&self, now_ms: u64) -> bool {
        now_ms >= self.leased_ms
    }

    /// What this epoch seals is passed over.
    fn miss(&mut self, epoch: u32) {
        if self.missed.len() < MISSED_MAX {
            self.missed.add(epoch);
        }
    }

    /// Whether everything of the log was read that lies before the next offset.
    pub(super) fn is_complete(&self) -> bool {
        self.missed.is_empty()
    }

    /// Epochs whose key is not here: what they seal was passed over.
    pub fn unread(&self) -> impl Iterator<Item = u32> {
        self.missed.iter().copied()
    }

    /// Whether something that was passed over can be read by now.
    pub(super) fn finds_key(&self, keys: &dyn Keys) -> bool {
        let document = &self.name;
        self.missed.iter().any(|epoch| keys.has_key(KeyPlace { document, epoch: *epoch }))
    }

    pub(super) fn sealing(&self) -> Sealing {
        self.sealing
    }

    pub(super) fn snapshot_info(&self) -> Option<SnapshotInfo> {
        self.snapshot
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.own.disconnected();
    }

    /// There is a token again that may allow more.
    pub(super) fn allowed(&mut self) {
        self.own.denied = false;
    }

    /// How many records were pushed and not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.own.in_flight()
    }

    /// When something may be pushed again, beginning with `now_ms`.
    pub(super) fn held_until(&self, now_ms: u64) -> Option<u64> {
        let edits = (self.unacknowledged() > 0).then_some(self.own.hold_ms);
        let keys = (!self.own.keys.is_empty()).then_some(self.own.keys_hold_ms);
        edits.into_iter().chain(keys).filter(|at| *at > now_ms).min()
    }

    /// Passes over the record at the next offset.
    pub(super) fn pass_record(&mut self, record: &[u8]) {
        self.pass(BatchHash::of(record));
    }

    /// Takes keys to be pushed; nothing if they are no such record.
    pub(super) fn push_keys(&mut self, record: &[u8]) -> Option<()> {
        let is_keys = matches!(Record::read(record), Ok(Record::Keys { .. }));
        (is_keys && self.own.keys.len() < KEYS_MAX).then(|| self.own.keys.push_back(record.into()))
    }

    /// Where everything is that is not in the log yet, for who looks for the reason of a failure.
    #[cfg(feature = "sim")]
    pub(crate) fn describe(&self) -> String {
        let states: Vec<_> =
            self.own.outbox.iter().map(|sent| (sent.first(), sent.state)).collect();
        let (again, pending) = (self.own.again.len(), self.own.pending.len());
        let (view, rename) = (self.view.is_some(), self.rename);
        format!("outbox {states:?}, again {again}, edits {pending}, view {view}, rename {rename:?}")
    }
}
