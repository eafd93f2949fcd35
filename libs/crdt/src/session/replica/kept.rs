//! Records that are kept until no relay can need them again.

use std::{collections::VecDeque, fmt, sync::Arc};

use crate::{
    Head, Header, Hlc, ReplicaId,
    session::{OpenDocument, REPLICAS_MAX, Record},
    sorted::Sorted,
};

/// Bytes of what others wrote that are kept, at most; of more the oldest goes.
const OTHERS_BYTES_MAX: usize = 64 << 20;

/// Batches and keys of the log whose stamps no horizon has passed, in the log's order.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Default)]
pub(super) struct Kept {
    records: VecDeque<KeptRecord>,
    /// What is read again, as after a loss, is kept once. Records themselves are compared, which differ in their first bytes: a
    /// device that starts would hash all that it keeps for a comparison that hardly ever comes. What a record is worth was
    /// judged by its signature and its chain when it was read, and the relay judges it again if it is pushed again.
    known: Sorted<Arc<[u8]>>,
    others_bytes: usize,
}

/// A record as it was pushed.
#[derive(Clone, Debug)]
pub(super) struct KeptRecord {
    pub record: Arc<[u8]>,
    /// Of what batch it is; nothing for keys.
    pub header: Option<Header>,
    /// Which epoch's keys these are; 0 for a batch.
    pub epoch: u32,
    pub is_own: bool,
}

/// What is known follows from the records, and would be as long again.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.records).finish()
    }
}

impl KeptRecord {
    /// A record that was read before.
    pub fn read(record: Arc<[u8]>, own: ReplicaId) -> Self {
        let (header, epoch) = match Record::read(&record) {
            Ok(Record::Batch { batch, .. }) => (Header::read(batch).ok(), 0),
            Ok(Record::Keys { epoch, .. }) => (None, epoch),
            _ => (None, 0),
        };
        let header = header.map(|(header, _)| header);
        let is_own = header.is_some_and(|header| header.replica == own);
        KeptRecord { record, header, epoch, is_own }
    }
}

impl Kept {
    pub fn push(&mut self, kept: KeptRecord) {
        if !self.known.add(kept.record.clone()) {
            return;
        }
        if !kept.is_own {
            self.others_bytes += kept.record.len();
        }
        self.records.push_back(kept);
        while self.others_bytes > OTHERS_BYTES_MAX {
            let Some(oldest) = self.records.iter().position(|kept| !kept.is_own) else { break };
            let gone = self.records.remove(oldest).expect("it was found there");
            self.others_bytes -= gone.record.len();
            self.known.take(&gone.record);
        }
    }

    /// Forgets what everybody has: batches up to the horizon.
    pub fn trim(&mut self, horizon: Hlc) {
        self.retain(|header| header.is_none_or(|header| header.stamp_last > horizon));
    }

    pub fn clear(&mut self) {
        *self = Kept::default();
    }

    fn retain(&mut self, keep: impl Fn(Option<&Header>) -> bool) {
        let known = &mut self.known;
        self.records.retain(|kept| {
            let keeps = keep(kept.header.as_ref());
            if !keeps {
                known.take(&kept.record);
            }
            keeps
        });
        let others = self.records.iter().filter(|kept| !kept.is_own);
        self.others_bytes = others.map(|kept| kept.record.len()).sum();
    }

    pub fn bytes(&self) -> usize {
        self.records.iter().map(|kept| kept.record.len()).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = &KeptRecord> + Clone {
        self.records.iter()
    }

    /// Whose heads a device asks for: the replicas whose batches it has, those that wrote last first.
    pub fn replicas(&self, own: ReplicaId) -> Vec<ReplicaId> {
        let mut replicas = Sorted::from_iter([own]);
        for header in self.records.iter().rev().filter_map(|kept| kept.header) {
            if replicas.len() < REPLICAS_MAX {
                replicas.add(header.replica);
            }
        }
        replicas.iter().copied().collect()
    }

    /// The keys that the relay does not have, in order.
    pub fn lacking_keys(&self, opened: &OpenDocument) -> Vec<Arc<[u8]>> {
        let wanted = self.records.iter().filter(|kept| kept.epoch > opened.sealing.epoch());
        wanted.map(|kept| kept.record.clone()).collect()
    }

    /// The batches that the relay does not have, in order.
    pub fn lacking(&self, opened: &OpenDocument, asked: &[ReplicaId]) -> Vec<KeptRecord> {
        let head = |replica: ReplicaId| {
            let found = opened.heads.binary_search_by_key(&replica, |(known, _)| *known);
            found.map_or(Head::default(), |at| opened.heads[at].1)
        };
        let lacks = |header: &Header| {
            asked.binary_search(&header.replica).is_ok() && header.last() > head(header.replica).seq
        };
        let wanted = |kept: &&KeptRecord| kept.header.as_ref().is_some_and(lacks);
        self.records.iter().filter(wanted).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BatchHash, Document, Writer,
        session::{DeviceId, Sealing, Signature},
    };

    const OWN: ReplicaId = ReplicaId([1; 16]);
    const OTHER: ReplicaId = ReplicaId([2; 16]);

    /// A batch, pushed with one of many signatures.
    fn pushed(replica: ReplicaId, at_ms: u64, signature: u8) -> KeptRecord {
        let (mut document, mut writer) = (Document::new(), Writer::new(replica));
        writer.edit(&mut document, at_ms).create("notes/a").unwrap();
        let batch = writer.take_batch().unwrap().encode(BatchHash::NONE);
        let (device, signature) = (DeviceId([3; 32]), Signature([signature; 64]));
        let record = Record::Batch { device, sealing: Sealing::Plain, batch: &batch, signature };
        KeptRecord::read(record.to_bytes().into(), OWN)
    }

    #[track_caller]
    fn check(kept: &Kept, expected: &[&KeptRecord]) {
        assert!(kept.iter().map(|kept| &kept.record).eq(expected.iter().map(|kept| &kept.record)));
        let others = kept.iter().filter(|kept| !kept.is_own);
        assert_eq!(kept.others_bytes, others.map(|kept| kept.record.len()).sum::<usize>());
        assert_eq!(kept.known.len(), expected.len());
    }

    #[test]
    fn a_record_is_kept_once_and_one_that_differs_in_its_last_byte_is_another() {
        let mut kept = Kept::default();
        let (own, other, again) = (pushed(OWN, 1, 1), pushed(OTHER, 2, 1), pushed(OTHER, 2, 2));
        for record in [&own, &other, &own, &again, &other, &again] {
            kept.push(record.clone());
        }
        check(&kept, &[&own, &other, &again]);
    }

    #[test]
    fn what_was_forgotten_is_kept_when_it_comes_again() {
        let mut kept = Kept::default();
        let (old, new) = (pushed(OTHER, 1, 1), pushed(OTHER, 9, 1));
        kept.push(old.clone());
        kept.push(new.clone());
        kept.trim(Hlc::from_ms(5));
        check(&kept, &[&new]);
        kept.push(old.clone());
        check(&kept, &[&new, &old]);
    }
}
