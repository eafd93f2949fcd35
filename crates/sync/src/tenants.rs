//! What tenants have: documents that are open, and documents at all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use selvedge_crdt::session::DocumentId;

/// Documents by tenant. A bound of 0 is none.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    /// Of each tenant the documents that somebody has open, and on how many channels.
    open: Mutex<HashMap<String, HashMap<DocumentId, usize>>>,
    /// How many there are at all, where that is bounded: of tenants that have made one since the start.
    made: Mutex<HashMap<String, usize>>,
}

impl Tenants {
    /// Counts a channel; false if the tenant has as many other documents open as it may.
    pub(crate) fn enter(&self, document: &DocumentId, max: usize) -> bool {
        let mut open = locked(&self.open);
        let documents = open.entry(document.tenant().to_owned()).or_default();
        let has_room = max == 0 || documents.len() < max || documents.contains_key(document);
        if has_room {
            *documents.entry(document.clone()).or_default() += 1;
        }
        has_room
    }

    pub(crate) fn exit(&self, document: &DocumentId) {
        let mut open = locked(&self.open);
        let Some(documents) = open.get_mut(document.tenant()) else { return };
        if let Some(channels) = documents.get_mut(document) {
            *channels -= 1;
            if *channels == 0 {
                documents.remove(document);
            }
        }
        if documents.is_empty() {
            open.remove(document.tenant());
        }
    }

    /// Says how many documents a tenant has, if that is not known. Before one of its documents is made it must be.
    pub(crate) fn know(&self, tenant: &str, count: impl FnOnce() -> usize) {
        if !locked(&self.made).contains_key(tenant) {
            // Without the lock, as it may take a while. Nobody makes one meanwhile who does not know.
            let count = count();
            locked(&self.made).entry(tenant.to_owned()).or_insert(count);
        }
    }

    /// Makes one more; false if the tenant has as many as it may.
    pub(crate) fn make(&self, tenant: &str, max: usize) -> bool {
        let mut made = locked(&self.made);
        let Some(documents) = made.get_mut(tenant) else { return max == 0 };
        let has_room = *documents < max;
        *documents += usize::from(has_room);
        has_room
    }

    /// One was not made after all.
    pub(crate) fn unmake(&self, tenant: &str) {
        if let Some(documents) = locked(&self.made).get_mut(tenant) {
            *documents = documents.saturating_sub(1);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str) -> DocumentId {
        DocumentId::new("acme", name).unwrap()
    }

    #[test]
    fn a_document_that_many_have_open_counts_once() {
        let (tenants, other) = (Tenants::default(), DocumentId::new("other", "a").unwrap());
        let [a, b, c] = ["a", "b", "c"].map(document);
        assert!(tenants.enter(&a, 2) && tenants.enter(&a, 2) && tenants.enter(&b, 2));
        assert!(!tenants.enter(&c, 2) && tenants.enter(&a, 2) && tenants.enter(&other, 2));
        tenants.exit(&b);
        assert!(tenants.enter(&c, 2));
        for _ in 0..3 {
            tenants.exit(&a);
        }
        tenants.exit(&c);
        tenants.exit(&other);
        assert!(locked(&tenants.open).is_empty());
        assert!((0..100).all(|number| tenants.enter(&document(&number.to_string()), 0)));
    }

    #[test]
    fn so_many_are_made() {
        let tenants = Tenants::default();
        assert!(tenants.make("acme", 0), "without a bound nothing is counted");
        tenants.know("acme", || 3);
        tenants.know("acme", || unreachable!("it is known"));
        assert!(tenants.make("acme", 4) && !tenants.make("acme", 4));
        tenants.unmake("acme");
        assert!(tenants.make("acme", 4));
    }
}
