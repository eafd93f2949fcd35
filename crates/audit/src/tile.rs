//! Tiles and entry bundles: which ones a tree has, how they are called, and which hash lies where
//! (C2SP tlog-tiles).

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use crate::merkle::{Hash, NodeHashes, Span};

/// How many hashes, or entries, a full tile has.
pub const TILE_WIDTH: u16 = 256;

/// How many levels of tiles the largest tree has: each holds eight levels of nodes.
pub const TILE_LEVELS: u8 = 8;

const HEIGHT: u32 = 8;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// Hashes of this level of tiles; those of level 0 are leaves.
    Hashes(u8),
    /// The entries of as many leaves: an entry bundle.
    Entries,
}

impl Content {
    /// The level of tiles that it stands on: bundles lie beside level 0.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Entries => 0,
        }
    }
}

/// A static file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    content: Content,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile at `index` within the `level`; `None` if no tree has it.
    pub fn of_hashes(level: u8, index: u64, width: u16) -> Option<Self> {
        Self { content: Content::Hashes(level), index, width }.checked()
    }

    /// The bundle of entries at `index`; `None` if no tree has it.
    pub fn of_entries(index: u64, width: u16) -> Option<Self> {
        Self { content: Content::Entries, index, width }.checked()
    }

    fn checked(self) -> Option<Self> {
        let level = self.level();
        let possible = level < TILE_LEVELS && (1..=TILE_WIDTH).contains(&self.width);
        let shift = HEIGHT * (u32::from(level) + 1);
        let index_max = u64::MAX.checked_shr(shift).unwrap_or(0);
        (possible && self.index <= index_max).then_some(self)
    }

    /// The tile at `index` as the tree of `size` leaves has it: full, partial or not at all.
    pub fn in_tree(content: Content, index: u64, size: u64) -> Option<Self> {
        let tile = Self { content, index, width: TILE_WIDTH }.checked()?;
        let hashes = size >> (HEIGHT * u32::from(tile.level()));
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(before)?.min(u64::from(TILE_WIDTH));
        Self { width: width as u16, ..tile }.checked()
    }

    /// The tiles that a tree of `new` leaves has and one of `old` leaves had not, from the leaves up:
    /// bundle and hashes side by side.
    pub fn between(old: u64, new: u64) -> impl Iterator<Item = Self> {
        let contents = [Content::Entries].into_iter();
        contents.chain((0..TILE_LEVELS).map(Content::Hashes)).flat_map(move |content| {
            let (from, to) = (hashes_at(content, old), hashes_at(content, new));
            let tiles = if to > from { from / 256..to.div_ceil(256) } else { 0..0 };
            tiles.filter_map(move |index| Self::in_tree(content, index, new))
        })
    }

    /// What lies in it.
    pub fn content(self) -> Content {
        self.content
    }

    /// Its number within its level.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has, from 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never grow.
    pub fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same tile when it is full.
    pub fn filled(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// The leaves that the full tile stands for.
    pub fn span(self) -> Span {
        let shift = HEIGHT * (u32::from(self.level()) + 1);
        let Some(leaves) = 1_u64.checked_shl(shift) else { return Span::of_tree(u64::MAX) };
        let start = self.index.saturating_mul(leaves);
        Span { start, end: start.saturating_add(leaves) }
    }

    /// Where it lies below the log's prefix, such as `tile/0/x001/067.p/12`.
    pub fn path(self) -> String {
        let mut path = String::from("tile/");
        let written = match self.content {
            Content::Hashes(level) => write!(path, "{level}"),
            Content::Entries => write!(path, "entries"),
        };
        written.expect("a string takes all");
        push_index(&mut path, self.index);
        if !self.is_full() {
            write!(path, ".p/{}", self.width).expect("a string takes all");
        }
        path
    }

    /// Reads what [`Tile::path`] writes, and no other spelling.
    pub fn from_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (content, rest) = rest.split_once('/')?;
        let content = match content {
            "entries" => Content::Entries,
            level => Content::Hashes(level.parse().ok()?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let tile = Self { content, index: parse_index(index)?, width }.checked()?;
        (tile.path() == path).then_some(tile)
    }

    fn level(self) -> u8 {
        self.content.level()
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// How many hashes or entries tiles of this kind hold over a tree of `size` leaves.
fn hashes_at(content: Content, size: u64) -> u64 {
    match content {
        Content::Hashes(level) => size >> (HEIGHT * u32::from(level)),
        Content::Entries => size,
    }
}

fn push_index(path: &mut String, index: u64) {
    let digits = format!("{index:03}");
    let padded = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
    for at in (0..padded.len()).step_by(3) {
        path.push_str(if at + 3 < padded.len() { "/x" } else { "/" });
        path.push_str(&padded[at..at + 3]);
    }
}

fn parse_index(text: &str) -> Option<u64> {
    let mut index = 0_u64;
    for part in text.split('/') {
        let digits = part.strip_prefix('x').unwrap_or(part);
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

/// Whoever can read tiles.
pub trait Tiles {
    /// Why a tile cannot be had.
    type Error;

    /// The hashes of a tile, or of a longer version of it.
    fn hashes(&mut self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// The nodes of a tree of a certain size, read from its tiles, each of them once.
#[derive(Debug)]
pub struct TileNodes<T> {
    tiles: T,
    size: u64,
    /// What a proof or a root has needed: a few dozens at most.
    read: Vec<(Tile, Vec<Hash>)>,
}

impl<T: Tiles> TileNodes<T> {
    /// The tree of `size` leaves.
    pub fn new(tiles: T, size: u64) -> Self {
        Self { tiles, size, read: Vec::new() }
    }

    fn read(&mut self, tile: Tile) -> Result<&[Hash], T::Error> {
        let at = match self.read.iter().position(|(known, _)| *known == tile) {
            Some(at) => at,
            None => {
                let hashes = self.tiles.hashes(tile)?;
                self.read.push((tile, hashes));
                self.read.len() - 1
            }
        };
        Ok(&self.read[at].1)
    }
}

impl<T: Tiles> NodeHashes for TileNodes<T> {
    type Error = T::Error;

    fn node(&mut self, level: u8, number: u64) -> Result<Hash, T::Error> {
        let Place { tile, at, above } = Place::of(level, number, self.size);
        let hashes = self.read(tile)?;
        Ok(complete(&hashes[at..at + (1 << above)]))
    }
}

/// Where a node lies: over which hashes of which tile.
struct Place {
    tile: Tile,
    /// The first of its hashes.
    at: usize,
    /// How many levels it is above them.
    above: u32,
}

impl Place {
    /// The place of a node in the tree of `size` leaves.
    fn of(level: u8, number: u64, size: u64) -> Self {
        let (tile_level, above) = (level / 8, u32::from(level % 8));
        let first = number << above;
        let tile = Tile::in_tree(Content::Hashes(tile_level), first / 256, size)
            .expect("proofs ask for nodes that the tree has");
        Self { tile, at: (first % 256) as usize, above }
    }
}

/// Tiles in memory with every node in them, for who proves entry after entry: a hash is computed once, not once for each
/// proof. The tile that was not asked for longest goes first.
#[derive(Debug)]
pub struct TileCache {
    tiles_max: usize,
    known: BTreeMap<Tile, Known>,
    /// Counts questions.
    clock: u64,
}

/// A tile in the cache.
#[derive(Debug)]
struct Known {
    /// Its hashes, then those above each two of them, and so on; one that is partial ends each level early.
    levels: Vec<Vec<Hash>>,
    asked: u64,
}

impl TileCache {
    /// At most so many tiles, each of 16 KiB.
    pub fn new(tiles_max: usize) -> Self {
        Self { tiles_max: tiles_max.max(1), known: BTreeMap::new(), clock: 0 }
    }

    /// The nodes of the tree of `size` leaves. All trees that one cache is asked about are of one log.
    pub fn nodes<T: Tiles>(&mut self, tiles: T, size: u64) -> impl NodeHashes<Error = T::Error> {
        CachedNodes { cache: self, tiles, size }
    }

    /// Forgets all tiles.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    fn levels<T: Tiles>(&mut self, tile: Tile, tiles: &mut T) -> Result<&[Vec<Hash>], T::Error> {
        if !self.known.contains_key(&tile) {
            let levels = levels(tiles.hashes(tile)?);
            self.make_room();
            self.known.insert(tile, Known { levels, asked: 0 });
        }
        self.clock += 1;
        let known = self.known.get_mut(&tile).expect("it was put in");
        known.asked = self.clock;
        Ok(&known.levels)
    }

    fn make_room(&mut self) {
        while self.known.len() >= self.tiles_max {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.asked);
            let oldest = oldest.map(|(tile, _)| *tile).expect("it holds a tile at least");
            self.known.remove(&oldest);
        }
    }
}

/// A tree seen through a cache.
struct CachedNodes<'c, T> {
    cache: &'c mut TileCache,
    tiles: T,
    size: u64,
}

impl<T: Tiles> NodeHashes for CachedNodes<'_, T> {
    type Error = T::Error;

    fn node(&mut self, level: u8, number: u64) -> Result<Hash, T::Error> {
        let Place { tile, at, above } = Place::of(level, number, self.size);
        let levels = self.cache.levels(tile, &mut self.tiles)?;
        Ok(levels[above as usize][at >> above])
    }
}

/// All nodes over complete parts of a tile's hashes, from those up.
fn levels(hashes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![hashes];
    for level in 0..HEIGHT as usize - 1 {
        let pairs = levels[level].chunks_exact(2);
        let above = pairs.map(|pair| Hash::of_node(pair[0], pair[1])).collect();
        levels.push(above);
    }
    levels
}

/// The root over a power of two of hashes.
pub(crate) fn complete(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Hash::of_node(complete(left), complete(right))
        }
    }
}

/// The bytes of a tile with these hashes.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile; `None` if the bytes are not just as many as it has.
pub fn decode_hashes(tile: Tile, bytes: &[u8]) -> Option<Vec<Hash>> {
    if bytes.len() != usize::from(tile.width) * 32 {
        return None;
    }
    let hashes = bytes.chunks_exact(32);
    Some(hashes.map(|hash| Hash(hash.try_into().expect("chunks of 32"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn path(tile: Option<Tile>, expected: &str) {
        let tile = tile.expect("a tile");
        assert_eq!(tile.path(), expected);
        assert_eq!(Tile::from_path(expected), Some(tile));
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        path(Tile::of_hashes(0, 0, 256), "tile/0/000");
        path(Tile::of_hashes(2, 67, 1), "tile/2/067.p/1");
        path(Tile::of_hashes(0, 1_234_067, 256), "tile/0/x001/x234/067");
        path(Tile::of_entries(1_000, 255), "tile/entries/x001/000.p/255");
        path(Tile::of_entries((1 << 56) - 1, 256), "tile/entries/x072/x057/x594/x037/x927/935");
    }

    #[test]
    fn a_tile_has_one_spelling() {
        let wrong = [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x01/000",
            "tile/0/xx01/000",
            "tile/0/x001",
            "tile/0/x001/000/",
            "/tile/0/000",
            "tile/0/+01",
            "tile/entry/000",
            "tile/entries/000.p/1.p/1",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/7/001",
            "tile/entries/x072/x057/x594/x037/x927/936",
            "tile/0/\u{662}00",
        ];
        for path in wrong {
            assert_eq!(Tile::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_has_the_tiles_of_the_specification() {
        let mut counts = BTreeMap::new();
        for tile in Tile::between(0, 70_000) {
            *counts.entry((tile.content(), tile.width())).or_insert(0) += 1;
        }
        let expected = [
            ((Content::Hashes(0), 112), 1),
            ((Content::Hashes(0), 256), 273),
            ((Content::Hashes(1), 17), 1),
            ((Content::Hashes(1), 256), 1),
            ((Content::Hashes(2), 1), 1),
            ((Content::Entries, 112), 1),
            ((Content::Entries, 256), 273),
        ];
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn growth_writes_what_changed() {
        let tiles = |old, new| -> Vec<String> { Tile::between(old, new).map(Tile::path).collect() };
        assert_eq!(tiles(0, 0), Vec::<String>::new());
        assert_eq!(tiles(7, 7), Vec::<String>::new());
        assert_eq!(tiles(0, 1), ["tile/entries/000.p/1", "tile/0/000.p/1"]);
        let two = ["tile/entries/000", "tile/entries/001.p/1"];
        let hashes = ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"];
        assert_eq!(tiles(255, 257), [&two[..], &hashes].concat());
        assert_eq!(tiles(256, 257), ["tile/entries/001.p/1", "tile/0/001.p/1"]);
    }

    #[test]
    fn a_tile_knows_its_leaves() {
        let span = |tile: Option<Tile>| tile.map(Tile::span);
        assert_eq!(span(Tile::of_entries(3, 1)), Some(Span { start: 768, end: 1024 }));
        assert_eq!(span(Tile::of_hashes(1, 1, 256)), Some(Span { start: 65_536, end: 131_072 }));
        assert_eq!(span(Tile::of_hashes(7, 0, 1)), Some(Span { start: 0, end: u64::MAX }));
        let last = Span { start: u64::MAX - 255, end: u64::MAX };
        assert_eq!(span(Tile::of_entries((1 << 56) - 1, 256)), Some(last));
    }
}
