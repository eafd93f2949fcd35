//! SQLite: a row for each commit, in write-ahead mode, synced by each commit.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    Result,
    appended::{Appended, RECORD},
    options::Options,
    times::Times,
};

/// How long a writer waits for its turn: longer than any measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// A thread and a connection for each writer.
pub fn append(options: &Options) -> Result<Value> {
    let file = options.fresh_folder()?.join("log.sqlite");
    let connections: Vec<Connection> =
        (0..options.number::<u32>("writers")?).map(|_| open(&file)).collect::<Result<_>>()?;
    let (begin, duration) = (Instant::now(), options.seconds()?);
    let threads: Vec<_> = connections
        .into_iter()
        .map(|connection| thread::spawn(move || write(&connection, begin + duration)))
        .collect();
    let mut times = Times::default();
    for thread in threads {
        times.extend(thread.join().map_err(|_| "a writer panicked")??);
    }
    let appended = Appended::new(times, begin.elapsed());
    appended.proven(count(&file)?.0)
}

fn open(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    )?;
    Ok(connection)
}

fn write(connection: &Connection, end: Instant) -> Result<Times> {
    let mut insert = connection.prepare("INSERT INTO log (record) VALUES (?1)")?;
    let mut times = Times::default();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(times);
        }
        insert.execute([&RECORD])?;
        times.push(begin.elapsed());
    }
}

/// Writes so many rows in one transaction.
pub fn fill(file: &Path, records: u64) -> Result {
    let mut connection = open(file)?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO log (record) VALUES (?1)")?;
        for _ in 0..records {
            insert.execute([&RECORD])?;
        }
    }
    Ok(transaction.commit()?)
}

/// Reads all rows in order; returns how many are as they were written, and how long it took.
pub fn count(file: &Path) -> Result<(u64, Duration)> {
    let connection = open(file)?;
    let begin = Instant::now();
    let mut select = connection.prepare("SELECT record FROM log ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut records = 0;
    while let Some(row) = rows.next()? {
        records += u64::from(row.get_ref(0)?.as_blob()? == RECORD);
    }
    Ok((records, begin.elapsed()))
}
