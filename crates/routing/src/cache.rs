//! What host and path led to, remembered.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::{index::Entry, request::RequestView};

/// Longer keys are not cached: they are rare, and a client could fill memory with them.
const KEY_BYTES_MAX: usize = 512;

/// Longer lists are not cached, for the same reason.
const CANDIDATES_MAX: usize = 64;

/// Host, a zero byte, path.
type Key = Box<[u8]>;

/// In the order in which they are asked.
type Candidates = Box<[Entry]>;

/// Remembers which routes a host and path lead to, for one core.
///
/// It holds at most the given number of entries; the least recently used one goes. An entry holds the
/// candidates that host and path leave, in the order in which they are asked; conditions on method,
/// headers and query are asked anew for each request. So the key is all that the remembered part has
/// looked at, and a client cannot fill the cache by varying headers.
///
/// A cache serves one [`Router`](crate::Router) at a time: with another router it starts empty.
#[derive(Debug)]
pub struct RouteCache {
    entries: Option<LruCache<Key, Candidates>>,
    /// Where keys are put together, so that a hit does not allocate.
    key: Vec<u8>,
    generation: u64,
}

impl RouteCache {
    /// A cache of at most `capacity` entries; 0 switches it off.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: NonZeroUsize::new(capacity).map(LruCache::new),
            key: Vec::with_capacity(KEY_BYTES_MAX),
            generation: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, LruCache::len)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `request` may be remembered; makes the cache ready for the router of this generation.
    pub(crate) fn prepare(&mut self, generation: u64, request: &RequestView<'_>) -> bool {
        let Some(entries) = &mut self.entries else { return false };
        if self.generation != generation {
            entries.clear();
            self.generation = generation;
        }
        let host = request.host().as_bytes();
        if host.len() + 1 + request.path.len() > KEY_BYTES_MAX {
            return false;
        }
        self.key.clear();
        self.key.extend_from_slice(host);
        self.key.push(0);
        self.key.extend_from_slice(request.path.as_bytes());
        true
    }

    /// The candidates of the request prepared last.
    pub(crate) fn get(&mut self) -> Option<&[Entry]> {
        self.entries.as_mut()?.get(self.key.as_slice()).map(|candidates| &**candidates)
    }

    /// Remembers the candidates of the request prepared last.
    pub(crate) fn insert(&mut self, candidates: Vec<Entry>) {
        if let Some(entries) = &mut self.entries
            && candidates.len() <= CANDIDATES_MAX
        {
            entries.put(self.key.as_slice().into(), candidates.into());
        }
    }
}
