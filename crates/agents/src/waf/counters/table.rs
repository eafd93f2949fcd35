//! Entries in fixed memory, of which those that matter stay.
//!
//! A key has sixteen places where its entry can be. When all of them hold others, the lightest of them gives
//! way, but not at once: each newcomer wears it off with a chance of one in two to the power of what is left
//! of its weight (the decay of HeavyKeeper, Gong et al. 2018). So an entry with one event goes soon, and one
//! with twenty outlasts a million newcomers that all come to its places, unless it is silent meanwhile: its
//! next event makes it whole again. Whoever changes his address with each request gets rid of others like him.
//!
//! Nobody is ever counted for somebody else: a key that finds no place is not counted.

use std::{
    collections::TryReserveError,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;

use super::{
    history::STEPS,
    key::{Key, Secret},
};

/// Places that are looked at together.
const WAYS: usize = 8;
/// Most parts of a table that can be locked each by itself.
const SHARDS_MAX: usize = 64;
/// Sets of places that are worth a lock of their own.
const SETS_PER_SHARD_MIN: usize = 16;
/// A chance that is as good as none.
const LEFT_MAX: u32 = 40;

/// What is kept of a key.
pub(super) trait Entry: Copy + Default {
    /// So many steps have gone by; [`STEPS`] of them leave nothing.
    fn pass(&mut self, steps: u32);

    /// How much would be lost with it; nothing if 0.
    fn weight(&self) -> u32;
}

/// The entries of one kind.
pub(super) struct Table<E> {
    /// A power of two of them.
    shards: Box<[Mutex<Shard<E>>]>,
}

#[repr(align(128))]
struct Shard<E> {
    slots: Box<[[Slot; WAYS]]>,
    entries: Box<[[E; WAYS]]>,
    chance: Rng,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    tag: u64,
    /// The step that the entry is of.
    at: u32,
    worn: u32,
}

#[derive(Clone, Copy)]
struct Place {
    set: usize,
    way: usize,
}

impl<E: Entry> Table<E> {
    /// A table that takes about so many bytes, here and now, and never more.
    pub(super) fn new(bytes: usize, secret: &Secret) -> Result<Self, TryReserveError> {
        let set_bytes = WAYS * (size_of::<Slot>() + size_of::<E>());
        let sets = (bytes / set_bytes).max(1);
        let shards = (sets / SETS_PER_SHARD_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let shard = |index: usize| {
            let chance = Rng::with_seed(secret.seed(index as u64));
            let sets = sets / shards;
            Ok(Mutex::new(Shard { slots: zeros(sets)?, entries: zeros(sets)?, chance }))
        };
        Ok(Self { shards: (0..shards).map(shard).collect::<Result<_, TryReserveError>>()? })
    }

    /// Looks at the entry of this key, as it is in the step `now`, if there is one.
    pub(super) fn find<R>(&self, key: Key, now: u32, look: impl FnOnce(&mut E) -> R) -> Option<R> {
        let mut shard = self.shard(key);
        let place = shard.find(key)?;
        Some(look(shard.touch(place, now)))
    }

    /// Likewise, and makes an entry if there is none; `None`: there is no place for it.
    pub(super) fn enter<R>(&self, key: Key, now: u32, look: impl FnOnce(&mut E) -> R) -> Option<R> {
        let mut shard = self.shard(key);
        let place = match shard.find(key) {
            Some(place) => place,
            None => shard.admit(key, now)?,
        };
        Some(look(shard.touch(place, now)))
    }

    /// How many keys can be kept.
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).slots.len() * WAYS).sum()
    }

    /// Bytes that it takes, now and later.
    pub(super) fn bytes(&self) -> usize {
        self.places() * (size_of::<Slot>() + size_of::<E>())
            + size_of_val::<[Mutex<Shard<E>>]>(&self.shards)
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard<E>> {
        let index = (key.0 >> 104) as usize & (self.shards.len() - 1);
        lock(&self.shards[index])
    }
}

/// A panic in between leaves numbers, and any numbers are an entry.
fn lock<E>(shard: &Mutex<Shard<E>>) -> MutexGuard<'_, Shard<E>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that may not be there, for an agent has a bound.
fn zeros<T: Copy + Default>(sets: usize) -> Result<Box<[[T; WAYS]]>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(sets)?;
    zeros.resize(sets, [T::default(); WAYS]);
    Ok(zeros.into_boxed_slice())
}

/// Never that of a place which nobody has.
fn tag(key: Key) -> u64 {
    key.0 as u64 | 1
}

impl<E: Entry> Shard<E> {
    /// The two sets of a key.
    fn sets(&self, key: Key) -> [usize; 2] {
        let scaled = |bits: u128| ((bits & 0xF_FFFF) as usize * self.slots.len()) >> 20;
        [scaled(key.0 >> 64), scaled(key.0 >> 84)]
    }

    fn find(&self, key: Key) -> Option<Place> {
        let tag = tag(key);
        self.sets(key).into_iter().find_map(|set| {
            let way = self.slots[set].iter().position(|slot| slot.tag == tag)?;
            Some(Place { set, way })
        })
    }

    /// The entry as it is in this step. Clocks of threads may differ by a moment; none turns back.
    fn touch(&mut self, place: Place, now: u32) -> &mut E {
        self.pass(place, now);
        self.slots[place.set][place.way].worn = 0;
        &mut self.entries[place.set][place.way]
    }

    fn pass(&mut self, Place { set, way }: Place, now: u32) {
        let (slot, entry) = (&mut self.slots[set][way], &mut self.entries[set][way]);
        let steps = now.saturating_sub(slot.at);
        if steps > 0 {
            entry.pass(steps.min(STEPS));
            slot.at = now;
        }
    }

    /// A fresh entry for a key that has none.
    fn admit(&mut self, key: Key, now: u32) -> Option<Place> {
        let (place, left) = self.lightest(key, now);
        if left > 0 && !self.wears_off(place, left) {
            return None;
        }
        self.slots[place.set][place.way] = Slot { tag: tag(key), at: now, worn: 0 };
        self.entries[place.set][place.way] = E::default();
        Some(place)
    }

    /// The place of which least is left, and how much.
    fn lightest(&mut self, key: Key, now: u32) -> (Place, u32) {
        let sets = self.sets(key);
        let all = sets.into_iter().flat_map(|set| (0..WAYS).map(move |way| Place { set, way }));
        let mut lightest = (Place { set: sets[0], way: 0 }, u32::MAX);
        for place in all {
            self.pass(place, now);
            let weight = self.entries[place.set][place.way].weight();
            let left = weight.saturating_sub(self.slots[place.set][place.way].worn);
            if left < lightest.1 {
                lightest = (place, left);
            }
        }
        lightest
    }

    /// Whether the entry of which so much is left gives way.
    fn wears_off(&mut self, Place { set, way }: Place, left: u32) -> bool {
        if self.chance.u64(..1 << left.min(LEFT_MAX)) > 0 {
            return false;
        }
        self.slots[set][way].worn += 1;
        left == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::waf::counters::history::Window;

    #[derive(Clone, Copy, Default)]
    struct Times(Window);

    impl Entry for Times {
        fn pass(&mut self, steps: u32) {
            self.0.pass(steps);
        }

        fn weight(&self) -> u32 {
            self.0.sum()
        }
    }

    fn key(number: u32) -> Key {
        Secret::known().key(&[&number.to_be_bytes()])
    }

    fn table(places: usize) -> Table<Times> {
        let bytes = places * (size_of::<Slot>() + size_of::<Times>());
        Table::new(bytes, &Secret::known()).unwrap()
    }

    /// Counts an event of a key, and returns how many there were.
    fn event(table: &Table<Times>, number: u32, now: u32) -> Option<u32> {
        table.enter(key(number), now, |times| {
            times.0.add(1);
            times.0.sum()
        })
    }

    fn known(table: &Table<Times>, number: u32, now: u32) -> u32 {
        table.find(key(number), now, |times| times.0.sum()).unwrap_or_default()
    }

    #[test]
    fn who_changes_keys_gets_rid_of_nobody_who_matters() {
        let table = table(1024);
        for number in 0..50 {
            (0..20).for_each(|_| assert!(event(&table, number, 1).is_some()));
        }
        // Four hundred newcomers for each place, all within one step.
        for number in 1_000..400_000 {
            event(&table, number, 1);
        }
        assert!((0..50).all(|number| known(&table, number, 1) == 20));
    }

    #[test]
    fn who_comes_again_and_again_finds_a_place_in_a_full_table() {
        let table = table(1024);
        for number in 1_000..100_000 {
            event(&table, number, 1);
        }
        for number in 0..50 {
            (0..30).for_each(|_| {
                event(&table, number, 1);
            });
            // What is worn off meanwhile is what it lacks.
            assert!(known(&table, number, 1) >= 15, "{number}: {}", known(&table, number, 1));
        }
    }

    #[test]
    fn memory_is_fixed_and_is_what_was_asked_for() {
        let table = Table::<Times>::new(1 << 20, &Secret::known()).unwrap();
        let bytes = table.bytes();
        assert!((900 << 10..1100 << 10).contains(&bytes), "{bytes}");
        (0..200_000).for_each(|number| {
            event(&table, number, number / 10_000);
        });
        assert_eq!(table.bytes(), bytes);
        let least = Table::<Times>::new(0, &Secret::known()).unwrap();
        assert_eq!(least.places(), WAYS);
    }

    #[test]
    fn threads_share_entries() {
        let table = table(1024);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1_000).for_each(|number| {
                        event(&table, number % 10, 1);
                    });
                });
            }
        });
        assert!((0..10).all(|number| known(&table, number, 1) == 400));
    }

    proptest! {
        /// However little room there is, nobody has more than he did, and with room for all each has all of it.
        #[test]
        fn nobody_is_counted_for_another(
            places in prop_oneof![Just(8_usize), Just(32), Just(4_096)],
            events in prop::collection::vec((0..60_u32, 0..3_u32), 1..500),
        ) {
            let table = table(places);
            let mut truth: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut now = 0;
            for (number, later) in events {
                now += later / 2;
                let own = truth.entry(number).or_default();
                own.push(now);
                let sum = own.iter().filter(|at| now - **at < STEPS).count() as u32;
                let counted = event(&table, number, now);
                prop_assert!(counted.unwrap_or_default() <= sum);
                if places == 4_096 {
                    prop_assert_eq!(counted, Some(sum));
                }
            }
        }
    }
}
