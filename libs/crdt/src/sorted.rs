//! Things in order, by code that is small: a browser would load another B-tree for every type of key.
//!
//! They lie in pieces of a bounded length, so that what comes or goes moves few others. Who asks says on which side of each thing
//! he looks, so that keys can lie anywhere: a list of numbers is kept in the order of what has these numbers.

use std::{borrow::Borrow, cmp::Ordering, fmt, mem};

/// Bytes of a piece, at most; but it has room for some things, however large.
const PIECE_BYTES: usize = 2048;

/// Things in a piece, at most, however large.
const PIECE_LEN_LEAST: usize = 8;

/// Things in an order that their owner knows.
#[derive(Clone)]
pub(crate) struct Sorted<T> {
    /// None is empty.
    pieces: Vec<Vec<T>>,
    len: usize,
}

/// Where a thing is, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    piece: usize,
    at: usize,
}

impl<T> Sorted<T> {
    const PIECE_LEN: usize = if PIECE_BYTES / size_of::<T>() > PIECE_LEN_LEAST {
        PIECE_BYTES / size_of::<T>()
    } else {
        PIECE_LEN_LEAST
    };

    pub const fn new() -> Self {
        Sorted { pieces: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a thing is, or else where it would be; `side` says how another one stands to it.
    pub fn find(&self, side: &dyn Fn(&T) -> Ordering) -> Result<Place, Place> {
        // Most things come in their order.
        if self.last().is_none_or(|last| side(last).is_lt()) {
            return Err(self.end());
        }
        let begins = |piece: &Vec<T>| side(&piece[0]).is_le();
        let piece = self.pieces.partition_point(begins).saturating_sub(1);
        let found = self.pieces[piece].binary_search_by(side);
        found.map(|at| Place { piece, at }).map_err(|at| Place { piece, at })
    }

    /// Behind everything.
    fn end(&self) -> Place {
        let at = self.pieces.last().map_or(0, Vec::len);
        Place { piece: self.pieces.len().saturating_sub(1), at }
    }

    /// The thing itself where a place lies behind the last of its piece.
    fn settled(&self, place: Place) -> Place {
        let is_behind = self.pieces.get(place.piece).is_some_and(|piece| place.at >= piece.len());
        if is_behind { Place { piece: place.piece + 1, at: 0 } } else { place }
    }

    /// What is at a place, or else first behind it.
    pub fn get(&self, place: Place) -> Option<&T> {
        let Place { piece, at } = self.settled(place);
        self.pieces.get(piece)?.get(at)
    }

    pub fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let Place { piece, at } = self.settled(place);
        self.pieces.get_mut(piece)?.get_mut(at)
    }

    /// What is just before a place.
    pub fn before(&self, Place { piece, at }: Place) -> Option<&T> {
        match at.checked_sub(1) {
            Some(at) => self.pieces.get(piece)?.get(at),
            None => self.pieces.get(piece.checked_sub(1)?)?.last(),
        }
    }

    /// Everything from a place on.
    pub fn onward(&self, place: Place) -> impl Iterator<Item = &T> {
        self.pieces.iter().skip(place.piece).flatten().skip(place.at)
    }

    pub fn first(&self) -> Option<&T> {
        self.pieces.first()?.first()
    }

    pub fn last(&self) -> Option<&T> {
        self.pieces.last()?.last()
    }

    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.pieces.last_mut()?.last_mut()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.pieces.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.pieces.iter_mut().flatten()
    }

    /// Puts something where it would be, and returns where it is then.
    pub fn insert(&mut self, mut place: Place, item: T) -> Place {
        if self.pieces.get(place.piece).is_none_or(|piece| piece.len() >= Self::PIECE_LEN) {
            place = self.make_room(place);
        }
        self.pieces[place.piece].insert(place.at, item);
        self.len += 1;
        place
    }

    /// Makes two pieces of one that is full, or the first one, and returns where the place is then.
    fn make_room(&mut self, Place { piece, at }: Place) -> Place {
        let Some(items) = self.pieces.get_mut(piece) else {
            self.pieces.push(Vec::new());
            return Place { piece: 0, at: 0 };
        };
        // What comes in order fills its pieces.
        let half = if at == items.len() { at } else { Self::PIECE_LEN / 2 };
        let rest = items.split_off(half);
        self.pieces.insert(piece + 1, rest);
        if at < half { Place { piece, at } } else { Place { piece: piece + 1, at: at - half } }
    }

    /// Puts something behind everything.
    pub fn push(&mut self, item: T) {
        self.insert(self.end(), item);
    }

    /// Takes out what was found.
    pub fn remove(&mut self, place: Place) -> T {
        let Place { piece, at } = self.settled(place);
        let item = self.pieces[piece].remove(at);
        self.len -= 1;
        let left = self.pieces[piece].len();
        if left == 0 {
            self.pieces.remove(piece);
        } else if left <= Self::PIECE_LEN / 4 {
            self.close_up(piece);
        }
        item
    }

    /// Makes one piece of this one and a neighbour where both have little.
    fn close_up(&mut self, piece: usize) {
        for first in [piece.saturating_sub(1), piece] {
            if let Some([one, other]) = self.pieces.get_mut(first..first + 2)
                && one.len() + other.len() <= Self::PIECE_LEN / 2
            {
                one.append(other);
                self.pieces.remove(first + 1);
                return;
            }
        }
    }

    /// Gives back room that nothing takes.
    pub fn shrink_to_fit(&mut self) {
        self.pieces.iter_mut().for_each(Vec::shrink_to_fit);
        self.pieces.shrink_to_fit();
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        self.pieces.iter_mut().for_each(|piece| piece.retain_mut(&mut keep));
        self.pieces.retain(|piece| !piece.is_empty());
        self.len = self.pieces.iter().map(Vec::len).sum();
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Sorted::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Sorted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for Sorted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Sorted<T> {}

/// Things that are there once, in their own order.
impl<T: Ord> Sorted<T> {
    /// Adds something, and returns whether it was not there.
    pub fn add(&mut self, item: T) -> bool {
        let place = self.find(&|other| other.cmp(&item));
        place.map_err(|place| self.insert(place, item)).is_err()
    }

    /// Takes something out, and returns whether it was there.
    pub fn take(&mut self, item: &T) -> bool {
        self.find(&|other| other.cmp(item)).map(|place| drop(self.remove(place))).is_ok()
    }

    pub fn contains(&self, item: &T) -> bool {
        self.find(&|other| other.cmp(item)).is_ok()
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut sorted = Sorted::new();
        for item in items {
            sorted.add(item);
        }
        sorted
    }
}

/// Values by their keys, in the order of these.
#[derive(Clone, PartialEq, Eq)]
pub struct Map<K, V>(Sorted<(K, V)>);

impl<K, V> Map<K, V> {
    /// Nothing.
    pub const fn new() -> Self {
        Map(Sorted::new())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Map::new();
    }

    /// All, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// All, by key, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// All keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// All values, by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All values, by key, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    /// Gives back room that nothing takes.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// What has the least key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.0.first().map(|(key, value)| (key, value))
    }

    /// Takes out what has the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.0.remove(Place { piece: 0, at: 0 }))
    }
}

impl<K: Ord, V> Map<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        self.0.find(&|(other, _)| other.borrow().cmp(key))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, value) = self.0.get(self.find(key).ok()?)?;
        Some(value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        let (_, value) = self.0.get_mut(place)?;
        Some(value)
    }

    /// Returns whether a key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Gives a key its value, and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => self.0.get_mut(place).map(|(_, old)| mem::replace(old, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// The value of a key, which is given `value` where it has none.
    pub fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        let place = self.find(&key).unwrap_or_else(|place| self.0.insert(place, (key, value)));
        let (_, value) = self.0.get_mut(place).expect("it was there, or was put there");
        value
    }

    /// Takes a key out, and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|place| self.0.remove(place).1)
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Sorts numbers.
pub(crate) fn sort_numbers(numbers: &mut [u32], order: &dyn Fn(u32, u32) -> Ordering) {
    // A standard library that is built for size has a heap for what need not be stable, and merges what is.
    if numbers.len() > 1 {
        numbers.sort_by(|a, b| order(*a, *b));
    }
}

/// Sorts a list by its numbers, with the one code for these; what is equal is in any order.
pub fn sort<T>(items: &mut Vec<T>, order: &dyn Fn(&T, &T) -> Ordering) {
    if items.is_sorted_by(|a, b| order(a, b).is_le()) {
        return;
    }
    let mut numbers: Vec<u32> = (0..items.len() as u32).collect();
    sort_numbers(&mut numbers, &|a, b| order(&items[a as usize], &items[b as usize]));
    let mut unsorted: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(numbers.iter().filter_map(|at| unsorted[*at as usize].take()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// So large that few fit into a piece.
    type Large = [u64; 64];

    #[track_caller]
    fn check(map: &Map<u16, Large>, expected: &BTreeMap<u16, Large>) {
        assert!(map.iter().eq(expected.iter()));
        assert_eq!(map.len(), expected.len());
        assert!(map.0.pieces.iter().all(|piece| (1..=PIECE_LEN_LEAST).contains(&piece.len())));
        assert!(map.values().rev().eq(expected.values().rev()));
    }

    proptest! {
        #[test]
        fn a_map_is_a_tree(steps in prop::collection::vec((0..4u8, 0..120u16), 0..600)) {
            let (mut map, mut tree) = (Map::new(), BTreeMap::new());
            for (at, (step, key)) in steps.into_iter().enumerate() {
                let value = [at as u64; 64];
                match step {
                    0 => prop_assert_eq!(map.remove(&key), tree.remove(&key)),
                    1 => prop_assert_eq!(map.get(&key), tree.get(&key)),
                    _ => prop_assert_eq!(map.insert(key, value), tree.insert(key, value)),
                }
                let place = map.find(&key).unwrap_or_else(|place| place);
                let from = map.0.onward(place).map(|(key, _)| key);
                prop_assert!(from.eq(tree.range(key..).map(|(key, _)| key)));
                let first = map.0.get(place).map(|(key, _)| key);
                prop_assert_eq!(first, tree.range(key..).next().map(|(key, _)| key));
                let before = map.0.before(place).map(|(key, _)| key);
                prop_assert_eq!(before, tree.range(..key).next_back().map(|(key, _)| key));
            }
            check(&map, &tree);
            map.retain(|key, _| key % 3 == 0);
            tree.retain(|key, _| key % 3 == 0);
            check(&map, &tree);
            prop_assert_eq!(map.pop_first(), tree.pop_first());
            check(&map, &tree);
        }

        #[test]
        fn lists_are_sorted(items in prop::collection::vec(0..50u64, 0..200)) {
            let (mut sorted, mut expected) = (items.clone(), items);
            sort(&mut sorted, &Ord::cmp);
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn what_comes_in_order_fills_pieces_and_what_is_left_of_them_is_joined() {
        let mut sorted: Sorted<u32> = (0..4096).collect();
        let len = Sorted::<u32>::PIECE_LEN;
        assert!(sorted.pieces.iter().all(|piece| piece.len() == len));
        (0..4096)
            .filter(|number| number % 16 != 0)
            .for_each(|number| assert!(sorted.take(&number)));
        assert!(sorted.iter().copied().eq((0..4096).step_by(16)));
        assert!(sorted.pieces.len() <= 2, "{}", sorted.pieces.len());
    }
}
