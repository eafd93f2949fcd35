//! Objects on their way to the store: a few at once, none twice.

use std::{collections::HashSet, mem};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    Digest, Error,
    manifest::{Entry, PART_BYTES_MAX, Slice},
    store::{Store, content_name},
};

/// Objects under way at once: with their bytes, the memory that a backup takes.
const AT_ONCE: usize = 4;
/// Files up to this length share objects.
const SMALL_BYTES_MAX: usize = 1 << 20;

/// Sends what the store does not have.
pub(crate) struct Upload {
    store: Store,
    known: HashSet<Digest>,
    /// Whether objects are sent even when the store has them.
    anew: bool,
    under_way: JoinSet<Result<Option<u64>, Error>>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Upload {
    /// With what is known to be there.
    pub(crate) fn new(store: &Store, known: HashSet<Digest>, anew: bool) -> Self {
        let under_way = JoinSet::new();
        Self { store: store.clone(), known, anew, under_way, objects: 0, bytes: 0 }
    }

    /// Where it sends to.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    /// Sends one object. It is in the store when [`Upload::finish`] says so.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        if !self.known.insert(digest) {
            return Ok(digest);
        }
        while self.under_way.len() >= AT_ONCE {
            self.wait().await?;
        }
        self.under_way.spawn(send(self.store.clone(), digest, bytes, self.anew));
        Ok(digest)
    }

    /// Sends bytes as many objects as it takes.
    pub(crate) async fn send_slices(
        &mut self,
        bytes: &Bytes,
        slices: &mut Vec<Slice>,
    ) -> Result<(), Error> {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(PART_BYTES_MAX as usize));
            let length = part.len() as u64;
            let object = self.send(part).await?;
            slices.push(Slice { object, at: 0, bytes: length });
        }
        Ok(())
    }

    /// Waits until everything is there.
    pub(crate) async fn finish(&mut self) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            self.wait().await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let Some(done) = self.under_way.join_next().await else { return Ok(()) };
        // A task that panicked has said so; its object is not there.
        let sent =
            done.map_err(|_| Error::Missing { object: "an object being sent".to_owned() })?;
        if let Some(bytes) = sent? {
            self.objects += 1;
            self.bytes += bytes;
        }
        Ok(())
    }
}

/// Returns the length of what had to be sent.
async fn send(
    store: Store,
    digest: Digest,
    bytes: Bytes,
    anew: bool,
) -> Result<Option<u64>, Error> {
    let (name, length) = (content_name(digest), bytes.len() as u64);
    // A backup that was cut short has left it there. One of another length is no whole one.
    if !anew && store.length(&name).await? == Some(length) {
        return Ok(None);
    }
    store.put(&name, bytes).await?;
    Ok(Some(length))
}

/// Gathers small files in objects.
#[derive(Default)]
pub(crate) struct Pack {
    bytes: Vec<u8>,
    members: Vec<(String, u64, u64)>,
}

impl Pack {
    /// Whether a file of this length belongs into a pack.
    pub(crate) fn takes(length: usize) -> bool {
        length <= SMALL_BYTES_MAX
    }

    /// Adds a file; returns whether the pack is full.
    pub(crate) fn add(&mut self, path: String, bytes: &[u8]) -> bool {
        self.members.push((path, self.bytes.len() as u64, bytes.len() as u64));
        self.bytes.extend_from_slice(bytes);
        self.bytes.len() >= PART_BYTES_MAX as usize - SMALL_BYTES_MAX
    }

    /// Sends it, and returns where its files lie.
    pub(crate) async fn send(&mut self, upload: &mut Upload) -> Result<Vec<Entry>, Error> {
        let bytes = mem::take(&mut self.bytes);
        let members = mem::take(&mut self.members);
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let object = upload.send(bytes.into()).await?;
        let entry = |(path, at, bytes): (String, u64, u64)| {
            let slices = if bytes > 0 { vec![Slice { object, at, bytes }] } else { Vec::new() };
            Entry { path, bytes, slices }
        };
        Ok(members.into_iter().map(entry).collect())
    }
}
