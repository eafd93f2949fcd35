//! Objects of a store, some at once, in whatever order they come.

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{Digest, Error, Store};

/// Objects that are fetched at once.
const AT_ONCE: usize = 4;

/// Fetches objects one after another, a few ahead of whoever takes them.
pub(crate) struct Fetch<I> {
    store: Store,
    left: I,
    under_way: JoinSet<(Digest, Result<Bytes, Error>)>,
}

impl<I: Iterator<Item = Digest>> Fetch<I> {
    pub(crate) fn new(store: &Store, objects: I) -> Self {
        Self { store: store.clone(), left: objects, under_way: JoinSet::new() }
    }

    /// The next object that came, compared with its name, or why it did not; nothing after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<(Digest, Result<Bytes, Error>)>, Error> {
        while self.under_way.len() < AT_ONCE
            && let Some(digest) = self.left.next()
        {
            let store = self.store.clone();
            self.under_way.spawn(async move { (digest, store.content(digest).await) });
        }
        let fetched = self.under_way.join_next().await.transpose();
        fetched.map_err(|error| Error::Unproven(error.to_string()))
    }
}
