//! The log as files, for who reads it: heads, tiles, entries, payloads, proofs.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bundle,
    checkpoint::{CheckpointError, Opened, Trust},
    integrate::CHECKPOINT,
    merkle::{self, Hash, NodeHashes},
    proof::TlogProof,
    store::Storage,
    tile::{Content, Tile, TileCache, TileNodes, Tiles, decode_hashes},
};

/// Why something cannot be read from the log's files.
#[derive(Debug)]
pub enum FilesError {
    /// Reading failed.
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not there.
    Missing {
        /// Which one.
        path: String,
    },
    /// The file is not what its name says.
    Malformed {
        /// Which one.
        path: String,
    },
    /// The log's head is not believed.
    Checkpoint(CheckpointError),
    /// The log has no such entry.
    NoEntry {
        /// How many it has.
        size: u64,
    },
    /// The files do not lead to the root that was signed.
    Inconsistent,
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "`{path}` cannot be read"),
            Self::Missing { path } => write!(f, "`{path}` is missing"),
            Self::Malformed { path } => write!(f, "`{path}` is not what its name says"),
            Self::Checkpoint(_) => write!(f, "`{CHECKPOINT}` is not believed"),
            Self::NoEntry { size } => write!(f, "the log has {size} entries, counted from 0"),
            Self::Inconsistent => f.write_str("the files do not lead to the root that was signed"),
        }
    }
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Checkpoint(error) => Some(error),
            _ => None,
        }
    }
}

/// A log's files, read only.
#[derive(Clone, Copy, Debug)]
pub struct LogFiles<S>(pub S);

impl<S: Storage> LogFiles<S> {
    /// A file that must be there.
    pub fn file(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        let read = self.0.read(path);
        let read = read.map_err(|source| FilesError::Io { path: path.to_owned(), source })?;
        read.ok_or_else(|| FilesError::Missing { path: path.to_owned() })
    }

    /// The log's head, whose signatures are checked.
    pub fn head(&self, trust: &Trust) -> Result<Opened, FilesError> {
        trust.open(&self.file(CHECKPOINT)?).map_err(FilesError::Checkpoint)
    }

    /// The entries of a bundle, or of a longer version of it.
    pub fn bundle(&self, tile: Tile) -> Result<Vec<Vec<u8>>, FilesError> {
        let (found, bytes) = self.tile_bytes(tile)?;
        let malformed = |_| FilesError::Malformed { path: found.path() };
        let entries = bundle::entries(&bytes, usize::from(found.width())).map_err(malformed)?;
        Ok(entries.into_iter().take(usize::from(tile.width())).map(<[u8]>::to_vec).collect())
    }

    /// The entry with this number in a log of `size` entries. Nothing vouches for it.
    pub fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>, FilesError> {
        if index >= size {
            return Err(FilesError::NoEntry { size });
        }
        let tile = Tile::in_tree(Content::Entries, index / 256, size);
        let (found, bytes) = self.tile_bytes(tile.expect("the tree has the leaf"))?;
        let malformed = |_| FilesError::Malformed { path: found.path() };
        let entries = bundle::entries(&bytes, usize::from(found.width())).map_err(malformed)?;
        Ok(entries[(index % 256) as usize].to_vec())
    }

    /// Proves that an entry is in the log, with the entry as extra data. The proof is checked.
    pub fn prove(&self, index: u64, trust: &Trust) -> Result<TlogProof, FilesError> {
        let head = self.head(trust)?;
        let size = head.checkpoint.size;
        let entry = self.entry(index, size)?;
        let path = self.prove_path(index, size)?;
        proven(head, (index, entry), path)
    }

    /// The way from an entry's leaf to the root of the first `size` entries. It is not checked.
    pub fn prove_path(&self, index: u64, size: u64) -> Result<Vec<Hash>, FilesError> {
        if index >= size {
            return Err(FilesError::NoEntry { size });
        }
        merkle::prove_inclusion(&mut self.nodes(size), index, size)
    }

    /// Proves that the log of `old` entries is the beginning of that of `size`.
    pub fn prove_growth(&self, old: u64, size: u64) -> Result<Vec<Hash>, FilesError> {
        if old == 0 || old > size {
            return Err(FilesError::NoEntry { size });
        }
        merkle::prove_consistency(&mut self.nodes(size), old, size)
    }

    /// The root of the first entries of a log of `size`.
    pub fn root(&self, old: u64, size: u64) -> Result<Hash, FilesError> {
        if old > size {
            return Err(FilesError::NoEntry { size });
        }
        merkle::root(&mut self.nodes(size), old)
    }

    /// The nodes of the tree of this size.
    pub fn nodes(&self, size: u64) -> impl NodeHashes<Error = FilesError> {
        TileNodes::new(self, size)
    }

    /// A tile's content. A partial tile may have gone in favour of the full one.
    fn tile_bytes(&self, tile: Tile) -> Result<(Tile, Vec<u8>), FilesError> {
        match self.file(&tile.path()) {
            Err(FilesError::Missing { path }) if !tile.is_full() => {
                let full = tile.filled();
                let bytes = self.file(&full.path());
                bytes.map(|bytes| (full, bytes)).map_err(|_| FilesError::Missing { path })
            }
            bytes => Ok((tile, bytes?)),
        }
    }
}

/// The proof that an entry is under a head, if it is.
fn proven(head: Opened, entry: (u64, Vec<u8>), path: Vec<Hash>) -> Result<TlogProof, FilesError> {
    let (index, entry) = entry;
    let leaf = (index, Hash::of_leaf(&entry));
    let checked = merkle::verify_inclusion(&path, leaf, head.checkpoint.tree());
    checked.map_err(|_| FilesError::Inconsistent)?;
    Ok(TlogProof { extra: Some(entry), index, path, checkpoint: head.note })
}

/// Proves entry after entry. It remembers tiles, and the head as long as its file stays the same: what a proof costs then is
/// to read its entry.
#[derive(Debug)]
pub struct Prover<S> {
    files: LogFiles<S>,
    tiles: Mutex<TileCache>,
    /// The head that was believed last, and the file it was read from.
    head: Mutex<Option<(Vec<u8>, Arc<Opened>)>>,
    trust: Trust,
}

impl<S: Storage> Prover<S> {
    /// Whoever asks for proofs of these files gets them with at most so many tiles in memory, each of 16 KiB.
    pub fn new(files: LogFiles<S>, trust: Trust, tiles_max: usize) -> Self {
        let tiles = Mutex::new(TileCache::new(tiles_max));
        Self { files, tiles, head: Mutex::default(), trust }
    }

    /// Proves that an entry is in the log, as [`LogFiles::prove`] does.
    pub fn prove(&self, index: u64) -> Result<TlogProof, FilesError> {
        self.prove_under(&*self.head()?, index)
    }

    /// The same under a head that was believed before.
    pub fn prove_under(&self, head: &Opened, index: u64) -> Result<TlogProof, FilesError> {
        let size = head.checkpoint.size;
        let entry = self.files.entry(index, size)?;
        let path = self.prove_path(index, size)?;
        proven(head.clone(), (index, entry), path).inspect_err(|_| self.forget())
    }

    /// The way from an entry's leaf to the root, as [`LogFiles::prove_path`] finds it.
    pub fn prove_path(&self, index: u64, size: u64) -> Result<Vec<Hash>, FilesError> {
        if index >= size {
            return Err(FilesError::NoEntry { size });
        }
        // A holder who panicked left whole tiles.
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        merkle::prove_inclusion(&mut tiles.nodes(&self.files, size), index, size)
    }

    /// The log's head. Its signatures are checked when its file is another than the last time: they cost most.
    fn head(&self) -> Result<Arc<Opened>, FilesError> {
        let bytes = self.files.file(CHECKPOINT)?;
        let mut known = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, head)) = known.as_ref().filter(|(known, _)| *known == bytes) {
            return Ok(head.clone());
        }
        let head = Arc::new(self.trust.open(&bytes).map_err(FilesError::Checkpoint)?);
        *known = Some((bytes, head.clone()));
        Ok(head)
    }

    /// A proof came out wrong: if a file is put right, what was read of it before must not stay.
    fn forget(&self) {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<S: Storage> Tiles for &LogFiles<S> {
    type Error = FilesError;

    fn hashes(&mut self, tile: Tile) -> Result<Vec<Hash>, FilesError> {
        let (found, bytes) = self.tile_bytes(tile)?;
        let hashes = decode_hashes(found, &bytes);
        let mut hashes = hashes.ok_or_else(|| FilesError::Malformed { path: found.path() })?;
        hashes.truncate(usize::from(tile.width()));
        Ok(hashes)
    }
}

/// Where a payload lies.
pub fn payload_path(digest: Hash) -> String {
    let name = digest.to_hex();
    format!("payload/{}/{name}", &name[..2])
}
