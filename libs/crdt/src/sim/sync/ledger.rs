//! Every edit there was: each puts its number into one set, in which it is looked for.

use std::collections::BTreeSet;

use super::{device::Device, keys, relay::Hosted};
use crate::{
    Batch, Change, Document, Kind, Value,
    session::{DocumentId, Record, Replica, Sealing},
};

/// The entity and the set that hold every edit there was.
pub(super) const LEDGER: &str = "ledger";
pub(super) const EDITS: &str = "edits";

/// The edits that a document has.
pub(super) fn edits_in(document: &Document) -> BTreeSet<u64> {
    let ledger = document.entity(LEDGER);
    let values = ledger.map(|entity| entity.values(EDITS, Kind::GROW_SET)).unwrap_or_default();
    values.iter().filter_map(number).collect()
}

/// The edits that a batch makes.
pub(super) fn edits_of(batch: &Batch) -> impl Iterator<Item = u64> {
    batch.ops().filter_map(|op| match op.change {
        Change::Put { field, payload, .. } if field.name() == EDITS => {
            number(&Value::decode(payload))
        }
        _ => None,
    })
}

fn number(value: &Value<'_>) -> Option<u64> {
    if let Value::Int(edit) = value { Some(*edit as u64) } else { None }
}

/// The batch of a record, read.
pub(super) fn batch_of(record: &[u8]) -> Option<Batch> {
    let Ok(Record::Batch { batch, sealing, .. }) = Record::read(record) else { return None };
    Some(keys::open(sealing.epoch(), batch).expect("what is in a log is read"))
}

/// The edits that the relay or some device still has.
pub(super) fn held(name: &DocumentId, devices: &[Device], hosted: &Hosted) -> BTreeSet<u64> {
    let saved = devices.iter().filter_map(|device| device.disks.get(name));
    let mut held: BTreeSet<u64> = saved
        .flat_map(|saved| {
            let replica = Replica::restore(saved).expect("what was stored is read");
            edits_in(replica.document())
        })
        .collect();
    for placed in hosted.document.snapshots() {
        if let Some(blob) = hosted.blob(&placed.info.hash) {
            held.extend(edits_in(&snapshot(blob, placed.info.sealing)));
        }
    }
    let mut there = Document::new();
    hosted.durable().iter().filter_map(|it| batch_of(it)).for_each(|it| there.apply(&it));
    held.extend(edits_in(&there));
    held
}

fn snapshot(blob: &[u8], sealing: Sealing) -> Document {
    let plain = match sealing {
        Sealing::Plain => blob.to_vec(),
        Sealing::Epoch(epoch) => keys::unseal(epoch, blob).expect("what is at a relay is read"),
    };
    Document::load(&plain).expect("a snapshot is read")
}
