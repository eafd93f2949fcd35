//! A document's log as lines of JSON.

use selvedge_crdt::{
    Batch, Change, Header, Op, Value,
    session::{Record, Sealing},
};
use serde_json::{Value as Json, json};

use super::log::LogArgs;
use crate::{cli::Outcome, doc::as_json, exit::Exit, terminal::Terminal};

/// Prints all records; what is sealed is told by its envelope.
pub(super) fn run(args: &LogArgs, terminal: &mut Terminal) -> Outcome {
    let log = args.read()?;
    for (offset, record) in log.read_records() {
        let mut line = match record {
            Ok(record) => told(&record),
            Err(error) => json!({ "type": "unreadable", "why": error.to_string() }),
        };
        line["offset"] = json!(offset);
        terminal.write(&format!("{line}\n"))?;
    }
    Ok(Exit::Success)
}

fn told(record: &Record<'_>) -> Json {
    match record {
        Record::Batch { device, sealing, batch, .. } => {
            let mut line = envelope(batch);
            line["type"] = json!("batch");
            line["device"] = json!(device.to_string());
            line["epoch"] = json!(sealing.epoch());
            if *sealing == Sealing::Plain
                && let Ok((_, batch)) = Batch::decode(batch)
            {
                line["operations"] = batch.ops().map(|op| operation(&op)).collect();
            }
            line
        }
        Record::Keys { device, epoch, members, .. } => json!({
            "type": "keys", "device": device.to_string(), "epoch": epoch, "bytes": members.len(),
        }),
        Record::Snapshot { info, .. } => json!({
            "type": "snapshot", "device": info.device.to_string(), "epoch": info.sealing.epoch(),
            "snapshot": info.hash.to_string(), "bytes": info.bytes, "before": info.offset,
        }),
        Record::Compact { horizon, retired } => json!({
            "type": "compact", "horizon": horizon.to_string(),
            "retired": retired.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    }
}

/// What everybody may know of a batch.
fn envelope(batch: &[u8]) -> Json {
    let Ok((header, body)) = Header::read(batch) else { return json!({ "header": null }) };
    json!({
        "replica": header.replica.to_string(),
        "first": header.first,
        "count": header.count,
        "from": header.stamp_first.to_string(),
        "to": header.stamp_last.to_string(),
        "bytes": body.len(),
    })
}

fn operation(op: &Op<'_>) -> Json {
    let mut line = json!({ "seq": op.dot.seq, "at": op.hlc.to_string(), "entity": &**op.entity });
    if let Some(field) = op.field() {
        line["field"] = json!(field.name());
        line["kind"] = json!(field.kind().to_string());
    }
    match op.change {
        Change::Put { payload, covers, .. } => {
            line["value"] = as_json::value(&Value::decode(payload));
            line["replaces"] = json!(covers.len());
        }
        Change::Cover { covers, .. } => line["removes"] = json!(covers.len()),
        Change::Delete { marks } => line["deletes"] = json!(marks.len()),
    }
    line
}
