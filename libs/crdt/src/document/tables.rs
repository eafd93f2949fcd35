//! Replicas and fields by small numbers, as they came.

use std::{borrow::Borrow, collections::BTreeMap};

/// Things that are compared once and named by a number from then on.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    items: Vec<T>,
    index: BTreeMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { items: Vec::new(), index: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Table<T> {
    pub fn intern(&mut self, item: &T) -> u32 {
        if let Some(at) = self.index.get(item) {
            return *at;
        }
        let at = u32::try_from(self.items.len()).expect("memory ends before four billion names");
        self.items.push(item.clone());
        self.index.insert(item.clone(), at);
        at
    }

    pub fn find<Q: Ord + ?Sized>(&self, item: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.index.get(item).copied()
    }

    pub fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All, in their own order.
    pub fn sorted(&self) -> impl Iterator<Item = (&T, u32)> {
        self.index.iter().map(|(item, at)| (item, *at))
    }
}
