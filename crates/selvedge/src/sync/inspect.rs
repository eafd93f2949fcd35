//! What a relay has of a document, in a few lines.

use std::{collections::BTreeMap, fmt::Write as _};

use selvedge_crdt::{
    Header, ReplicaId,
    session::{DeviceId, Record, Sealing},
};

use super::log::{DocumentLog, LogArgs};
use crate::{cli::Outcome, exit::Exit, terminal::Terminal};

/// What a replica has in the log.
struct Written {
    device: DeviceId,
    batches: u64,
    last: Header,
    bytes: usize,
}

/// Tells of the log, the snapshot, the replicas and the keys.
pub(super) fn run(args: &LogArgs, terminal: &mut Terminal) -> Outcome {
    let log = args.read()?;
    terminal.write(&text(&log))?;
    Ok(Exit::Success)
}

fn text(log: &DocumentLog) -> String {
    let opened = &log.opened;
    let bytes: usize = log.records.iter().map(|(_, record)| record.len()).sum();
    let mut out = format!("document   {}:{}\n", log.document.tenant(), log.document.name());
    let id = data_encoding::HEXLOWER.encode(&opened.log.0);
    let (first, tail) = (opened.next, opened.tail);
    let sealing = match opened.sealing {
        Sealing::Plain => "readable by the relay".to_owned(),
        Sealing::Epoch(epoch) => format!("encrypted end to end, epoch {epoch}"),
    };
    let _ = writeln!(
        out,
        "log        {id}, records {first} to {tail}, {bytes} bytes\ncontent    {sealing}"
    );
    match &log.snapshot {
        Some((info, _)) => {
            let (hash, size, offset) = (info.hash, info.bytes, info.offset);
            let _ =
                writeln!(out, "snapshot   {hash}, {size} bytes, of the records before {offset}");
        }
        None => out.push_str("snapshot   none\n"),
    }
    for (replica, written) in replicas(log) {
        let Written { device, batches, last, bytes } = written;
        let (seq, stamp) = (last.last(), last.stamp_last);
        let _ = writeln!(
            out,
            "replica    {replica}: {seq} operations in {batches} batches here, {bytes} bytes, the last at {stamp}, by {device}"
        );
    }
    out
}

fn replicas(log: &DocumentLog) -> BTreeMap<ReplicaId, Written> {
    let mut replicas: BTreeMap<ReplicaId, Written> = BTreeMap::new();
    for (_, record) in log.read_records() {
        let Ok(Record::Batch { device, batch, .. }) = record else { continue };
        let Ok((last, _)) = Header::read(batch) else { continue };
        let new = Written { device, batches: 0, last, bytes: 0 };
        let written = replicas.entry(last.replica).or_insert(new);
        written.batches += 1;
        written.bytes += batch.len();
        written.last = last;
    }
    replicas
}
