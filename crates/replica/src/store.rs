//! Where a replica is stored: a SQLite file that one process has at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use selvedge_crdt::session::{Change, DocumentId, Saved, Transaction};

use crate::StoreError;

/// The tables. A file of another version is not touched.
const SCHEMA: &str = include_str!("schema.sql");
const VERSION: i32 = 1;

const SELECT: &str = "SELECT tenant, name, relay, token FROM document";

/// One document as it is kept on this machine. Whatever it stores is durable when the call returns.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    connection: Connection,
    known: Known,
    /// Held as long as this lives.
    _lock: File,
}

/// What is known of a document beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which document.
    pub document: DocumentId,
    /// Where its relay is.
    pub relay: String,
    /// The capability that it is opened with.
    pub token: String,
}

impl Store {
    /// Makes the folder of a document that was never here; only its owner may read it.
    pub(crate) fn create(folder: &Path, known: &Known, keys: &[u8]) -> Result<Self, StoreError> {
        let unusable = |error| StoreError::Folder(folder.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        let lock = lock(folder)?;
        let connection = prepare(&folder.join("replica.sqlite"))?;
        // With its keys at once: without them, what is encrypted would be taken for plain.
        let insert = "INSERT INTO document (one, tenant, name, relay, token, keys) \
                      VALUES (1, ?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let Known { document, relay, token } = known;
        let row = params![document.tenant(), document.name(), relay, token, keys];
        if connection.execute(insert, row)? == 0 {
            return Err(StoreError::Exists(document.clone()));
        }
        // The folder's own name must outlive a power cut as well.
        let parents = [Some(folder), folder.parent(), folder.parent().and_then(Path::parent)];
        for folder in parents.into_iter().flatten() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
        }
        let (folder, known) = (folder.to_owned(), known.clone());
        Ok(Store { folder, connection, known, _lock: lock })
    }

    /// What is known of the document in a folder.
    pub(crate) fn peek(folder: &Path, document: &DocumentId) -> Result<Known, StoreError> {
        let unknown = || StoreError::Unknown(document.clone());
        let file = folder.join("replica.sqlite");
        if !file.is_file() {
            return Err(unknown());
        }
        let connection = prepare(&file)?;
        connection.query_row(SELECT, [], known).optional()?.ok_or_else(unknown)
    }

    /// Opens the folder of a document.
    pub(crate) fn open(folder: &Path, document: &DocumentId) -> Result<Self, StoreError> {
        let known = Store::peek(folder, document)?;
        let lock = lock(folder)?;
        let connection = prepare(&folder.join("replica.sqlite"))?;
        Ok(Store { folder: folder.to_owned(), connection, known, _lock: lock })
    }

    /// What is known of the document beside its content.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Where this is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes another relay or another token from now on.
    ///
    /// # Errors
    /// SQLite's.
    pub fn reach(&mut self, relay: &str, token: &str) -> Result<(), StoreError> {
        self.connection.execute("UPDATE document SET relay = ?1, token = ?2", [relay, token])?;
        (self.known.relay, self.known.token) = (relay.to_owned(), token.to_owned());
        Ok(())
    }

    /// What the replica had stored; nothing if it never did.
    ///
    /// # Errors
    /// SQLite's.
    pub fn load(&self) -> Result<Option<Saved>, StoreError> {
        let begin: Option<Vec<u8>> =
            self.connection.query_row("SELECT begin FROM document", [], |row| row.get(0))?;
        let Some(begin) = begin else { return Ok(None) };
        let mut statement = self.connection.prepare("SELECT piece FROM pieces ORDER BY number")?;
        let pieces = statement.query_map([], |row| row.get(0))?;
        Ok(Some(Saved { begin, appended: pieces.collect::<Result<_, _>>()? }))
    }

    /// Stores a transaction of the replica, and the document's keys if they changed with it, as a whole or not at all.
    ///
    /// # Errors
    /// SQLite's.
    pub fn store(
        &mut self,
        transaction: &Transaction,
        keys: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let begun = self.connection.transaction()?;
        for change in &transaction.changes {
            match change {
                Change::Begin(begin) => {
                    begun.execute("DELETE FROM pieces", [])?;
                    begun.execute("UPDATE document SET begin = ?1", [begin])?;
                }
                Change::Append(piece) => {
                    let insert = "INSERT INTO pieces (piece) VALUES (?1)";
                    begun.prepare_cached(insert)?.execute([piece])?;
                }
            }
        }
        if let Some(keys) = keys {
            begun.execute("UPDATE document SET keys = ?1", [keys])?;
        }
        Ok(begun.commit()?)
    }

    /// The keys of the document, as they were kept; nothing where its creation broke off.
    ///
    /// # Errors
    /// SQLite's.
    pub fn keys(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.connection.query_row("SELECT keys FROM document", [], |row| row.get(0))?)
    }

    /// Keeps the keys of the document.
    ///
    /// # Errors
    /// SQLite's.
    pub fn keep_keys(&mut self, keys: &[u8]) -> Result<(), StoreError> {
        self.connection.execute("UPDATE document SET keys = ?1", [keys])?;
        Ok(())
    }
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let (tenant, name): (String, String) = (row.get(0)?, row.get(1)?);
    let document = DocumentId::new(&tenant, &name).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Known { document, relay: row.get(2)?, token: row.get(3)? })
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let unusable = |error| StoreError::Folder(folder.to_owned(), error);
    let file = own_file(&folder.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn own_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn prepare(file: &Path) -> Result<Connection, StoreError> {
    own_file(file).map_err(|error| StoreError::Folder(file.to_owned(), error))?;
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    let begun = connection.transaction()?;
    match begun.pragma_query_value(None, "user_version", |row| row.get(0))? {
        0 => {
            begun.execute_batch(SCHEMA)?;
            begun.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        other => return Err(StoreError::Version(other)),
    }
    begun.commit()?;
    Ok(connection)
}
