//! Batches: operations of one replica without a gap, as they travel and as they are kept.

mod decode;
mod encode;
mod header;
mod renumber;

pub(crate) use decode::{read_entities, read_fields, read_ids};
pub use header::Header;
pub(crate) use renumber::Renumber;

use crate::{
    Change, Dot, DotRange, EntityId, Field, Hlc, Op, ReplicaId,
    chain::BatchHash,
    sorted::{Sorted, sort},
    wire::Malformed,
};

/// Operations of a batch, at most.
pub const BATCH_OPS_MAX: usize = 1 << 16;

/// Bytes of a batch, at most.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Ranges of all operations of a batch together, at most.
pub const BATCH_RANGES_MAX: usize = 1 << 16;

/// What an operation or a range takes beside its payload and its names, at most.
const ROW_BYTES_MAX: usize = 44;

/// Operations of one replica.
#[derive(Clone, Debug)]
pub struct Batch {
    replica: ReplicaId,
    first: u64,
    entities: Vec<EntityId>,
    fields: Vec<Field>,
    rows: Vec<Row>,
    ranges: Vec<DotRange>,
    payloads: Vec<u8>,
}

/// An operation; its ranges and its payload end here, and begin where those of the one before end.
#[derive(Clone, Copy, Debug)]
struct Row {
    hlc: Hlc,
    code: Code,
    entity: u32,
    field: u32,
    ranges_end: u32,
    payload_end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Put,
    Cover,
    Delete,
}

impl Batch {
    /// Whose operations these are.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The sequence of the first.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many there are; never none.
    #[expect(clippy::len_without_is_empty, reason = "a batch is not empty")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The operations, by sequence.
    pub fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        (0..self.rows.len()).map(|at| self.op(at))
    }

    /// The operation at `at`, counted from 0.
    pub(crate) fn op(&self, at: usize) -> Op<'_> {
        let row = &self.rows[at];
        let before = at.checked_sub(1).map(|before| &self.rows[before]);
        let (ranges, payload) = before.map_or((0, 0), |row| (row.ranges_end, row.payload_end));
        let ranges = &self.ranges[ranges as usize..row.ranges_end as usize];
        let payload = &self.payloads[payload as usize..row.payload_end as usize];
        let change = match row.code {
            Code::Put => {
                Change::Put { field: &self.fields[row.field as usize], payload, covers: ranges }
            }
            Code::Cover => {
                Change::Cover { field: &self.fields[row.field as usize], covers: ranges }
            }
            Code::Delete => Change::Delete { marks: ranges },
        };
        let dot = Dot { replica: self.replica, seq: self.first + at as u64 };
        Op { dot, hlc: row.hlc, entity: &self.entities[row.entity as usize], change }
    }

    /// More than the operations take in a batch.
    pub(crate) fn weight(&self) -> usize {
        self.ops().map(|op| bytes_max(&op)).sum()
    }

    /// The same operations with stamps of at most `latest`, for who wrote by a clock that was ahead.
    pub(crate) fn stamped_at_most(&self, latest: Hlc) -> Batch {
        let mut again = self.clone();
        again.rows.iter_mut().for_each(|row| row.hlc = row.hlc.min(latest));
        again
    }

    /// Reads the header and a plain body.
    ///
    /// # Errors
    /// What is not the one encoding of a batch within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<(Header, Batch), Malformed> {
        let (header, body) = Header::read(bytes)?;
        let batch = Batch::decode_body(&header, body)?;
        Ok((header, batch))
    }

    /// Reads the body that belongs to `header`, once it is plain.
    ///
    /// # Errors
    /// What is not the one encoding of these operations.
    pub fn decode_body(header: &Header, body: &[u8]) -> Result<Batch, Malformed> {
        decode::body(header, body)
    }

    /// The header of this batch behind one with the hash `prev`.
    pub fn header(&self, prev: BatchHash) -> Header {
        let stamp = |row: Option<&Row>| row.expect("a batch is not empty").hlc;
        Header {
            replica: self.replica,
            prev,
            first: self.first,
            count: self.rows.len() as u32,
            stamp_first: stamp(self.rows.first()),
            stamp_last: stamp(self.rows.last()),
        }
    }

    /// The bytes of the body alone, to be sealed.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode::body(self, &mut out);
        out
    }

    /// The bytes of this batch behind one with the hash `prev`.
    pub fn encode(&self, prev: BatchHash) -> Vec<u8> {
        let mut out = Vec::new();
        self.header(prev).write(&mut out);
        encode::body(self, &mut out);
        out
    }

    /// The same operations under another name: for a replica that found out that its id was cloned, and
    /// for one that was away too long.
    ///
    /// Nothing if the new sequences do not follow, or are not left.
    pub fn reissued(&self, name: &Reissue) -> Option<Batch> {
        let first = self.first.checked_sub(name.since)?.checked_add(name.first)?;
        first.checked_add(self.rows.len() as u64).filter(|_| name.first > 0 && name.since > 0)?;
        let mut again = Batch { replica: name.replica, first, ranges: Vec::new(), ..self.clone() };
        for at in 0..self.rows.len() {
            let op = self.op(at);
            let is_delete = matches!(op.change, Change::Delete { .. });
            let moved = |range: &DotRange| name.moved(range, self.replica, is_delete);
            let mut ranges: Vec<DotRange> = op.ranges().iter().flat_map(moved).collect();
            sort(&mut ranges, &Ord::cmp);
            again.ranges.extend(ranges);
            again.rows[at].ranges_end = again.ranges.len() as u32;
            again.rows[at].hlc = op.hlc.max(name.not_before);
        }
        let right = again.ops().all(|op| op.check().is_ok());
        right.then_some(again)
    }
}

/// How operations are issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reissue {
    /// The new id.
    pub replica: ReplicaId,
    /// The new sequence of the first operation that is issued again.
    pub first: u64,
    /// The old sequence of that operation; what lies before stays what it is.
    pub since: u64,
    /// Stamps are at least this: beyond the horizon, for who was away too long.
    pub not_before: Hlc,
}

impl Reissue {
    /// The part of `range` before `since` as it is, and what follows under the new id. A mark says "up to
    /// here", so that it stays for what lies before.
    fn moved(&self, range: &DotRange, old: ReplicaId, is_mark: bool) -> Vec<DotRange> {
        if range.replica != old || range.last < self.since {
            return vec![*range];
        }
        let shift = |seq: u64| seq - self.since + self.first;
        let (replica, last) = (self.replica, shift(range.last));
        let stays = self.since - 1;
        if is_mark {
            let kept = DotRange { replica: old, first: stays, last: stays };
            let goes = DotRange { replica, first: last, last };
            return if stays > 0 { vec![kept, goes] } else { vec![goes] };
        }
        let goes = DotRange { replica, first: shift(range.first.max(self.since)), last };
        let kept = DotRange { last: stays, ..*range };
        if range.first <= stays { vec![kept, goes] } else { vec![goes] }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.ops().eq(other.ops())
    }
}

impl Eq for Batch {}

/// A batch that is being written.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    batch: Batch,
    /// The numbers of entities and of fields, in the order of these.
    entities: Sorted<u32>,
    fields: Sorted<u32>,
    bytes_max: usize,
}

/// An operation that does not continue a batch, or for which it has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl BatchBuilder {
    /// An empty batch; it becomes one with its first operation.
    pub fn new(replica: ReplicaId) -> Self {
        let batch = Batch {
            replica,
            first: 0,
            entities: Vec::new(),
            fields: Vec::new(),
            rows: Vec::new(),
            ranges: Vec::new(),
            payloads: Vec::new(),
        };
        let (entities, fields) = (Sorted::new(), Sorted::new());
        BatchBuilder { batch, entities, fields, bytes_max: 2 * ROW_BYTES_MAX }
    }

    /// Appends the next operation of the replica.
    ///
    /// # Errors
    /// One that is not next, goes back in time, or would make the batch larger than it may be.
    pub fn push(&mut self, op: Op<'_>) -> Result<(), NoRoom> {
        let batch = &self.batch;
        let next = batch.first + batch.rows.len() as u64;
        let follows = batch.rows.last().is_none_or(|row| next == op.dot.seq && row.hlc <= op.hlc);
        let bytes_max = self.bytes_max + bytes_max(&op);
        let fits = bytes_max <= BATCH_BYTES_MAX
            && batch.rows.len() < BATCH_OPS_MAX
            && batch.ranges.len() + op.ranges().len() <= BATCH_RANGES_MAX;
        if op.dot.replica != batch.replica || !follows || !fits || op.check().is_err() {
            return Err(NoRoom);
        }
        self.bytes_max = bytes_max;
        self.append(op);
        Ok(())
    }

    fn append(&mut self, op: Op<'_>) {
        let last = self.batch.rows.last().map(|row| row.entity);
        let again = last.filter(|last| self.batch.entities[*last as usize] == *op.entity);
        let entity = again
            .unwrap_or_else(|| intern(&mut self.entities, &mut self.batch.entities, op.entity));
        let field = op.field().map(|field| intern(&mut self.fields, &mut self.batch.fields, field));
        let batch = &mut self.batch;
        if batch.rows.is_empty() {
            batch.first = op.dot.seq;
        }
        batch.ranges.extend_from_slice(op.ranges());
        batch.payloads.extend_from_slice(op.payload());
        batch.rows.push(Row {
            hlc: op.hlc,
            code: match op.change {
                Change::Put { .. } => Code::Put,
                Change::Cover { .. } => Code::Cover,
                Change::Delete { .. } => Code::Delete,
            },
            entity,
            field: field.unwrap_or_default(),
            ranges_end: batch.ranges.len() as u32,
            payload_end: batch.payloads.len() as u32,
        });
    }

    /// Returns whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.batch.rows.is_empty()
    }

    /// The batch, if there is anything in it.
    pub fn finish(self) -> Option<Batch> {
        (!self.is_empty()).then_some(self.batch)
    }
}

/// More than `op` can take in a batch.
fn bytes_max(op: &Op<'_>) -> usize {
    let names = op.entity.len() + op.field().map_or(0, |field| field.name().len());
    ROW_BYTES_MAX * (1 + op.ranges().len()) + names + op.payload().len()
}

/// The number of an item in the list, into which it is put where it is new.
fn intern<T: Ord + Clone>(index: &mut Sorted<u32>, list: &mut Vec<T>, item: &T) -> u32 {
    match index.find(&|at| list[*at as usize].cmp(item)) {
        Ok(place) => *index.get(place).expect("it was found"),
        Err(place) => {
            let new = list.len() as u32;
            list.push(item.clone());
            index.insert(place, new);
            new
        }
    }
}
