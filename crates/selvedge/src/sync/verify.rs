//! Whether what a relay has is what devices wrote.

use std::collections::BTreeMap;

use selvedge_crdt::{
    Admission, Batch, BatchHash, Document, Head, Header, Heads, Malformed, ReplicaId,
    session::{DeviceId, DocumentId, Record, Sealing, SnapshotHash},
};
use selvedge_seal::verify_record;

use super::log::{DocumentLog, LogArgs};
use crate::{
    cli::Outcome,
    exit::Exit,
    terminal::{Terminal, complain},
};

/// What was found so far.
#[derive(Default)]
struct Verifier {
    heads: Heads,
    devices: BTreeMap<ReplicaId, DeviceId>,
    epoch: u32,
    faults: Vec<String>,
}

/// Checks everything, tells each fault, and ends with 65 if there is one.
pub(super) fn run(args: &LogArgs, terminal: &mut Terminal) -> Outcome {
    let log = args.read()?;
    let faults = faults(&log);
    faults.iter().for_each(|fault| complain(&format!("fault: {fault}\n")));
    if !faults.is_empty() {
        return Ok(Exit::Data);
    }
    let (records, first) = (log.records.len(), log.opened.next);
    let snapshot = if log.snapshot.is_some() { " and the snapshot" } else { "" };
    terminal.write(&format!(
        "{records} records from {first} on{snapshot} are as devices wrote them\n"
    ))?;
    Ok(Exit::Success)
}

fn faults(log: &DocumentLog) -> Vec<String> {
    let mut verifier = Verifier::default();
    let is_whole = log.opened.next == 0;
    for (at, (offset, record)) in log.read_records().enumerate() {
        if offset != log.opened.next + at as u64 {
            verifier.faults.push(format!("record {offset} does not follow the one before"));
        }
        match record {
            Ok(record) => verifier.record(&log.document, (offset, &record), is_whole),
            Err(error) => verifier.faults.push(format!("record {offset}: {error}")),
        }
    }
    if let Some((info, bytes)) = &log.snapshot {
        verifier.snapshot(info.hash, info.sealing, bytes);
    }
    verifier.faults
}

impl Verifier {
    fn record(
        &mut self,
        document: &DocumentId,
        (offset, record): (u64, &Record<'_>),
        is_whole: bool,
    ) {
        let mut fault = |what: &str| self.faults.push(format!("record {offset}: {what}"));
        if verify_record(document, record).is_err() {
            fault("its signature is not that of its device");
        }
        match record {
            Record::Batch { device, sealing, batch, .. } => {
                if sealing.epoch() != 0 && sealing.epoch() > self.epoch && is_whole {
                    fault("it is sealed for an epoch that has not begun");
                }
                let read = read(*sealing, batch);
                match read {
                    Ok(header) => self.batch(offset, (*device, &header, batch), is_whole),
                    Err(error) => fault(&error.to_string()),
                }
            }
            Record::Keys { epoch, .. } => {
                if *epoch < self.epoch {
                    fault("its epoch is over");
                }
                self.epoch = self.epoch.max(*epoch);
            }
            Record::Snapshot { info, .. } if info.offset > offset => {
                fault("a snapshot of records that came later");
            }
            Record::Snapshot { .. } => {}
            Record::Compact { retired, .. } => {
                for replica in retired {
                    self.devices.remove(replica);
                }
            }
        }
    }

    fn batch(
        &mut self,
        offset: u64,
        (device, header, batch): (DeviceId, &Header, &[u8]),
        is_whole: bool,
    ) {
        let (replica, hash) = (header.replica, BatchHash::of(batch));
        let bound = *self.devices.entry(replica).or_insert(device);
        if bound != device {
            self.faults
                .push(format!("record {offset}: replica {replica} belongs to another device"));
        }
        // Where the beginning was cut off, the first batch of each replica is believed.
        if !is_whole && self.heads.get(replica) == Head::default() {
            return self.heads.set(replica, Head { seq: header.last(), hash });
        }
        let admission = self.heads.admit(header, hash);
        if admission != Admission::Next {
            self.faults.push(format!(
                "record {offset}: replica {replica} does not go on so ({admission:?})"
            ));
        }
    }

    fn snapshot(&mut self, name: SnapshotHash, sealing: Sealing, bytes: &[u8]) {
        if SnapshotHash::of(bytes) != name {
            self.faults.push("the snapshot's bytes are not those that were signed".to_owned());
        } else if sealing == Sealing::Plain
            && let Err(error) = Document::load(bytes)
        {
            self.faults.push(format!("the snapshot is none: {error}"));
        }
    }
}

/// The header, once the body was read where that is possible.
fn read(sealing: Sealing, batch: &[u8]) -> Result<Header, Malformed> {
    match sealing {
        Sealing::Plain => Batch::decode(batch).map(|(header, _)| header),
        Sealing::Epoch(_) => Header::read(batch).map(|(header, _)| header),
    }
}
