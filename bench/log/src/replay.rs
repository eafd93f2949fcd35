//! Everything read again from its beginning.

use serde_json::{Value, json};

use crate::{Result, nats, options::Options, ours, sqlite};

/// Streams whose records lie between each other: each is read by itself, one after the other.
const IN_TURNS: usize = 64;

/// Writes what [`read`] reads.
pub async fn prepare(options: &Options) -> Result<Value> {
    let records = options.number("records")?;
    match options.text("engine")? {
        "ours" => ours::fill(&options.fresh_folder()?, records, 1)?,
        "ours-in-turns" => ours::fill(&options.fresh_folder()?, records, IN_TURNS)?,
        "sqlite" => sqlite::fill(&options.fresh_folder()?.join("log.sqlite"), records)?,
        "nats" => nats::fill(options, records).await?,
        engine => return Err(format!("`{engine}` is no engine").into()),
    }
    Ok(json!({ "records": records }))
}

/// Reads all of it, and checks each record.
pub async fn read(options: &Options) -> Result<Value> {
    let records = options.number("records")?;
    let (found, elapsed) = match options.text("engine")? {
        "ours" | "ours-in-turns" => ours::count_timed(&options.folder()?)?,
        "sqlite" => sqlite::count(&options.folder()?.join("log.sqlite"))?,
        "nats" => nats::replay(options, records).await?,
        engine => return Err(format!("`{engine}` is no engine").into()),
    };
    if found != records {
        return Err(format!("{records} written, {found} found").into());
    }
    Ok(json!({ "records": found, "per_second": found as f64 / elapsed.as_secs_f64() }))
}
