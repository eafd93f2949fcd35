//! What is known of a document as bytes, so that its log need not be read from the beginning.

use super::{
    RelayDocument,
    document::{Chain, Compacted, Fold, Placed},
    lease::Lease,
    marks::{Mark, Marks},
};
use crate::{
    BatchHash, Head, Hlc, ReplicaId,
    session::{
        DeviceId, DocumentId, LogId, Sealing, Signature, SnapshotInfo,
        refusal::{put_option, read_flag, read_option},
    },
    wire::{Malformed, Reader, put_count, put_varint},
};

/// The only version there is.
const VERSION: u8 = 1;

/// Replicas, devices or marks in a checkpoint, at most.
const ITEMS_MAX: usize = 1 << 20;

/// What is known of a document up to some record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// For [`RelayDocument::restore`].
    pub bytes: Vec<u8>,
    /// All records before this offset are in it.
    pub durable: u64,
}

impl RelayDocument {
    /// Everything that is durable, whatever is on its way; nothing while records are still read.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let mut out = vec![VERSION];
        out.extend(self.log.0);
        put_varint(&mut out, self.life_from?);
        put_varint(&mut out, self.start);
        put_varint(&mut out, self.durable);
        self.durable_fold().write(&mut out);
        put_count(&mut out, self.leases.len());
        for (device, Lease { next, said_ms }) in self.leases.iter() {
            out.extend(device.0);
            put_varint(&mut out, *next);
            put_varint(&mut out, *said_ms);
        }
        Some(Checkpoint { bytes: out, durable: self.durable })
    }

    /// The document as it was; [replay](Self::replay) goes on at [`durable`](Self::durable).
    ///
    /// # Errors
    /// What is no checkpoint.
    pub fn restore(
        id: DocumentId,
        (log, lost_ms): (LogId, u64),
        checkpoint: &[u8],
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(checkpoint);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(Malformed::Version(version.into()));
        }
        let mut document = RelayDocument::new(id, log, lost_ms);
        let (known, from) = (LogId(reader.array()?), reader.varint()?);
        if known == log {
            document.life_from = Some(from);
        }
        document.start = reader.varint()?;
        document.durable = reader.varint()?;
        document.fold = Fold::read(&mut reader)?;
        for _ in 0..reader.count(ITEMS_MAX, "leases")? {
            let device = DeviceId(reader.array()?);
            let lease = Lease { next: reader.varint()?, said_ms: reader.varint()? };
            document.leases.insert(device, lease);
        }
        reader.finish()?;
        Ok(document)
    }
}

impl Fold {
    fn write(&self, out: &mut Vec<u8>) {
        let Fold { chains, sealing, keys, snapshots, compacted, marks, last, newest } = self;
        put_count(out, chains.len());
        for (replica, chain) in chains.iter() {
            out.extend(replica.0);
            chain.write(out);
        }
        put_varint(out, sealing.epoch().into());
        put_option(out, *keys, |out, hash| out.extend(hash.0));
        put_count(out, snapshots.len());
        for Placed { info, signature, at } in snapshots {
            info.write(out);
            out.extend(signature.0);
            put_varint(out, *at);
        }
        for number in [compacted.horizon.0, compacted.end, compacted.stable, newest.0] {
            put_varint(out, number);
        }
        out.extend(last.0);
        marks.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fold = Fold::default();
        for _ in 0..reader.count(ITEMS_MAX, "replicas")? {
            let replica = ReplicaId(reader.array()?);
            fold.chains.insert(replica, Chain::read(reader)?);
        }
        fold.sealing = Sealing::of(reader.count(u32::MAX as usize, "epochs")? as u32);
        fold.keys = read_option(reader, |reader| reader.array().map(BatchHash))?;
        for _ in 0..reader.count(super::SNAPSHOTS_KEPT, "snapshots")? {
            let (info, signature) = (SnapshotInfo::read(reader)?, Signature(reader.array()?));
            fold.snapshots.push(Placed { info, signature, at: reader.varint()? });
        }
        let (horizon, end) = (Hlc(reader.varint()?), reader.varint()?);
        fold.compacted = Compacted { horizon, end, stable: reader.varint()? };
        fold.newest = Hlc(reader.varint()?);
        fold.last = BatchHash(reader.array()?);
        fold.marks = Marks::read(reader)?;
        Ok(fold)
    }
}

impl Chain {
    fn write(&self, out: &mut Vec<u8>) {
        let Chain { device, head, stamp, offset, is_retired } = self;
        out.extend(device.0);
        put_varint(out, head.seq);
        out.extend(head.hash.0);
        put_varint(out, stamp.0);
        put_varint(out, *offset);
        out.push(u8::from(*is_retired));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let device = DeviceId(reader.array()?);
        let head = Head { seq: reader.varint()?, hash: BatchHash(reader.array()?) };
        let (stamp, offset) = (Hlc(reader.varint()?), reader.varint()?);
        Ok(Chain { device, head, stamp, offset, is_retired: read_flag(reader)? })
    }
}

impl Marks {
    fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.stride);
        put_count(out, self.marks.len());
        for Mark { offset, stamp, bytes } in self.marks.iter().chain([&self.last]) {
            [*offset, stamp.0, *bytes].into_iter().for_each(|number| put_varint(out, number));
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let stride = reader.varint()?;
        let count = reader.count(ITEMS_MAX, "marks")?;
        let mut mark = || -> Result<Mark, Malformed> {
            let (offset, stamp) = (reader.varint()?, Hlc(reader.varint()?));
            Ok(Mark { offset, stamp, bytes: reader.varint()? })
        };
        let marks = (0..count).map(|_| mark()).collect::<Result<_, _>>()?;
        Ok(Marks { stride, marks, last: mark()? })
    }
}
