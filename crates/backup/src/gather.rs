//! What of a data-dir belongs into a backup.
//!
//! The order of looking makes it consistent: the audit log's edge first, the log's moment after it. So
//! every entry under a signed head is in the log, and the log still has what the tree does not.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use selvedge_audit::{
    checkpoint::Checkpoint,
    home::Home,
    integrate::CHECKPOINT,
    note::Note,
    tile::{Content, TILE_LEVELS, Tile},
};

use crate::{
    Error,
    manifest::AuditMark,
    moment::{Hold, LOG, Moment},
};

/// How often looking begins again because something moved.
const TRIES_MAX: usize = 10;
/// The writer's notes that go along: up to where files are whole, and the last head that was signed.
const SETTLED: &str = "state/settled";
const SIGNED: &str = "state/signed";
/// Names in a data-dir that this backup covers, or that mean nothing to another core. A witness is among the latter:
/// one that has forgotten what it cosigned last could be made to cosign another history. What the edge has not delivered yet
/// is the edge's: put back later, it would be told twice.
const KNOWN: &[&str] = &[
    LOG,
    "audit",
    "audit-keys",
    "audit-witness",
    "audit-witness.vkey",
    "audit.vkey",
    "core.lock",
    "edge-audit",
    "intents",
    "run",
    "tokens",
    "tokens.used",
    "views.db",
    "views.db-shm",
    "views.db-wal",
];
/// What a restore leaves in a data-dir.
const LEFT: [&str; 2] = ["restoring", "replaced-"];

/// Everything that is to be backed up, but for the newest state of keys and tokens.
pub(crate) struct Gathered {
    pub(crate) moment: Moment,
    pub(crate) audit: Option<AuditMark>,
    /// Files that never change once they are there.
    pub(crate) lasting: Vec<String>,
    /// Files that are other ones each time.
    pub(crate) passing: Vec<Passing>,
    /// What lies in the data-dir and is not in the backup.
    pub(crate) left_out: Vec<String>,
}

/// A file that is read anew by each backup.
pub(crate) struct Passing {
    pub(crate) path: String,
    pub(crate) source: Source,
}

/// Where its bytes are.
pub(crate) enum Source {
    Memory(Vec<u8>),
    /// A file, and how many of its bytes count.
    File(PathBuf, u64),
}

/// The right edge of the audit log: what its next start begins with, and what its head covers.
struct Edge {
    settled: u64,
    mark: Option<AuditMark>,
    size: u64,
    files: Vec<Passing>,
}

/// Looks until what it sees fits together. `extra` are files that lie elsewhere for the time being.
pub(crate) fn gather(
    data_dir: &Path,
    extra: &[(String, PathBuf)],
    hold: &mut dyn Hold,
) -> Result<Gathered, Error> {
    for _ in 0..TRIES_MAX {
        let Some(edge) = edge(&Home::new(data_dir).files())? else { continue };
        let moment = hold.take()?;
        // The log forgets entries that are settled; if it has since, the edge is too old for it.
        if moment.audit_start.is_some_and(|start| start > edge.settled) {
            continue;
        }
        return assemble(data_dir, extra, edge, moment);
    }
    Err(Error::Restless)
}

fn assemble(
    data_dir: &Path,
    extra: &[(String, PathBuf)],
    edge: Edge,
    moment: Moment,
) -> Result<Gathered, Error> {
    let audit = Home::new(data_dir).files();
    let mut lasting = tiles(&audit, edge.size);
    // Payloads are durable before their entries: those of all entries in the moment are there now.
    lasting.extend(payloads(&audit)?);
    let mut passing = edge.files;
    let catalogues = moment.files.iter().filter(|file| !file.name.ends_with(".segment"));
    passing.extend(catalogues.map(|file| {
        let path = format!("{LOG}/{}", file.name);
        let source = Source::File(data_dir.join(&path), file.length);
        Passing { path, source }
    }));
    for (path, from) in extra {
        let length = fs::metadata(from).map_err(Error::file(from))?.len();
        passing.push(Passing { path: path.clone(), source: Source::File(from.clone(), length) });
    }
    let public = Home::new(data_dir).public_key();
    if let Some(bytes) = read(&public)? {
        passing.push(Passing { path: "audit.vkey".to_owned(), source: Source::Memory(bytes) });
    }
    let left_out = left_out(data_dir)?;
    Ok(Gathered { moment, audit: edge.mark, lasting, passing, left_out })
}

/// The edge; `None` if it moved while it was read.
fn edge(audit: &Path) -> Result<Option<Edge>, Error> {
    // The notes in the order of their sizes, the smallest first.
    let settled = read(&audit.join(SETTLED))?;
    let head = read(&audit.join(CHECKPOINT))?;
    let signed = read(&audit.join(SIGNED))?;
    let settled_size = settled.as_deref().map_or(Ok(0), |bytes| first_number(SETTLED, bytes))?;
    let mark = head.as_deref().map(mark).transpose()?;
    let size = mark.as_ref().map_or(0, |mark| mark.size);
    let notes = [(SETTLED, settled), (CHECKPOINT, head), (SIGNED, signed)];
    let notes = notes.into_iter().filter_map(|(path, bytes)| Some((path.to_owned(), bytes?)));
    let mut files: Vec<Passing> = notes.map(|(path, bytes)| passing(&path, bytes)).collect();
    let mut partial = [partial(settled_size), partial(size)].concat();
    partial.sort();
    partial.dedup();
    for tile in partial {
        let Some(bytes) = read(&audit.join(tile.path()))? else { return Ok(None) };
        files.push(passing(&tile.path(), bytes));
    }
    Ok(Some(Edge { settled: settled_size, mark, size, files }))
}

fn passing(path: &str, bytes: Vec<u8>) -> Passing {
    Passing { path: format!("audit/{path}"), source: Source::Memory(bytes) }
}

/// The size and head of a signed note. Who believes it is asked elsewhere.
fn mark(bytes: &[u8]) -> Result<AuditMark, Error> {
    let object = "audit/checkpoint";
    let note = Note::parse(bytes).map_err(|error| Error::malformed(object, error))?;
    let head = Checkpoint::parse(note.text()).map_err(|error| Error::malformed(object, error))?;
    Ok(AuditMark { size: head.size, head: note.to_string() })
}

fn first_number(path: &str, bytes: &[u8]) -> Result<u64, Error> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.lines().next().and_then(|line| line.parse().ok());
    number.ok_or_else(|| Error::malformed(&format!("audit/{path}"), "it has no size"))
}

/// The tiles at the end of a tree of this size that are not full.
fn partial(size: u64) -> Vec<Tile> {
    contents().filter_map(|content| last(content, size)).filter(|tile| !tile.is_full()).collect()
}

fn last(content: Content, size: u64) -> Option<Tile> {
    let shift = match content {
        Content::Hashes(level) => 8 * u32::from(level),
        Content::Entries => 0,
    };
    let hashes = size.checked_shr(shift)?;
    Tile::in_tree(content, hashes.checked_sub(1)? >> 8, size)
}

fn contents() -> impl Iterator<Item = Content> {
    (0..TILE_LEVELS).map(Content::Hashes).chain([Content::Entries])
}

/// The full tiles of a tree that are there. Those that are not, retention took; whether it had a right
/// to, the audit says.
fn tiles(audit: &Path, size: u64) -> Vec<String> {
    let full = Tile::between(0, size).filter(|tile| tile.is_full()).map(Tile::path);
    let there = full.filter(|path| audit.join(path).is_file());
    there.map(|path| format!("audit/{path}")).collect()
}

fn payloads(audit: &Path) -> Result<Vec<String>, Error> {
    let mut payloads = Vec::new();
    for folder in names(&audit.join("payload"))? {
        for name in names(&audit.join("payload").join(&folder))? {
            payloads.push(format!("audit/payload/{folder}/{name}"));
        }
    }
    Ok(payloads)
}

/// What lies in the data-dir and nobody here knows.
fn left_out(data_dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = names(data_dir)?;
    names.retain(|name| {
        !KNOWN.contains(&name.as_str()) && !LEFT.iter().any(|left| name.starts_with(left))
    });
    Ok(names)
}

/// Names in a folder, sorted; none if there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file(folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A small file, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}
