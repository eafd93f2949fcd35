//! What was used lately, up to a weight.

use std::collections::BTreeMap;

/// A bounded cache by position in the log. The largest entry is kept even where it is above the bound.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    entries: BTreeMap<u64, Entry<T>>,
    weight: usize,
    weight_max: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    weight: usize,
    used: u64,
}

impl<T: Clone> Recent<T> {
    pub(crate) fn new(weight_max: usize) -> Self {
        Self { entries: BTreeMap::new(), weight: 0, weight_max, clock: 0 }
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<T> {
        self.clock += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Takes something in, and lets go what was not used for longest.
    pub(crate) fn put(&mut self, key: u64, value: T, weight: usize) {
        self.remove(key);
        while self.weight + weight > self.weight_max
            && let Some(oldest) = self.oldest()
        {
            self.remove(oldest);
        }
        self.weight += weight;
        self.clock += 1;
        self.entries.insert(key, Entry { value, weight, used: self.clock });
    }

    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.weight -= entry.weight;
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key)
    }
}
