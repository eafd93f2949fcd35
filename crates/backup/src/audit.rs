//! Whether what was restored is provably what was backed up.

use std::{collections::BTreeSet, fs, path::Path};

use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    entry::{Entry, KeyId},
    files::LogFiles,
    home::Home,
    note::{Note, VerifierKey},
    query::Query,
    service::STREAM,
    store::Folder,
    verify::{Scope, verify},
};
use selvedge_eventlog::{Log, ReadError, StreamId};

use crate::{Error, gather::read, restore::write_private};

/// The action of the entry that says that a key was destroyed; its resource is the key.
const ERASE_ACTION: &str = "subject.erase";
const PAGE_BYTES: usize = 1 << 20;
/// So many faults are told.
const FAULTS_MAX: usize = 20;

/// Against what a restored audit log is held.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// The log's public key; otherwise the one that lies in the backup.
    pub key: Option<VerifierKey>,
    /// Heads that were seen, by whomever: signed notes. The newest that is not in the backup is put in its
    /// place as the last one signed, so that no second history is signed.
    pub heads: Vec<Vec<u8>>,
}

/// What the audit log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// Entries under the restored head.
    pub size: u64,
    /// Entries that were compared.
    pub entries: u64,
    /// Entries of the event log behind the head: the core makes the tree of them.
    pub behind: u64,
    /// What is wrong.
    pub faults: Vec<String>,
    /// Entries under the newest head that is known, if they are more than were restored.
    pub signed_later: Option<u64>,
}

/// The head that a note speaks of, whoever signed it.
pub(crate) fn checkpoint(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(Note::parse(note.as_bytes()).ok()?.text()).ok()
}

/// Compares the tree with its head and with the older one, and the log with the tree.
pub(crate) fn prove(
    data_dir: &Path,
    log: &Log,
    trusted: &Trusted,
    since: Option<&Checkpoint>,
) -> Result<Option<Proven>, Error> {
    let home = Home::new(data_dir);
    let files = LogFiles(Folder::open(&home.files()));
    if !home.files().join("checkpoint").is_file() {
        return Ok(None);
    }
    let trust = Trust::in_key(key(&home, trusted)?);
    let report = verify(&files, &trust, Scope::Everything { since });
    let mut proven = Proven { entries: report.entries, ..Proven::default() };
    proven.faults = report.faults.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
    let Some(head) = report.head else { return Ok(Some(proven)) };
    proven.size = head.checkpoint.size;
    if proven.faults.is_empty() {
        compare(log, &files, &mut proven)?;
    }
    meet_heads(&home, &trust, trusted, &mut proven)?;
    Ok(Some(proven))
}

fn key(home: &Home, trusted: &Trusted) -> Result<VerifierKey, Error> {
    if let Some(key) = &trusted.key {
        return Ok(key.clone());
    }
    let text = read(&home.public_key())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    text.parse().map_err(|error| Error::malformed("audit.vkey", error))
}

/// The entries that the event log still has must be those of the tree.
fn compare(log: &Log, files: &LogFiles<Folder>, proven: &mut Proven) -> Result<(), Error> {
    let unproven = |error: &dyn std::error::Error| Error::Unproven(error.to_string());
    let Some(stream) = log.stream(STREAM) else {
        proven.faults.push("the event log has no stream of audit entries".to_owned());
        return Ok(());
    };
    let info = log.info(stream).map_err(|error| unproven(&error))?;
    if info.tail < proven.size {
        let (size, tail) = (proven.size, info.tail);
        proven.faults.push(format!("{size} entries were signed, and the event log has {tail}"));
        return Ok(());
    }
    proven.behind = info.tail - proven.size;
    let size = proven.size;
    each(log, stream, info.start, |index, record| {
        if index >= size {
            return Ok(false);
        }
        let entry = files.entry(index, size).map_err(|error| unproven(&error))?;
        if entry != record {
            proven.faults.push(format!("entry {index} is another one in the event log"));
        }
        Ok(proven.faults.len() < FAULTS_MAX)
    })
}

/// Gives every record of a stream until it is enough.
fn each(
    log: &Log,
    stream: StreamId,
    from: u64,
    mut take: impl FnMut(u64, &[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut next = from;
    loop {
        let chunk = log.read(stream, next, PAGE_BYTES);
        let chunk = chunk.map_err(|error: ReadError| Error::Unproven(error.to_string()))?;
        for (index, record) in chunk.records() {
            if !take(index, &record)? {
                return Ok(());
            }
        }
        if chunk.next == next {
            return Ok(());
        }
        next = chunk.next;
    }
}

/// Puts the newest head that is known in the place of the last one signed, if there are fewer entries.
/// The core then signs nothing, rather than another history under the same name.
fn meet_heads(
    home: &Home,
    trust: &Trust,
    trusted: &Trusted,
    proven: &mut Proven,
) -> Result<(), Error> {
    let known = trusted.heads.iter().filter_map(|note| trust.open(note).ok());
    let Some(newest) = known.max_by_key(|opened| opened.checkpoint.size) else { return Ok(()) };
    if newest.checkpoint.size <= proven.size + proven.behind {
        return Ok(());
    }
    proven.signed_later = Some(newest.checkpoint.size);
    let path = home.files().join("state/signed");
    fs::remove_file(&path).or_else(absent).map_err(Error::file(&path))?;
    write_private(&path, newest.note.to_string().as_bytes())
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Keys that the restored log says were destroyed: by its tree, and by entries behind it.
pub(crate) fn erased(data_dir: &Path, log: &Log) -> Result<BTreeSet<KeyId>, Error> {
    let mut erased = BTreeSet::new();
    let mut note = |entry: &Entry| {
        if entry.action == ERASE_ACTION {
            erased.extend(KeyId::parse(&entry.resource.id));
        }
    };
    let audit = Home::new(data_dir).files();
    let files = LogFiles(Folder::open(&audit));
    let head = read(&audit.join("checkpoint"))?;
    let head = head.and_then(|bytes| checkpoint(&String::from_utf8_lossy(&bytes)));
    if let Some(head) = head {
        let query = Query { action: Some(ERASE_ACTION.to_owned()), ..Query::default() };
        let search = files.search(head.size, &query, |found| {
            note(&found.entry);
            true
        });
        search.map_err(|error| Error::Unproven(error.to_string()))?;
    }
    let Some(stream) = log.stream(STREAM) else { return Ok(erased) };
    let info = log.info(stream).map_err(|error| Error::Unproven(error.to_string()))?;
    each(log, stream, info.start, |_, record| {
        if let Ok(entry) = Entry::decode(record) {
            note(&entry);
        }
        Ok(true)
    })?;
    Ok(erased)
}
