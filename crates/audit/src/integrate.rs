//! The integrator: entries in, tiles and signed heads out.
//!
//! Entries are given in the order of the event log, where they are durable. Files are a function of
//! them, so that a start writes again whatever a crash may have damaged: everything behind the size
//! that was last settled. A head is durable before anybody sees it.

use std::{fmt, io, sync::Arc};

use crate::{
    bundle::{self, BundleError},
    checkpoint::{Checkpoint, CheckpointError, Trust},
    merkle::{Frontier, Hash},
    note::{Note, SigningKey},
    store::Storage,
    tile::{Content, TILE_LEVELS, TILE_WIDTH, Tile, complete, decode_hashes, encode_hashes},
};

/// The head that everybody sees.
pub const CHECKPOINT: &str = "checkpoint";
/// The last head that was signed.
const SIGNED: &str = "state/signed";
/// Up to which size every file is durable.
const SETTLED: &str = "state/settled";

/// Builds the tree's files and signs its heads.
#[derive(Debug)]
pub struct Integrator<S> {
    storage: S,
    key: Arc<SigningKey>,
    tree: Frontier,
    /// The hashes of each level's last tile, which is not full.
    rows: Vec<Vec<Hash>>,
    /// The last bundle, which is not full.
    bundle: Vec<u8>,
    /// The last head that was signed.
    signed: Option<Note>,
    signed_tree: (u64, Hash),
    /// Whether the tree has come up to the last head again.
    caught_up: bool,
    /// Files that may not be durable.
    dirty: Vec<String>,
    /// Whether a head is seen as soon as it is signed.
    shows: bool,
}

/// Files to make durable, and the tree that is whole when they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    paths: Vec<String>,
    tree: (u64, Hash),
}

/// Why the log cannot grow.
#[derive(Debug)]
pub enum IntegrateError {
    /// Reading or writing failed.
    Io(io::Error),
    /// A file that was durable is not what it was.
    Damaged {
        /// Which one.
        path: String,
    },
    /// The last tiles do not have the root that was settled: one of them is damaged.
    Edge {
        /// How many entries were settled.
        size: u64,
    },
    /// The head that was signed last is not believed.
    Signed(CheckpointError),
    /// The entries are not those over which a head of this size was signed. Nothing is signed any more:
    /// two histories of one log are what it exists to rule out.
    Forked {
        /// The size.
        size: u64,
    },
    /// An entry is too long to be one.
    TooLong {
        /// Its number.
        index: u64,
    },
}

impl fmt::Display for IntegrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the audit log's files cannot be read or written"),
            Self::Damaged { path } => write!(f, "the audit log's file `{path}` is damaged"),
            Self::Edge { size } => {
                write!(f, "one of the audit log's last tiles at {size} entries is damaged")
            }
            Self::Signed(_) => write!(f, "the last head in `{SIGNED}` is not believed"),
            Self::Forked { size } => write!(
                f,
                "the first {size} entries are not those that were signed: was the event log restored \
                 from a backup, or altered? Nothing more is signed"
            ),
            Self::TooLong { index } => write!(f, "entry {index} has more than 65,535 bytes"),
        }
    }
}

impl std::error::Error for IntegrateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Signed(error) => Some(error),
            Self::Damaged { .. }
            | Self::Edge { .. }
            | Self::Forked { .. }
            | Self::TooLong { .. } => None,
        }
    }
}

impl From<io::Error> for IntegrateError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<S: Storage> Integrator<S> {
    /// Goes on where everything is known to be durable. Entries are wanted from [`Integrator::size`] on.
    pub fn open(storage: S, key: SigningKey) -> Result<Self, IntegrateError> {
        Self::open_with(storage, Arc::new(key), true)
    }

    /// The same, but somebody else decides when a head is seen that was signed. Only where none is that
    /// can be believed, the last one is shown.
    pub fn open_quietly(storage: S, key: SigningKey) -> Result<Self, IntegrateError> {
        Self::open_with(storage, Arc::new(key), false)
    }

    /// Goes on where everything is known to be durable, because something went wrong on the way.
    pub fn reopen(&mut self) -> Result<(), IntegrateError>
    where
        S: Clone,
    {
        // What is read there may be in memory only, since a write failed that had come so far.
        for path in [SIGNED, SETTLED] {
            if let Some(bytes) = self.storage.read(path)? {
                self.storage.replace(path, &bytes)?;
            }
        }
        *self = Self::open_with(self.storage.clone(), Arc::clone(&self.key), self.shows)?;
        Ok(())
    }

    fn open_with(storage: S, key: Arc<SigningKey>, shows: bool) -> Result<Self, IntegrateError> {
        let signed = read_signed(&storage, &key)?;
        let signed_tree = match &signed {
            Some((_, checkpoint)) => checkpoint.tree(),
            None => (0, Hash::of_nothing()),
        };
        let settled = read_settled(&storage)?;
        let rows = (0..TILE_LEVELS).map(|_| Vec::new()).collect();
        let (tree, signed) = (Frontier::new(), signed.map(|(note, _)| note));
        let caught_up = signed.is_none();
        let (bundle, dirty) = (Vec::new(), Vec::new());
        let mut integrator =
            Self { storage, key, tree, rows, bundle, signed, signed_tree, caught_up, dirty, shows };
        integrator.load(settled)?;
        integrator.drop_unsettled()?;
        integrator.meet_signed()?;
        Ok(integrator)
    }

    /// How many entries the tree has, and so the number of the entry that is wanted next.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// How many entries the last signed head has.
    pub fn signed_size(&self) -> u64 {
        self.signed_tree.0
    }

    /// The last signed head.
    pub fn signed(&self) -> Option<&Note> {
        self.signed.as_ref()
    }

    /// Adds the next entry, which is durable in the event log.
    pub fn append(&mut self, entry: &[u8]) -> Result<(), IntegrateError> {
        if entry.len() > bundle::ENTRY_BYTES_MAX {
            return Err(IntegrateError::TooLong { index: self.size() });
        }
        bundle::push(&mut self.bundle, entry);
        let leaf = Hash::of_leaf(entry);
        self.tree.append(leaf);
        self.push_hash(0, leaf)?;
        if self.size().is_multiple_of(u64::from(TILE_WIDTH)) {
            let bundle = std::mem::take(&mut self.bundle);
            self.put(Content::Entries, &bundle)?;
        }
        self.meet_signed()
    }

    /// Signs the tree as it is and lets everybody see it; `None` if it was signed already.
    ///
    /// When this fails, the integrator is to be opened again.
    pub fn publish(&mut self) -> Result<Option<&Note>, IntegrateError> {
        let tree = (self.tree.size(), self.tree.root());
        if !self.caught_up || tree == self.signed_tree {
            return Ok(None);
        }
        self.put_partial()?;
        let origin = self.key.verifier().name();
        let note = Checkpoint::new(origin, tree.0, tree.1).sign(&self.key);
        self.storage.replace(SIGNED, note.to_string().as_bytes())?;
        (self.signed_tree, self.signed) = (tree, Some(note));
        if self.shows {
            self.show()?;
        }
        Ok(self.signed.as_ref())
    }

    /// What is to be made durable by [`settle`] so that a start begins here. The caller does this
    /// one after another, in the order of these calls.
    pub fn settlement(&mut self) -> Result<Option<Settlement>, IntegrateError> {
        // What is settled is signed, or about to be met again: a start compares it with the signed head.
        if self.dirty.is_empty() || self.tree.size() > self.signed_tree.0 {
            return Ok(None);
        }
        self.put_partial()?;
        let paths = std::mem::take(&mut self.dirty);
        Ok(Some(Settlement { paths, tree: (self.tree.size(), self.tree.root()) }))
    }

    /// Once the tree is as large as the head that was signed last, it must be the same tree.
    fn meet_signed(&mut self) -> Result<(), IntegrateError> {
        if self.caught_up || self.tree.size() < self.signed_tree.0 {
            return Ok(());
        }
        if (self.tree.size(), self.tree.root()) != self.signed_tree {
            return Err(IntegrateError::Forked { size: self.signed_tree.0 });
        }
        self.put_partial()?;
        self.caught_up = true;
        if self.shows || !self.is_shown()? {
            self.show()?;
        }
        Ok(())
    }

    /// Whether a head of this log is seen. After a crash, what was there may be anything.
    fn is_shown(&self) -> Result<bool, IntegrateError> {
        let Some(bytes) = self.storage.read(CHECKPOINT)? else { return Ok(false) };
        let opened = Trust::in_key(self.key.verifier().clone()).open(&bytes);
        Ok(opened.is_ok_and(|opened| opened.checkpoint.size <= self.signed_tree.0))
    }

    fn show(&mut self) -> Result<(), IntegrateError> {
        let Some(note) = &self.signed else { return Ok(()) };
        self.storage.write(CHECKPOINT, note.to_string().as_bytes())?;
        Ok(())
    }

    fn push_hash(&mut self, level: u8, hash: Hash) -> Result<(), IntegrateError> {
        let row = &mut self.rows[usize::from(level)];
        row.push(hash);
        if row.len() < usize::from(TILE_WIDTH) {
            return Ok(());
        }
        let full = std::mem::take(row);
        self.put(Content::Hashes(level), &encode_hashes(&full))?;
        self.push_hash(level + 1, complete(&full))
    }

    /// Writes the last tile of a kind, as it is in the tree of this size.
    fn put(&mut self, content: Content, bytes: &[u8]) -> Result<(), IntegrateError> {
        let tile = last_tile(content, self.tree.size()).expect("the tile has something in it");
        self.put_file(tile.path(), bytes)
    }

    /// Writes the tiles that are not full.
    fn put_partial(&mut self) -> Result<(), IntegrateError> {
        if !self.bundle.is_empty() {
            let bundle = self.bundle.clone();
            self.put(Content::Entries, &bundle)?;
        }
        for level in 0..TILE_LEVELS {
            let bytes = encode_hashes(&self.rows[usize::from(level)]);
            if !bytes.is_empty() {
                self.put(Content::Hashes(level), &bytes)?;
            }
        }
        Ok(())
    }

    fn put_file(&mut self, path: String, bytes: &[u8]) -> Result<(), IntegrateError> {
        self.storage.write(&path, bytes)?;
        self.dirty.push(path);
        Ok(())
    }

    /// Takes up the right edge of the tree of this size.
    fn load(&mut self, tree: (u64, Hash)) -> Result<(), IntegrateError> {
        for level in 0..TILE_LEVELS {
            let Some(tile) = partial_tile(Content::Hashes(level), tree.0) else { continue };
            let damaged = || IntegrateError::Damaged { path: tile.path() };
            let bytes = self.storage.read(&tile.path())?.ok_or_else(damaged)?;
            self.rows[usize::from(level)] = decode_hashes(tile, &bytes).ok_or_else(damaged)?;
        }
        self.tree = Frontier::from_peaks(tree.0, self.peaks(tree.0))
            .expect("rows have as many hashes as the size's digits say");
        if self.tree.root() != tree.1 {
            return Err(IntegrateError::Edge { size: tree.0 });
        }
        self.load_bundle(tree.0)
    }

    fn load_bundle(&mut self, size: u64) -> Result<(), IntegrateError> {
        let Some(tile) = partial_tile(Content::Entries, size) else { return Ok(()) };
        let damaged = || IntegrateError::Damaged { path: tile.path() };
        let bytes = self.storage.read(&tile.path())?.ok_or_else(damaged)?;
        let entries: Result<Vec<&[u8]>, BundleError> =
            bundle::entries(&bytes, usize::from(tile.width()));
        let leaves = entries.map_err(|_| damaged())?.into_iter().map(Hash::of_leaf);
        if !leaves.eq(self.rows[0].iter().copied()) {
            return Err(damaged());
        }
        self.bundle = bytes;
        Ok(())
    }

    /// The complete subtrees of a tree whose rows are loaded, largest first.
    fn peaks(&self, size: u64) -> Vec<Hash> {
        let bits = (0..u64::BITS).rev().filter(|bit| size >> bit & 1 == 1);
        let peak = |bit: u32| {
            let (row, within) = (&self.rows[bit as usize / 8], bit % 8);
            let width = 1 << within;
            let start = row.len() >> (within + 1) << (within + 1);
            complete(&row[start..start + width])
        };
        bits.map(peak).collect()
    }

    /// Removes partial tiles that nobody made durable: after a crash they may be anything. Full ones
    /// are written again, under the same names.
    fn drop_unsettled(&mut self) -> Result<(), IntegrateError> {
        let (settled, signed) = (self.tree.size(), self.signed_tree.0);
        let contents = (0..TILE_LEVELS).map(Content::Hashes).chain([Content::Entries]);
        for content in contents {
            let first = partial_tile(content, settled);
            let width = first.map_or(0, Tile::width);
            let index_of = |leaf: u64| leaf.checked_shr(leaf_shift(content)).unwrap_or(0);
            for index in index_of(settled)..=index_of(signed.max(settled)) {
                let keep = if index == index_of(settled) { width } else { 0 };
                self.drop_partials(content, index, keep)?;
            }
        }
        Ok(())
    }

    fn drop_partials(
        &mut self,
        content: Content,
        index: u64,
        keep: u16,
    ) -> Result<(), IntegrateError> {
        let Some(full) = tile_at(content, index, TILE_WIDTH) else { return Ok(()) };
        let folder = format!("{}.p", full.path());
        for name in self.storage.list(&folder)? {
            if name.parse::<u16>().map_or(true, |width| width > keep) {
                self.storage.remove(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }
}

/// Makes files durable, and remembers that they are.
pub fn settle<S: Storage>(storage: &S, settlement: &Settlement) -> io::Result<()> {
    storage.sync(&settlement.paths)?;
    let (size, root) = settlement.tree;
    storage.replace(SETTLED, format!("{size}\n{root}\n").as_bytes())?;
    // Partial tiles may go when the full one is there.
    let tiles = settlement.paths.iter().filter_map(|path| Tile::from_path(path));
    let full = tiles.filter(|tile| tile.is_full());
    full.map(|tile| format!("{}.p", tile.path())).try_for_each(|folder| storage.remove(&folder))
}

impl Settlement {
    /// How many entries the tree has that is whole then.
    pub fn size(&self) -> u64 {
        self.tree.0
    }
}

fn read_signed<S: Storage>(
    storage: &S,
    key: &SigningKey,
) -> Result<Option<(Note, Checkpoint)>, IntegrateError> {
    let Some(bytes) = storage.read(SIGNED)? else { return Ok(None) };
    let trust = Trust::in_key(key.verifier().clone());
    let opened = trust.open(&bytes).map_err(IntegrateError::Signed)?;
    Ok(Some((opened.note, opened.checkpoint)))
}

fn read_settled<S: Storage>(storage: &S) -> Result<(u64, Hash), IntegrateError> {
    let Some(bytes) = storage.read(SETTLED)? else { return Ok((0, Hash::of_nothing())) };
    let checkpoint = str::from_utf8(&bytes).ok().map(|text| format!("settled\n{text}"));
    let checkpoint = checkpoint.and_then(|text| Checkpoint::parse(&text).ok());
    let damaged = || IntegrateError::Damaged { path: SETTLED.to_owned() };
    Ok(checkpoint.ok_or_else(damaged)?.tree())
}

/// By how many bits a leaf's number is more than that of its tile.
fn leaf_shift(content: Content) -> u32 {
    match content {
        Content::Hashes(level) => 8 * (u32::from(level) + 1),
        Content::Entries => 8,
    }
}

fn tile_at(content: Content, index: u64, width: u16) -> Option<Tile> {
    match content {
        Content::Hashes(level) => Tile::of_hashes(level, index, width),
        Content::Entries => Tile::of_entries(index, width),
    }
}

/// The last tile of a kind in a tree that has something in it.
fn last_tile(content: Content, size: u64) -> Option<Tile> {
    let hashes = size >> (leaf_shift(content) - 8);
    Tile::in_tree(content, hashes.checked_sub(1)? >> 8, size)
}

/// The last tile of a kind, if it is not full.
pub(crate) fn partial_tile(content: Content, size: u64) -> Option<Tile> {
    last_tile(content, size).filter(|tile| !tile.is_full())
}
