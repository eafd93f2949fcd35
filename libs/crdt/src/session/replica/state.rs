//! Everything that is durable of a replica, as one.

use super::{
    Replica,
    own::{Pending, PushState, Sent},
};
use crate::{
    Batch, BatchHash, Head, Hlc, ReplicaId,
    session::{
        DeviceId, DocumentId, LogId, Record, RecordHash, Rename, Resume, Sealing, Signature,
    },
    wire::{Malformed, Reader, put_count, put_varint},
};

/// What is written. In version 1 nothing was behind the edits that wait.
const VERSION: u8 = 2;

/// Items of a list, at most; a list that was written here is shorter.
const ITEMS_MAX: usize = 1 << 28;

impl Replica {
    /// Begins the journal anew with all that is to be kept. What is only confirmed goes into one snapshot.
    pub(super) fn checkpoint(&mut self) {
        self.confirmed.begin(self.confirmed_snapshot());
        self.journal.begin(self.state());
    }

    /// Whether the document is what the log says. While another id is awaited it may still show what was refused for good, or
    /// what somebody else wrote under this one.
    pub(super) fn is_as_confirmed(&self) -> bool {
        self.own.is_confirmed() && self.rename.is_none()
    }

    fn state(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.name.write(&mut out);
        out.extend(self.id().0);
        put_varint(&mut out, self.writer.next_seq());
        out.extend(self.writer.last_hlc().0.to_le_bytes());
        put_head(&mut out, self.own.head);
        put_position(&mut out, self.position);
        put_varint(&mut out, self.sealing.epoch().into());
        put_varint(&mut out, self.read_sealing.epoch().into());
        let flags = [self.lost, self.own.one_by_one, self.outlives];
        let flags = flags.iter().rev().fold(0, |flags, flag| flags << 1 | u8::from(*flag));
        out.extend([flags, rename_code(self.rename)]);
        put_snapshot(&mut out, self);
        put_bytes(&mut out, self.confirmed.base());
        put_list(&mut out, self.receipts.iter(), |out, (replica, head, device)| {
            out.extend(replica.0);
            put_head(out, head);
            out.extend(device.0);
        });
        put_list(&mut out, self.kept.iter(), |out, kept| put_bytes(out, &kept.record));
        put_list(&mut out, self.own.outbox.iter(), put_sent);
        put_list(&mut out, self.own.pending.iter(), |out, edit| {
            put_varint(out, edit.at);
            put_bytes(out, &edit.batch.encode(BatchHash::NONE));
        });
        out.extend(self.heard.0.to_le_bytes());
        put_varint(&mut out, self.leased_ms);
        put_list(&mut out, self.missed.iter(), |out, epoch| put_varint(out, u64::from(*epoch)));
        out
    }
}

fn put_sent(out: &mut Vec<u8>, sent: &Sent) {
    put_varint(out, sent.at);
    put_bytes(out, &sent.batch.encode(BatchHash::NONE));
    put_bytes(out, &sent.record);
    put_list(out, sent.former.iter(), |out, hash| out.extend(hash.0));
}

fn put_snapshot(out: &mut Vec<u8>, replica: &Replica) {
    let record = replica.snapshot.map(|info| {
        // Only the information counts; nobody is shown this signature.
        Record::Snapshot { info, signature: Signature([0; 64]) }.to_bytes()
    });
    put_bytes(out, &record.unwrap_or_default());
}

fn put_head(out: &mut Vec<u8>, head: Head) {
    put_varint(out, head.seq);
    out.extend(head.hash.0);
}

fn put_position(out: &mut Vec<u8>, position: Option<Resume>) {
    out.push(u8::from(position.is_some()));
    if let Some(Resume { log, next, last }) = position {
        out.extend(log.0);
        put_varint(out, next);
        out.extend(last.0);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend(bytes);
}

fn put_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T> + Clone,
    put: impl Fn(&mut Vec<u8>, T),
) {
    put_count(out, items.clone().count());
    items.for_each(|item| put(out, item));
}

const RENAMES: [Option<Rename>; 6] = [
    None,
    Some(Rename::Forked),
    Some(Rename::Expired),
    Some(Rename::Behind),
    Some(Rename::Dropped),
    Some(Rename::Lost),
];

fn rename_code(rename: Option<Rename>) -> u8 {
    RENAMES.iter().position(|known| *known == rename).expect("the list has all") as u8
}

/// A state as it was read.
pub(super) struct State<'a> {
    pub name: DocumentId,
    pub id: ReplicaId,
    pub next_seq: u64,
    pub last: Hlc,
    pub head: Head,
    pub position: Option<Resume>,
    pub sealing: Sealing,
    pub read_sealing: Sealing,
    pub lost: bool,
    pub one_by_one: bool,
    pub outlives: bool,
    pub rename: Option<Rename>,
    pub snapshot: Option<super::SnapshotInfo>,
    pub base: &'a [u8],
    pub receipts: Vec<(ReplicaId, Head, DeviceId)>,
    pub kept: Vec<&'a [u8]>,
    pub outbox: Vec<Sent>,
    pub pending: Vec<Pending>,
    pub heard: Hlc,
    pub leased_ms: u64,
    pub missed: Vec<u32>,
}

impl<'a> State<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if !(1..=VERSION).contains(&version) {
            return Err(Malformed::Version(version.into()));
        }
        let it = &mut reader;
        let (name, id) = (DocumentId::read(it)?, ReplicaId(it.array()?));
        let (next_seq, last) = (it.varint()?, Hlc(it.u64()?));
        let (head, position) = (read_head(it)?, read_position(it)?);
        let (sealing, read_sealing) = (read_sealing(it)?, read_sealing(it)?);
        let (flags, rename) = (it.byte()?, usize::from(it.byte()?));
        let rename = *RENAMES.get(rename).ok_or(Malformed::Invalid("a rename of no kind"))?;
        let mut state = State {
            name,
            id,
            next_seq,
            last,
            head,
            position,
            sealing,
            read_sealing,
            lost: flags & 1 != 0,
            one_by_one: flags & 2 != 0,
            outlives: flags & 4 != 0,
            rename,
            snapshot: read_snapshot(it)?,
            base: read_bytes(it)?,
            receipts: read_list(it, |it| {
                Ok((ReplicaId(it.array()?), read_head(it)?, DeviceId(it.array()?)))
            })?,
            kept: read_list(it, read_bytes)?,
            outbox: read_list(it, read_sent)?,
            pending: read_list(it, |it| {
                Ok(Pending { at: it.varint()?, batch: Batch::decode(read_bytes(it)?)?.1 })
            })?,
            heard: Hlc::ZERO,
            leased_ms: 0,
            missed: Vec::new(),
        };
        if version >= 2 {
            (state.heard, state.leased_ms) = (Hlc(it.u64()?), it.varint()?);
            state.missed = read_list(it, read_epoch)?;
        }
        reader.finish()?;
        Ok(state)
    }
}

fn read_sent(reader: &mut Reader<'_>) -> Result<Sent, Malformed> {
    let (at, batch) = (reader.varint()?, Batch::decode(read_bytes(reader)?)?.1);
    let record = read_bytes(reader)?;
    let former = read_list(reader, |it| it.array().map(BatchHash))?;
    let Record::Batch { batch: pushed, .. } = Record::read(record)? else {
        return Err(Malformed::Invalid("what waits is no batch"));
    };
    let (hash, record) = (BatchHash::of(pushed), record.into());
    Ok(Sent { at, batch, record, hash, former, number: 0, state: PushState::Waits })
}

fn read_snapshot(reader: &mut Reader<'_>) -> Result<Option<super::SnapshotInfo>, Malformed> {
    match read_bytes(reader)? {
        [] => Ok(None),
        bytes => match Record::read(bytes)? {
            Record::Snapshot { info, .. } => Ok(Some(info)),
            _ => Err(Malformed::Invalid("no snapshot")),
        },
    }
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, Malformed> {
    Ok(Head { seq: reader.varint()?, hash: BatchHash(reader.array()?) })
}

fn read_position(reader: &mut Reader<'_>) -> Result<Option<Resume>, Malformed> {
    if reader.byte()? == 0 {
        return Ok(None);
    }
    let (log, next) = (LogId(reader.array()?), reader.varint()?);
    let last: RecordHash = BatchHash(reader.array()?);
    Ok(Some(Resume { log, next, last }))
}

fn read_sealing(reader: &mut Reader<'_>) -> Result<Sealing, Malformed> {
    read_epoch(reader).map(Sealing::of)
}

fn read_epoch(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    Ok(reader.count(u32::MAX as usize, "epochs")? as u32)
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = reader.count(ITEMS_MAX, "bytes of a state")?;
    reader.take(len)
}

fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(ITEMS_MAX, "items of a state")?;
    (0..count).map(|_| read(reader)).collect()
}
