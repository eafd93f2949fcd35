//! Tokens that were verified already, and who they speak for.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};
use lru::LruCache;

use super::jwk::Key;

/// Parts of the cache, each with its own lock.
const SHARDS: usize = 16;

/// A bounded cache; the least recently used entry goes first. A token is known by its SHA-256, so
/// that the memory of the process holds no credentials longer than it must.
pub(super) struct TokenCache<T> {
    /// Empty: nothing is kept.
    shards: Vec<Mutex<LruCache<Digest, Entry<T>>>>,
}

type Digest = [u8; 32];

struct Entry<T> {
    value: T,
    /// From then on it has expired.
    end: SystemTime,
    /// What vouched for it.
    key: Arc<Key>,
}

/// A token's place in the cache.
#[derive(Clone, Copy)]
pub(super) struct Place(Digest);

impl Place {
    /// The place of a token.
    pub(super) fn of(token: &str) -> Self {
        let mut place = [0; 32];
        place.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(place)
    }
}

impl<T: Clone> TokenCache<T> {
    /// A cache for `entries` tokens, rounded up to a multiple of its parts.
    pub(super) fn new(entries: usize) -> Self {
        let shards = match NonZeroUsize::new(entries.div_ceil(SHARDS)) {
            Some(size) => (0..SHARDS).map(|_| Mutex::new(empty(size))).collect(),
            None => Vec::new(),
        };
        Self { shards }
    }

    /// What was put there, unless the token has expired or its key was retired meanwhile.
    pub(super) fn get(&self, place: Place, now: SystemTime) -> Option<T> {
        let mut shard = self.shard(place)?.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(&place.0)?;
        if now < entry.end && !entry.key.is_retired() {
            return Some(entry.value.clone());
        }
        shard.pop(&place.0);
        None
    }

    /// Keeps `value` until `end`, as long as `key` is published.
    pub(super) fn put(&self, place: Place, value: T, end: SystemTime, key: Arc<Key>) {
        let Some(shard) = self.shard(place) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.put(place.0, Entry { value, end, key });
    }

    fn shard(&self, place: Place) -> Option<&Mutex<LruCache<Digest, Entry<T>>>> {
        self.shards.get(usize::from(place.0[0]) % SHARDS)
    }
}

/// Takes room as tokens come, and not for all of them at the start.
fn empty<T>(size: NonZeroUsize) -> LruCache<Digest, Entry<T>> {
    let mut empty = LruCache::unbounded();
    empty.resize(size);
    empty
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::auth::{algorithm::Algorithm, jwk::KeySet};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn keys(secret: u8) -> KeySet {
        let algorithms = [Algorithm::Hs256].into_iter().collect();
        KeySet::of([Key::from_secret(&[secret; 32], algorithms).unwrap()])
    }

    fn kept(cache: &TokenCache<usize>, tokens: usize) -> usize {
        (0..tokens).filter(|i| cache.get(Place::of(&i.to_string()), at(0)) == Some(*i)).count()
    }

    #[test]
    fn a_token_is_kept_until_it_expires() {
        let cache = TokenCache::new(10);
        let (set, place) = (keys(1), Place::of("t"));
        cache.put(place, 1, at(100), Arc::clone(&set.keys()[0]));
        assert_eq!(cache.get(Place::of("u"), at(50)), None);
        assert_eq!(cache.get(place, at(99)), Some(1));
        assert_eq!(cache.get(place, at(100)), None);
        assert_eq!(cache.get(place, at(50)), None, "what has expired is gone");
    }

    #[test]
    fn a_token_goes_with_its_key() {
        let cache = TokenCache::new(10);
        let first = keys(1);
        let place = Place::of("t");
        cache.put(place, 1, at(100), Arc::clone(&first.keys()[0]));
        let second = keys(1).succeeding(&first);
        assert_eq!(cache.get(place, at(50)), Some(1), "the key is published still");
        let _third = keys(2).succeeding(&second);
        assert_eq!(cache.get(place, at(50)), None);
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = TokenCache::new(100);
        let set = keys(1);
        for i in 0..10_000 {
            cache.put(Place::of(&i.to_string()), i, at(100), Arc::clone(&set.keys()[0]));
        }
        assert_eq!(kept(&cache, 10_000), 7 * SHARDS);

        let none = TokenCache::new(0);
        none.put(Place::of("0"), 0, at(100), Arc::clone(&set.keys()[0]));
        assert_eq!(kept(&none, 1), 0);
    }
}
