//! Buckets of one policy in fixed memory: what is not full is never forgotten.
//!
//! A bucket that is full again says nothing, so its place may be given away; any other is kept,
//! whatever comes in. Otherwise who wants a fresh bucket would push out the old one with made-up
//! keys. A key has sixteen places where it can be. When all of them hold others that are not full,
//! it shares a bucket with those whom chance sends there too, and when a place becomes free it
//! takes the state of the shared bucket with it. So no key ever gets more than its own bucket would
//! give; at worst it gets less.
//!
//! Keys come as digests that nobody outside can compute, so no two of them can be made to meet.

use std::{
    collections::TryReserveError,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Places that are looked at together: their tags fill a line of the processor's cache.
const WAYS: usize = 8;
/// Most parts of a table that can be locked each by itself.
const SHARDS_MAX: usize = 64;
/// Sets of places that are worth a lock of their own.
const SETS_PER_SHARD_MIN: usize = 64;
/// Shared buckets of each shard.
const SHARED: usize = 16;

/// Most keys that a table can be made for: 2.4 GB of them.
pub const KEYS_MAX: usize = 100_000_000;

/// A key as the table sees it: 128 bits of a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u128);

/// The timestamps of all keys of one policy.
#[derive(Debug)]
pub struct Table {
    /// A power of two of them.
    shards: Box<[Mutex<Shard>]>,
}

/// A part of a table under one lock.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    tags: Box<[[u64; WAYS]]>,
    /// For each tag the moment at which its bucket is full. Past means free.
    tats: Box<[[u128; WAYS]]>,
    /// Of those who found no place.
    shared: [u128; SHARED],
}

/// One key's bucket, locked.
#[derive(Debug)]
pub struct Bucket<'t> {
    shard: MutexGuard<'t, Shard>,
    tag: u64,
    place: Place,
    tat: u128,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Its own, or one that is free.
    Own {
        set: usize,
        way: usize,
    },
    Shared(usize),
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Keys whose buckets are not full.
    pub live: usize,
    /// Shared buckets that are not full.
    pub shared: usize,
    /// Keys that can be kept apart.
    pub places: usize,
}

impl Table {
    /// A table for at least `keys` keys, [`KEYS_MAX`] at most. Its memory is taken here and does
    /// not grow later.
    pub fn new(keys: usize) -> Result<Self, TryReserveError> {
        let sets = keys.clamp(1, KEYS_MAX).div_ceil(WAYS);
        let shards = (sets / SETS_PER_SHARD_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let sets = sets.div_ceil(shards);
        let shards = (0..shards).map(|_| Shard::new(sets).map(Mutex::new));
        Ok(Self { shards: shards.collect::<Result<_, _>>()? })
    }

    /// A table with the same buckets, their timestamps changed.
    pub fn converted(&self, change: impl Fn(u128) -> u128) -> Result<Self, TryReserveError> {
        let convert = |shard: &Mutex<Shard>| {
            let old = lock(shard);
            let mut new = Shard::new(old.tags.len())?;
            new.tags.copy_from_slice(&old.tags);
            new.shared = old.shared.map(&change);
            let tats = new.tats.as_flattened_mut().iter_mut().zip(old.tats.as_flattened());
            tats.for_each(|(new, old)| *new = change(*old));
            Ok::<_, TryReserveError>(Mutex::new(new))
        };
        Ok(Self { shards: self.shards.iter().map(convert).collect::<Result<_, _>>()? })
    }

    /// The bucket of a key, which nobody else can touch meanwhile.
    ///
    /// Who holds several at once takes them from one table each and always in the same order of
    /// tables: then nobody waits in a circle.
    pub fn bucket(&self, digest: Digest, now: u128) -> Bucket<'_> {
        let (place, tag) = split(digest);
        let index = place.shard & (self.shards.len() - 1);
        let shard = lock(&self.shards[index]);
        let (place, tat) = shard.find(&place, tag, now);
        Bucket { shard, tag, place, tat }
    }

    /// How full it is. Looks at everything; for reports.
    pub fn usage(&self, now: impl Fn() -> u128) -> Usage {
        let mut usage = Usage { live: 0, shared: 0, places: 0 };
        for shard in &self.shards {
            let shard = lock(shard);
            let now = now();
            let live = |tats: &[u128]| tats.iter().filter(|tat| **tat > now).count();
            usage.live += live(shard.tats.as_flattened());
            usage.shared += live(&shard.shared);
            usage.places += shard.tags.len() * WAYS;
        }
        usage
    }

    /// Bytes that it takes, now and later.
    pub fn bytes(&self) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let sets = lock(shard).tags.len();
            size_of::<Mutex<Shard>>() + sets * WAYS * (size_of::<u64>() + size_of::<u128>())
        };
        self.shards.iter().map(of).sum()
    }
}

/// A panic in between leaves timestamps, and any timestamp is a bucket.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that may not be there, for an agent has a bound.
fn zeros<T: Copy + Default>(sets: usize) -> Result<Box<[[T; WAYS]]>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(sets)?;
    zeros.resize(sets, [T::default(); WAYS]);
    Ok(zeros.into_boxed_slice())
}

/// Where to look for a key.
struct Search {
    shard: usize,
    sets: [u32; 2],
    shared: usize,
}

/// Bits of the number that chooses a set.
const SET_BITS: u32 = 29;

fn split(digest: Digest) -> (Search, u64) {
    let (high, low) = ((digest.0 >> 64) as u64, digest.0 as u64);
    let bits = |range: Range<u32>| (high >> range.start) as u32 & ((1 << range.len()) - 1);
    let search = Search {
        shard: bits(58..64) as usize,
        sets: [bits(0..SET_BITS), bits(SET_BITS..2 * SET_BITS)],
        shared: low as usize % SHARED,
    };
    (search, low)
}

impl Shard {
    fn new(sets: usize) -> Result<Self, TryReserveError> {
        Ok(Self { tags: zeros(sets)?, tats: zeros(sets)?, shared: [0; SHARED] })
    }

    fn find(&self, search: &Search, tag: u64, now: u128) -> (Place, u128) {
        let scaled = |bits: u32| ((u64::from(bits) * self.tags.len() as u64) >> SET_BITS) as usize;
        let sets = search.sets.map(scaled);
        for set in sets {
            if let Some(way) = self.tags[set].iter().position(|own| *own == tag) {
                return (Place::Own { set, way }, self.tats[set][way].max(now));
            }
        }
        let place = self.free(sets, now).unwrap_or(Place::Shared(search.shared));
        // Whether it shared a bucket before is not known; if so, that is what it comes from.
        (place, self.shared[search.shared].max(now))
    }

    /// A place whose bucket is full again, in the set that has more of them.
    fn free(&self, sets: [usize; 2], now: u128) -> Option<Place> {
        let free = |set: usize| self.tats[set].iter().filter(|tat| **tat <= now).count();
        let set = if free(sets[1]) > free(sets[0]) { sets[1] } else { sets[0] };
        let way = self.tats[set].iter().position(|tat| *tat <= now)?;
        Some(Place::Own { set, way })
    }
}

impl Bucket<'_> {
    /// When the bucket is full; not before `now`.
    pub fn tat(&self) -> u128 {
        self.tat
    }

    /// Whether other keys share it.
    pub fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// Says when the bucket will be full: never earlier than it was.
    pub fn set(mut self, tat: u128) {
        debug_assert!(tat >= self.tat, "a bucket fills by time alone");
        match self.place {
            Place::Own { set, way } => {
                self.shard.tags[set][way] = self.tag;
                self.shard.tats[set][way] = tat;
            }
            Place::Shared(index) => self.shard.shared[index] = tat,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A digest as good as any, without a secret.
    fn digest(key: u64) -> Digest {
        let mix = |seed: u64| {
            let mut word = (key ^ seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
            for _ in 0..3 {
                word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word ^= word >> 27;
            }
            u128::from(word)
        };
        Digest((mix(1) << 64) | mix(2 << 60))
    }

    fn sized(keys: usize) -> Table {
        Table::new(keys).unwrap()
    }

    /// Takes a token that comes back after `step` from a bucket of `depth`, if there is one.
    fn take(table: &Table, key: u64, now: u128, step: u128, depth: u128) -> bool {
        let bucket = table.bucket(digest(key), now);
        let tat = bucket.tat() + step;
        if tat - now > depth {
            return false;
        }
        bucket.set(tat);
        true
    }

    #[test]
    fn a_hot_key_stays_whatever_comes_in() {
        let table = sized(512);
        let places = table.usage(|| 0).places as u64;
        let (step, depth) = (1_000_000, 5_000_000);
        let hot = 7;
        let drained = (0..100).filter(|_| take(&table, hot, 0, step, depth)).count();
        assert_eq!(drained, 5);
        // A hundred times as many keys as there are places, all before a single token is back.
        for key in 1_000..1_000 + 100 * places {
            take(&table, key, 0, step, depth);
            assert!(!take(&table, hot, 999_999, step, depth), "the limit came back with key {key}");
        }
        let usage = table.usage(|| 0);
        assert_eq!(usage.shared, SHARED, "every shared bucket is in use");
        // Who comes from a shared bucket that is empty does not even get a place.
        assert!(usage.live * 100 > usage.places * 95, "{usage:?}");
        assert!(take(&table, hot, 1_000_000, step, depth), "time alone brings a token back");
        assert!(!take(&table, hot, 1_000_000, step, depth));
    }

    #[test]
    fn moving_out_of_a_shared_bucket_brings_nothing() {
        let table = sized(8);
        let (step, depth) = (10, 50);
        for key in 0..1_000 {
            take(&table, key, 0, step, depth);
        }
        // Everyone but eight now shares, and all shared buckets are empty. At 10 the eight places
        // are free again, and who moves in does not get a fresh bucket.
        let mover = (2_000..3_000).find(|key| !take(&table, *key, 9, step, depth)).expect("shared");
        assert!(
            take(&table, mover, 10, step, depth),
            "one token has come back to the shared bucket"
        );
        assert!(!take(&table, mover, 10, step, depth), "and no more than that");
        assert_eq!(table.usage(|| 10).live, 1, "although it has a place of its own");
    }

    #[test]
    fn keys_have_places_until_the_table_is_nearly_full() {
        let table = sized(100_000);
        let places = table.usage(|| 0).places;
        for key in 0..places as u64 * 3 / 4 {
            assert!(take(&table, key, 0, 1, 5));
        }
        let usage = table.usage(|| 0);
        assert!(usage.shared * 1_000 < usage.live, "{usage:?}");
    }

    #[test]
    fn memory_is_fixed() {
        let table = sized(100_000);
        let bytes = table.bytes();
        assert_eq!(table.usage(|| 0).places, 100_352, "rounded up to whole sets");
        assert!((100_000 * 24..100_000 * 25).contains(&bytes), "{bytes}");
        for key in 0..300_000 {
            take(&table, key, 0, 1, 1);
        }
        assert_eq!(table.bytes(), bytes);
        assert_eq!(sized(0).usage(|| 0).places, WAYS);
    }

    proptest! {
        /// Each key gets no more than a bucket that is only its own would give it.
        #[test]
        fn nobody_gets_more_than_alone(
            keys in 1..=40_usize, step in 1..=20_u64, burst in 1..=6_u64,
            asked in prop::collection::vec((0..60_u64, 0..=3_u64), 1..2_000),
        ) {
            let table = sized(keys);
            let (step, depth) = (u128::from(step), u128::from(step * burst));
            let mut alone: BTreeMap<u64, u128> = BTreeMap::new();
            let mut now = 0;
            for (key, later) in asked {
                now += u128::from(later);
                let tat = alone.entry(key).or_default();
                if take(&table, key, now, step, depth) {
                    *tat = (*tat).max(now) + step;
                    prop_assert!(*tat - now <= depth, "key {} got a token that it had not", key);
                }
            }
        }

        /// With places for all, each key gets precisely what it would get alone.
        #[test]
        fn with_room_for_all_each_is_alone(
            step in 1..=20_u64, burst in 1..=6_u64,
            asked in prop::collection::vec((0..20_u64, 0..=3_u64), 1..2_000),
        ) {
            let table = sized(4_096);
            let (step, depth) = (u128::from(step), u128::from(step * burst));
            let mut alone: BTreeMap<u64, u128> = BTreeMap::new();
            let mut now = 0;
            for (key, later) in asked {
                now += u128::from(later);
                let tat = alone.entry(key).or_default();
                let conforms = (*tat).max(now) + step - now <= depth;
                prop_assert_eq!(take(&table, key, now, step, depth), conforms);
                *tat = if conforms { (*tat).max(now) + step } else { *tat };
            }
        }
    }
}
