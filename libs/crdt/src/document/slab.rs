//! Things in a vector that are named by their place, which is used again when they go.

/// Things by their place.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { items: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Slab<T> {
    pub fn with_capacity(capacity: usize) -> Self {
        Slab { items: Vec::with_capacity(capacity), free: Vec::new() }
    }

    pub fn insert(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.items[at as usize] = item;
            return at;
        }
        let at = u32::try_from(self.items.len()).expect("memory ends before four billion things");
        self.items.push(item);
        at
    }

    pub fn remove(&mut self, at: u32) -> T {
        self.free.push(at);
        std::mem::take(&mut self.items[at as usize])
    }

    /// What is in a place, if anything ever was.
    pub fn find(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize)
    }

    pub fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    pub fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.items[at as usize]
    }
}
