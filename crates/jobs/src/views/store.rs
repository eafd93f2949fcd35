//! Rows and cursors on disk: what belongs together is one transaction.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    fold::{Batch, Rows, Tally, Write},
    plan::Bad,
};

/// The tables. A file of another version is not touched.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
const VERSION: i32 = 1;
/// Bad events that are kept of each generation.
const FAULTS_MAX: i64 = 10;
/// What is kept of a bad event.
const BEGINNING_BYTES: usize = 200;
/// How long a reader's checkpoint may hold up the writer.
pub(super) const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// The file, as its one writer has it.
pub(crate) struct Store {
    connection: Connection,
}

/// A build of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) id: i64,
    pub(crate) definition: String,
    pub(crate) stream: u64,
    pub(crate) goal: u64,
    pub(crate) is_shown: bool,
    pub(crate) cursor: u64,
    pub(crate) tally: Tally,
    pub(crate) missed: u64,
    pub(crate) missed_since_ms: Option<u64>,
}

/// A bad event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) seq: u64,
    pub(crate) time_ms: u64,
    pub(crate) reason: Bad,
    pub(crate) beginning: String,
}

/// Why the file cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// SQLite says so.
    Sqlite(rusqlite::Error),
    /// Another version of Selvedge wrote it.
    Version(i32),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::Sqlite(error) => write!(out, "{error}"),
            StoreError::Version(version) => {
                write!(out, "it has version {version}, and this is for version {VERSION}")
            }
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Sqlite(error)
    }
}

impl Store {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // The log is the source: what a loss of power takes is folded again.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match begun.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                begun.execute_batch(SCHEMA)?;
                begun.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            version => return Err(StoreError::Version(version)),
        }
        begun.commit()?;
        Ok(Store { connection })
    }

    /// Names of all views of which there is something.
    pub(crate) fn views(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement =
            self.connection.prepare_cached("SELECT DISTINCT view FROM generation")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// The builds of a view, the shown one first.
    pub(crate) fn generations(&self, view: &str) -> rusqlite::Result<Vec<Generation>> {
        generations(&self.connection, view)
    }

    /// Begins a build. The first of a view is shown at once.
    pub(crate) fn begin(
        &mut self,
        view: &str,
        definition: &str,
        (stream, goal): (u64, u64),
    ) -> rusqlite::Result<Generation> {
        let begun = self.connection.transaction()?;
        begun.execute("DELETE FROM generation WHERE view = ?1 AND NOT is_shown", [view])?;
        begun.execute(
            "INSERT INTO generation (view, definition, stream, goal, is_shown)
             SELECT ?1, ?2, ?3, ?4, NOT EXISTS (SELECT 1 FROM generation WHERE view = ?1)",
            params![view, definition, stream.cast_signed(), signed(goal)],
        )?;
        let id = begun.last_insert_rowid();
        begun.commit()?;
        let begun = self.generations(view)?.into_iter().find(|generation| generation.id == id);
        begun.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Forgets builds of a view that are not shown.
    pub(crate) fn abandon(&self, view: &str) -> rusqlite::Result<()> {
        self.connection
            .execute("DELETE FROM generation WHERE view = ?1 AND NOT is_shown", [view])?;
        Ok(())
    }

    /// Forgets a view.
    pub(crate) fn remove(&self, view: &str) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM generation WHERE view = ?1", [view])?;
        Ok(())
    }

    /// Begins to write a batch.
    pub(crate) fn write(&mut self) -> rusqlite::Result<Writing<'_>> {
        let behavior = TransactionBehavior::Immediate;
        Ok(Writing { transaction: self.connection.transaction_with_behavior(behavior)? })
    }
}

/// One batch's transaction: dropped, nothing has happened.
pub(crate) struct Writing<'s> {
    transaction: Transaction<'s>,
}

/// Rows of one generation.
pub(crate) struct RowsOf<'w> {
    transaction: &'w Transaction<'w>,
    generation: i64,
}

impl Writing<'_> {
    pub(crate) fn rows(&self, generation: &Generation) -> RowsOf<'_> {
        RowsOf { transaction: &self.transaction, generation: generation.id }
    }

    /// Writes what a batch came to, and how far that is; returns what the generation is now.
    pub(crate) fn finish(
        self,
        generation: Generation,
        batch: &Batch<'_>,
        faults: &[Fault],
    ) -> rusqlite::Result<Generation> {
        let Writing { transaction } = self;
        let mut generation = Generation { tally: batch.tally, ..generation };
        write_rows(&transaction, generation.id, batch)?;
        write_faults(&transaction, generation.id, faults)?;
        write_progress(&transaction, &generation)?;
        if !generation.is_shown && generation.cursor >= generation.goal {
            take_over(&transaction, generation.id)?;
            generation.is_shown = true;
        }
        transaction.commit()?;
        Ok(generation)
    }
}

impl Rows for RowsOf<'_> {
    type Error = rusqlite::Error;

    fn state(&mut self, key: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT state FROM row WHERE generation = ?1 AND key = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        statement.query_row(params![self.generation, key], |row| row.get(0)).optional()
    }
}

fn write_rows(
    transaction: &Transaction<'_>,
    generation: i64,
    batch: &Batch<'_>,
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO row (generation, key, row, state) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (generation, key) DO UPDATE SET row = excluded.row, state = excluded.state",
    )?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM row WHERE generation = ?1 AND key = ?2")?;
    for (key, write) in batch.writes() {
        match write {
            Write::Put { row, state } => put.execute(params![generation, key, row, state])?,
            Write::Remove => remove.execute(params![generation, key])?,
        };
    }
    Ok(())
}

fn write_faults(
    transaction: &Transaction<'_>,
    generation: i64,
    faults: &[Fault],
) -> rusqlite::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO fault (generation, seq, time_ms, reason, beginning) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Fault { seq, time_ms, reason, beginning } in faults {
        put.execute(params![generation, signed(*seq), signed(*time_ms), reason, beginning])?;
    }
    transaction.execute(
        "DELETE FROM fault WHERE generation = ?1 AND seq NOT IN
         (SELECT seq FROM fault WHERE generation = ?1 ORDER BY seq DESC LIMIT ?2)",
        params![generation, FAULTS_MAX],
    )?;
    Ok(())
}

fn write_progress(transaction: &Transaction<'_>, generation: &Generation) -> rusqlite::Result<()> {
    let Generation {
        id,
        cursor,
        tally,
        missed,
        missed_since_ms,
        definition: _,
        stream: _,
        goal: _,
        is_shown: _,
    } = generation;
    let Tally { rows, folded, passed, bad, overflowed } = tally;
    let mut statement = transaction.prepare_cached(
        "UPDATE generation SET cursor = ?2, rows = ?3, folded = ?4, passed = ?5, bad = ?6, overflowed = ?7,
         missed = ?8, missed_since_ms = ?9 WHERE id = ?1",
    )?;
    let counts = [*cursor, *rows, *folded, *passed, *bad, *overflowed, *missed].map(signed);
    let [cursor, rows, folded, passed, bad, overflowed, missed] = counts;
    let since = missed_since_ms.map(signed);
    statement.execute(params![id, cursor, rows, folded, passed, bad, overflowed, missed, since])?;
    Ok(())
}

/// The build is shown from now on, and the one before is gone.
fn take_over(transaction: &Transaction<'_>, generation: i64) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM generation WHERE id <> ?1 AND view = (SELECT view FROM generation WHERE id = ?1)",
        [generation],
    )?;
    transaction.execute("UPDATE generation SET is_shown = 1 WHERE id = ?1", [generation])?;
    Ok(())
}

/// The builds of a view, the shown one first.
pub(crate) fn generations(
    connection: &Connection,
    view: &str,
) -> rusqlite::Result<Vec<Generation>> {
    let sql = "SELECT id, definition, stream, goal, is_shown, cursor, rows, folded, passed, bad, overflowed, missed, missed_since_ms
               FROM generation WHERE view = ?1 ORDER BY is_shown DESC, id";
    connection.prepare_cached(sql)?.query_map([view], read_generation)?.collect()
}

fn read_generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let count = |name: &str| row.get::<_, i64>(name).map(i64::unsigned_abs);
    Ok(Generation {
        id: row.get("id")?,
        definition: row.get("definition")?,
        stream: row.get::<_, i64>("stream")?.cast_unsigned(),
        goal: count("goal")?,
        is_shown: row.get("is_shown")?,
        cursor: count("cursor")?,
        tally: Tally {
            rows: count("rows")?,
            folded: count("folded")?,
            passed: count("passed")?,
            bad: count("bad")?,
            overflowed: count("overflowed")?,
        },
        missed: count("missed")?,
        missed_since_ms: row.get::<_, Option<i64>>("missed_since_ms")?.map(i64::unsigned_abs),
    })
}

/// The last bad events of a generation, the newest first.
pub(crate) fn faults(connection: &Connection, generation: i64) -> rusqlite::Result<Vec<Fault>> {
    let sql =
        "SELECT seq, time_ms, reason, beginning FROM fault WHERE generation = ?1 ORDER BY seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let count = |index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok(Fault {
            seq: count(0)?,
            time_ms: count(1)?,
            reason: row.get(2)?,
            beginning: row.get(3)?,
        })
    };
    statement.query_map([generation], read)?.collect()
}

/// What is kept of an event that is bad.
pub(crate) fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BEGINNING_BYTES)]);
    match bytes.len() > BEGINNING_BYTES {
        true => format!("{text}…"),
        false => text.into_owned(),
    }
}

/// SQLite counts with a sign; nothing here comes near its end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
