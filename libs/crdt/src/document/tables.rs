//! Replicas and fields by small numbers, as they came.

use std::cmp::Ordering;

use crate::sorted::Sorted;

/// Things that are compared once and named by a number from then on.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    items: Vec<T>,
    /// Their numbers, in their own order.
    index: Sorted<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { items: Vec::new(), index: Sorted::new() }
    }
}

impl<T: Ord + Clone> Table<T> {
    pub fn intern(&mut self, item: &T) -> u32 {
        let found = self.index.find(&|at| self.get(*at).cmp(item));
        let place = match found {
            Ok(place) => return *self.index.get(place).expect("it was found"),
            Err(place) => place,
        };
        let at = u32::try_from(self.items.len()).expect("memory ends before four billion names");
        self.items.push(item.clone());
        self.index.insert(place, at);
        at
    }

    pub fn find(&self, item: &T) -> Option<u32> {
        self.find_by(&|other| other.cmp(item))
    }

    /// The number of something by a key of it; `side` says how another one stands to that.
    pub fn find_by(&self, side: &dyn Fn(&T) -> Ordering) -> Option<u32> {
        let place = self.index.find(&|at| side(self.get(*at))).ok()?;
        self.index.get(place).copied()
    }

    pub fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All, in their own order.
    pub fn sorted(&self) -> impl Iterator<Item = (&T, u32)> {
        self.index.iter().map(|at| (self.get(*at), *at))
    }
}
