//! What one sync of this disk takes.

use std::{
    fs::File,
    io::{Seek, Write},
    time::Instant,
};

use serde_json::Value;

use crate::{Result, appended::RECORD, options::Options, times::Times};

/// Written and synced beforehand, so that what is measured changes neither a file's size nor where it lies.
const PREPARED_BYTES: usize = 16 << 20;

/// A record written, then `fdatasync`, again and again.
pub fn syncs(options: &Options) -> Result<Value> {
    let path = options.fresh_folder()?.join("probe");
    let mut file = File::create(&path)?;
    file.write_all(&vec![1; PREPARED_BYTES])?;
    file.sync_all()?;
    file.rewind()?;
    let end = Instant::now() + options.seconds()?;
    let mut times = Times::default();
    while Instant::now() < end && times.len() < PREPARED_BYTES / RECORD.len() {
        let begin = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    let syncs = times.len();
    std::fs::remove_file(path)?;
    let mut told = times.told();
    told["syncs"] = syncs.into();
    Ok(told)
}
