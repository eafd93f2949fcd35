//! A replica from what was stored of it.

use std::{error::Error, fmt, sync::Arc};

use super::{
    Confirmed, Kept, Own, Pending, Receipts, Replica, Saved,
    kept::KeptRecord,
    log::{Logged, batch_bytes},
    state::State,
};
use crate::{
    Batch, BatchHash, Document, Header, Hlc, Writer,
    session::{Record, RecordHash, Sealing},
    wire::{Malformed, Reader},
};

/// Why what was stored makes no replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreError {
    /// The piece, counted from 1; 0 for the beginning.
    pub piece: usize,
    /// What is wrong with it.
    pub why: Malformed,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "piece {} of what was stored: {}", self.piece, self.why)
    }
}

impl Error for RestoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}

/// Records that the journal tells of, whose hashes were not taken: each batch of this device ends its chain only until the next one,
/// and each record the log. Nothing compares them in between, since what happened was judged when it happened; what goes
/// on from here does compare, and gets the last of each.
#[derive(Debug, Default)]
struct Unhashed {
    /// The record before the next offset.
    last: Option<Arc<[u8]>>,
    /// The last of this replica in the log.
    head: Option<Arc<[u8]>>,
}

impl Replica {
    /// The replica that was stored. It goes on exactly there: what it wrote is there, and is pushed with the bytes
    /// that it may have been pushed with before.
    ///
    /// # Errors
    /// What is not what transactions left behind.
    pub fn restore(saved: &Saved) -> Result<Self, RestoreError> {
        let mut replica =
            Replica::begun(&saved.begin).map_err(|why| RestoreError { piece: 0, why })?;
        let mut unhashed = Unhashed::default();
        for (at, piece) in saved.appended.iter().enumerate() {
            let fails = |why| RestoreError { piece: at + 1, why };
            replica.perform(piece, &mut unhashed).map_err(fails)?;
        }
        replica.hash(&unhashed);
        let bytes = (saved.begin.len(), saved.appended.iter().map(Vec::len).sum());
        let next = replica.position.map_or(0, |position| position.next);
        replica.own.outbox.iter_mut().for_each(|sent| sent.number = 0);
        replica.journal.restored(next, bytes);
        replica.events.clear();
        replica.sweeps = false;
        Ok(replica)
    }

    fn begun(bytes: &[u8]) -> Result<Self, Malformed> {
        let state = State::read(bytes)?;
        let (mut kept, mut receipts) = (Kept::default(), Receipts::default());
        let records = state.kept.iter().map(|record| KeptRecord::read((*record).into(), state.id));
        records.for_each(|record| kept.push(record));
        state.receipts.into_iter().for_each(|(id, head, device)| receipts.set(id, head, device));
        let mut confirmed = Confirmed::default();
        let mut document = Document::load(state.base)?;
        confirmed.begin(state.base.to_vec());
        let heard = state.heard.max(document.latest());
        let own = Own {
            head: state.head,
            outbox: state.outbox.into(),
            pending: state.pending.into(),
            one_by_one: state.one_by_one,
            ..Own::default()
        };
        own.unconfirmed().for_each(|batch| document.apply(batch));
        let mut replica = Replica::new(state.name, state.id, state.sealing);
        replica.document = document;
        replica.writer = Writer::resume(state.id, state.next_seq, state.last);
        (replica.own, replica.confirmed, replica.kept) = (own, confirmed, kept);
        (replica.position, replica.receipts) = (state.position, receipts);
        (replica.read_sealing, replica.snapshot) = (state.read_sealing, state.snapshot);
        (replica.lost, replica.rename) = (state.lost, state.rename);
        replica.outlives = state.outlives;
        (replica.heard, replica.leased_ms) = (heard, state.leased_ms);
        replica.missed = state.missed.into_iter().collect();
        Ok(replica)
    }

    /// Takes the hashes that are still asked for when the journal is at its end.
    fn hash(&mut self, unhashed: &Unhashed) {
        if let Some(position) = &mut self.position
            && let Some(last) = &unhashed.last
            && position.last == RecordHash::NONE
        {
            position.last = RecordHash::of(last);
        }
        if let Some(head) = &unhashed.head
            && self.own.head.hash == BatchHash::NONE
        {
            self.own.head.hash = BatchHash::of(batch_bytes(head));
        }
        for sent in self.own.outbox.iter_mut().filter(|sent| sent.hash == BatchHash::NONE) {
            sent.hash = BatchHash::of(batch_bytes(&sent.record));
        }
    }

    /// Does what a piece of the journal says.
    fn perform(&mut self, piece: &[u8], unhashed: &mut Unhashed) -> Result<(), Malformed> {
        let mut reader = Reader::new(piece);
        let code = reader.byte()?;
        match code {
            1 => {
                let at = reader.varint()?;
                let batch = Batch::decode(rest(&mut reader)?)?.1;
                self.wrote_again(Pending { at, batch })?;
            }
            2 => {
                let count = reader.count(usize::MAX, "edits")?;
                self.cut_again(count, rest(&mut reader)?)?;
            }
            3 => {
                if let Some(record) = self.confirm() {
                    unhashed.head = Some(record.clone());
                    self.advance_unhashed(record, unhashed);
                }
            }
            4 => {
                let len = reader.count(crate::session::RECORD_BYTES_MAX, "bytes of a record")?;
                let record = reader.take(len)?;
                let logged = logged(record, rest(&mut reader)?)?;
                if logged.header.replica != self.id() {
                    self.receipts.admit(&logged.header, logged.hash, logged.device);
                }
                let record = logged.record.clone();
                self.logged_batch(logged);
                self.advance_unhashed(record, unhashed);
            }
            8 => self.advance(BatchHash(reader.array()?)),
            9 => self.writer.observe(Hlc(reader.u64()?)),
            10 => self.lost = false,
            11 => self.miss(reader.count(u32::MAX as usize, "epochs")? as u32),
            12 => self.leased_ms = reader.varint()?,
            5..=7 => self.record_again(rest(&mut reader)?)?,
            _ => return Err(Malformed::Invalid("a piece of no known kind")),
        }
        reader.finish()
    }

    fn advance_unhashed(&mut self, record: Arc<[u8]>, unhashed: &mut Unhashed) {
        unhashed.last = Some(record);
        self.advance(RecordHash::NONE);
    }

    fn wrote_again(&mut self, edit: Pending) -> Result<(), Malformed> {
        let header = edit.batch.header(BatchHash::NONE);
        if header.replica != self.id() || header.first < self.writer.next_seq() {
            return Err(Malformed::Invalid("an edit that does not follow"));
        }
        let last = self.writer.last_hlc().max(header.stamp_last);
        self.writer = Writer::resume(self.id(), header.last() + 1, last);
        self.document.apply(&edit.batch);
        self.own.wrote(edit);
        Ok(())
    }

    fn cut_again(&mut self, count: usize, record: &[u8]) -> Result<(), Malformed> {
        if !matches!(Record::read(record)?, Record::Batch { .. }) {
            return Err(Malformed::Invalid("what was cut is no batch"));
        }
        let edits = self.own.merge(count).ok_or(Malformed::Invalid("a batch of no edits"))?;
        self.put_out(edits, record.into(), BatchHash::NONE);
        Ok(())
    }

    fn record_again(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let (record, hash): (Arc<[u8]>, _) = (bytes.into(), BatchHash::of(bytes));
        match Record::read(bytes)? {
            Record::Batch { .. } => return Err(Malformed::Invalid("a batch without its place")),
            Record::Keys { epoch, .. } => self.logged_keys(epoch, record),
            Record::Snapshot { info, .. } => self.logged_snapshot(info, hash),
            Record::Compact { horizon, retired } => self.logged_compact((horizon, &retired), hash),
        }
        Ok(())
    }
}

/// A batch that was read before, and its plain bytes, if it is sealed.
fn logged(record: &[u8], plain: &[u8]) -> Result<Logged, Malformed> {
    let Record::Batch { device, sealing, batch: pushed, .. } = Record::read(record)? else {
        return Err(Malformed::Invalid("what was read is no batch"));
    };
    let header = Header::read(pushed)?.0;
    let is_sealed = sealing != Sealing::Plain;
    let batch = Batch::decode(if is_sealed { plain } else { pushed })?.1;
    let (hash, record) = (BatchHash::of(pushed), record.into());
    Ok(Logged { header, device, hash, record, batch, is_sealed })
}

fn rest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    reader.take(reader.remaining())
}
