//! The audit: everything in the files is compared with the signed root, from the root downwards, so
//! that each fault is found where it is.

mod deliveries;
mod strays;

use std::{collections::BTreeSet, fmt};

use crate::{
    bundle,
    checkpoint::{Checkpoint, Opened, Trust},
    entry::{Detail, Entry},
    files::{FilesError, LogFiles, payload_path},
    integrate::CHECKPOINT,
    merkle::{self, Hash, Span},
    store::Storage,
    tile::{Content, TILE_LEVELS, TILE_WIDTH, Tile, complete, decode_hashes},
};
use deliveries::Deliveries;

/// The action of the entry that declares a minimum index; its detail `minimum` says which.
pub const PRUNE_ACTION: &str = "log.prune";

/// After so many faults nothing more is looked for.
pub const FAULTS_MAX: usize = 1_000;

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log's head, if it is believed.
    pub head: Option<Opened>,
    /// How many entries were compared with the tree.
    pub entries: u64,
    /// The first entry that is still there; those before were given up, and an entry says so.
    pub first: u64,
    /// How many payloads were compared with their digests.
    pub payloads: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Something that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The entry, if it is one.
    pub index: Option<u64>,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        if let Some(index) = self.index {
            write!(f, "entry {index}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Every file. A head that was believed before must be the beginning of this one.
    Everything {
        /// The older head.
        since: Option<&'a Checkpoint>,
    },
    /// Only what has come since a head that was believed before.
    Growth {
        /// The older head.
        since: &'a Checkpoint,
    },
}

impl Scope<'_> {
    fn since(&self) -> Option<&Checkpoint> {
        match self {
            Self::Everything { since } => *since,
            Self::Growth { since } => Some(since),
        }
    }

    /// The first entry that is looked at.
    fn from(&self) -> u64 {
        match self {
            Self::Everything { .. } => 0,
            Self::Growth { since } => since.size,
        }
    }
}

/// Compares a log's files with its signed head.
pub fn verify<S: Storage>(files: &LogFiles<S>, trust: &Trust, scope: Scope<'_>) -> Report {
    let mut audit = Audit {
        files,
        from: scope.from(),
        size: 0,
        report: Report::default(),
        missing: BTreeSet::new(),
        unproven: Vec::new(),
        declared: 0,
        payloads: BTreeSet::new(),
        deliveries: Deliveries::default(),
    };
    match files.head(trust) {
        Ok(head) => audit.run(head, &scope),
        Err(error) => audit.fault(CHECKPOINT, None, told(&error)),
    }
    audit.report.faults.sort();
    audit.report
}

struct Audit<'a, S> {
    files: &'a LogFiles<S>,
    from: u64,
    size: u64,
    report: Report,
    /// Full tiles that are not there, the last of them: the leaf behind their last one, and their path.
    missing: BTreeSet<(u64, String)>,
    /// Leaves below tiles of a level above 0 that are gone or wrong.
    unproven: Vec<Span>,
    /// The minimum index that the log's entries declare.
    declared: u64,
    payloads: BTreeSet<Hash>,
    deliveries: Deliveries,
}

impl<S: Storage> Audit<'_, S> {
    fn run(&mut self, head: Opened, scope: &Scope<'_>) {
        let (size, root) = head.checkpoint.tree();
        (self.size, self.report.head) = (size, Some(head));
        if let Some(since) = scope.since() {
            self.compare_heads(since);
        }
        let edge = self.edge();
        let Some(edge) = edge.filter(|edge| edge_root(edge, size) == root) else {
            return self.blame_edge();
        };
        for (level, hashes) in (0..TILE_LEVELS).zip(&edge).rev() {
            if let Some(tile) = last_partial(Content::Hashes(level), size) {
                self.descend(tile, hashes);
            }
        }
        self.judge_missing();
        if matches!(scope, Scope::Everything { .. }) {
            self.look_for_strays();
        }
    }

    fn compare_heads(&mut self, since: &Checkpoint) {
        if since.size > self.size {
            let what = format!(
                "the log has {} entries and had {}: it was rolled back",
                self.size, since.size
            );
            return self.fault(CHECKPOINT, None, what);
        }
        match self.files.root(since.size, self.size) {
            Ok(root) if root == since.root => {}
            Ok(_) => {
                let what =
                    format!("its first {} entries are not those of the older head", since.size);
                self.fault(CHECKPOINT, None, what);
            }
            Err(error) => self.fault(CHECKPOINT, None, told(&error)),
        }
    }

    /// The hashes of the last, partial tile of each level; `None` if one cannot be read.
    fn edge(&mut self) -> Option<Vec<Vec<Hash>>> {
        let rows =
            (0..TILE_LEVELS).map(|level| match last_partial(Content::Hashes(level), self.size) {
                Some(tile) => self.hashes(tile),
                None => Some(Vec::new()),
            });
        // Each is read, so that every one that is wrong is named.
        let rows: Vec<Option<Vec<Hash>>> = rows.collect();
        rows.into_iter().collect()
    }

    /// The last tiles do not lead to the root: those that disagree with what is below are named.
    fn blame_edge(&mut self) {
        let before = self.report.faults.len();
        for level in 0..TILE_LEVELS {
            let tile = last_partial(Content::Hashes(level), self.size);
            let read = tile.and_then(|tile| Some((tile, self.quiet_hashes(tile)?)));
            let Some((tile, hashes)) = read else { continue };
            let wrong = self.below(tile, hashes.len()).iter().zip(&hashes).any(|(a, b)| a != b);
            if wrong {
                self.fault(
                    &tile.path(),
                    None,
                    "it does not agree with what is below it".to_owned(),
                );
            }
        }
        if self.report.faults.len() == before {
            let what = "its root is not that of the tiles".to_owned();
            self.fault(CHECKPOINT, None, what);
        }
    }

    /// The hashes that a tile should have, by what is below it.
    fn below(&self, tile: Tile, width: usize) -> Vec<Hash> {
        if let Content::Hashes(level @ 1..) = tile.content() {
            let first = tile.index() * u64::from(TILE_WIDTH);
            let children = (first..first + width as u64).map_while(|index| {
                self.quiet_hashes(Tile::of_hashes(level - 1, index, TILE_WIDTH)?)
            });
            return children.map(|hashes| complete(&hashes)).collect();
        }
        let bundle = Tile::of_entries(tile.index(), tile.width());
        let entries = bundle.and_then(|bundle| self.files.bundle(bundle).ok()).unwrap_or_default();
        entries.iter().map(|entry| Hash::of_leaf(entry)).collect()
    }

    fn quiet_hashes(&self, tile: Tile) -> Option<Vec<Hash>> {
        decode_hashes(tile, &self.files.file(&tile.path()).ok()?)
    }

    /// Looks at what is below a tile that is believed.
    fn descend(&mut self, tile: Tile, hashes: &[Hash]) {
        let Content::Hashes(level) = tile.content() else { return };
        if level == 0 {
            return self.check_bundle(tile, hashes);
        }
        for (at, hash) in (0..).zip(hashes) {
            let index = tile.index() * u64::from(TILE_WIDTH) + at;
            let child = Tile::of_hashes(level - 1, index, TILE_WIDTH).expect("it is below a tile");
            if child.span().end > self.from && !self.is_full() {
                self.check_child(child, *hash);
            }
        }
    }

    fn check_child(&mut self, child: Tile, expected: Hash) {
        match self.hashes(child) {
            Some(hashes) if complete(&hashes) == expected => return self.descend(child, &hashes),
            Some(_) => {
                self.fault(&child.path(), None, "its hashes are not those of the tree".to_owned());
            }
            None => {}
        }
        self.check_below(child, expected);
    }

    /// Below a tile that is gone or wrong: a bundle has to lead to the same hash, and of everything else
    /// nobody can say what it should be.
    fn check_below(&mut self, tile: Tile, expected: Hash) {
        if tile.content() != Content::Hashes(0) {
            self.unproven.push(tile.span());
            return;
        }
        let bundle = Tile::of_entries(tile.index(), tile.width()).expect("it is beside a tile");
        let Some(bytes) = self.bundle(bundle) else { return };
        let entries = bundle::entries(&bytes, usize::from(bundle.width())).unwrap_or_default();
        let leaves: Vec<Hash> = entries.iter().map(|entry| Hash::of_leaf(entry)).collect();
        if leaves.is_empty() || complete(&leaves) != expected {
            let what = "its entries are not those of the tree".to_owned();
            return self.fault(&bundle.path(), None, what);
        }
        self.check_entries(bundle, &entries, &leaves);
    }

    fn check_bundle(&mut self, tile: Tile, leaves: &[Hash]) {
        let bundle = Tile::of_entries(tile.index(), tile.width()).expect("it is beside a tile");
        let Some(bytes) = self.bundle(bundle) else { return };
        match bundle::entries(&bytes, leaves.len()) {
            Ok(entries) => self.check_entries(bundle, &entries, leaves),
            Err(error) => self.blame_entries(bundle, &bytes, leaves, error.to_string()),
        }
    }

    fn check_entries(&mut self, bundle: Tile, entries: &[&[u8]], leaves: &[Hash]) {
        for ((index, entry), leaf) in (bundle.span().start..).zip(entries).zip(leaves) {
            if index >= self.from && !self.is_full() {
                self.check_entry(bundle, (index, *entry), *leaf);
            }
        }
    }

    /// A bundle that cannot be read to its end: the first entry that is wrong is named.
    fn blame_entries(&mut self, bundle: Tile, bytes: &[u8], leaves: &[Hash], what: String) {
        let good = bundle::readable(bytes).zip(leaves);
        let good = good.take_while(|(entry, leaf)| Hash::of_leaf(entry) == **leaf).count();
        let index = bundle.span().start + good as u64;
        self.fault(&bundle.path(), Some(index), what);
    }

    fn check_entry(&mut self, bundle: Tile, entry: (u64, &[u8]), leaf: Hash) {
        let (index, bytes) = entry;
        if Hash::of_leaf(bytes) != leaf {
            let what = "it is not the entry that the tree has".to_owned();
            return self.fault(&bundle.path(), Some(index), what);
        }
        self.report.entries += 1;
        match Entry::decode(bytes) {
            Ok(entry) => self.read_entry(bundle, index, &entry),
            Err(error) => self.fault(&bundle.path(), Some(index), error.to_string()),
        }
    }

    fn read_entry(&mut self, bundle: Tile, index: u64, entry: &Entry) {
        if let Err(what) = self.deliveries.check(entry, self.from > 0 || !self.missing.is_empty()) {
            self.fault(&bundle.path(), Some(index), what);
        }
        // Only the log's own node gives up entries, whatever others deliver.
        if let (PRUNE_ACTION, None, Some(Detail::Number(minimum))) =
            (&*entry.action, entry.delivery, entry.details.get("minimum"))
        {
            self.declared = self.declared.max(u64::try_from(*minimum).unwrap_or(0).min(index));
        }
        for detail in entry.details.values() {
            if let Detail::Payload(payload) = detail {
                self.check_payload(payload.digest, index);
            }
        }
    }

    fn check_payload(&mut self, digest: Hash, index: u64) {
        if !self.payloads.insert(digest) {
            return;
        }
        let path = payload_path(digest);
        match self.files.file(&path) {
            Ok(content) if Hash::of(&content) == digest => self.report.payloads += 1,
            Ok(_) => {
                let what = "what lies aside for it is not what it was".to_owned();
                self.fault(&path, Some(index), what);
            }
            Err(error) => self.fault(&path, Some(index), told(&error)),
        }
    }

    /// Tiles that are gone are none too many if entries below were given up.
    fn judge_missing(&mut self) {
        let declared = self.declared;
        for (end, path) in std::mem::take(&mut self.missing) {
            if end > declared {
                self.fault(&path, None, "it is missing".to_owned());
            } else if path.starts_with("tile/entries/") {
                self.report.first = self.report.first.max(end);
            }
        }
    }

    /// A tile's hashes; what is wrong is noted.
    fn hashes(&mut self, tile: Tile) -> Option<Vec<Hash>> {
        let bytes = self.tile(tile)?;
        let hashes = decode_hashes(tile, &bytes);
        if hashes.is_none() {
            let what = format!("it has {} bytes, and not 32 for each hash", bytes.len());
            self.fault(&tile.path(), None, what);
        }
        hashes
    }

    fn bundle(&mut self, bundle: Tile) -> Option<Vec<u8>> {
        self.tile(bundle)
    }

    fn tile(&mut self, tile: Tile) -> Option<Vec<u8>> {
        match self.files.file(&tile.path()) {
            Ok(bytes) => Some(bytes),
            Err(FilesError::Missing { path }) if tile.is_full() => {
                self.missing.insert((tile.span().end, path));
                if self.missing.len() > FAULTS_MAX {
                    self.missing.pop_first();
                }
                None
            }
            Err(error) => {
                self.fault(&tile.path(), None, told(&error));
                None
            }
        }
    }

    fn is_full(&self) -> bool {
        self.report.faults.len() >= FAULTS_MAX
    }

    fn fault(&mut self, path: &str, index: Option<u64>, what: String) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(Fault { path: path.to_owned(), index, what });
        }
    }
}

/// An error with its cause, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn last_partial(content: Content, size: u64) -> Option<Tile> {
    crate::integrate::partial_tile(content, size)
}

/// The root that the last tiles of each level lead to.
fn edge_root(rows: &[Vec<Hash>], size: u64) -> Hash {
    let mut nodes = Edge(rows);
    merkle::root(&mut nodes, size).unwrap_or_else(|never| match never {})
}

/// The complete subtrees of a tree, which lie in the last tile of each level.
struct Edge<'a>(&'a [Vec<Hash>]);

impl merkle::NodeHashes for Edge<'_> {
    type Error = std::convert::Infallible;

    fn node(&mut self, level: u8, number: u64) -> Result<Hash, Self::Error> {
        let (row, above) = (&self.0[usize::from(level / 8)], u32::from(level % 8));
        let first = ((number << above) % 256) as usize;
        Ok(complete(&row[first..first + (1 << above)]))
    }
}
