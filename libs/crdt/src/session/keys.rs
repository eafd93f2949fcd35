//! What the machines ask of whoever holds keys.

use super::{DeviceId, DocumentId, Record, Signature};
use crate::{Batch, BatchHash};

/// Which document, and the key of which of its epochs; epochs begin with 1.
#[derive(Clone, Copy, Debug)]
pub struct KeyPlace<'a> {
    /// Which document.
    pub document: &'a DocumentId,
    /// Which epoch.
    pub epoch: u32,
}

/// Why something sealed cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The key is not here; it may still come.
    NoKey,
    /// It is not what a member sealed.
    Broken,
}

/// The keys of a device, and of the documents that it reads. Nothing here is asked about what is plain.
pub trait Keys {
    /// The device's public key.
    fn device(&self) -> DeviceId;

    /// The device's signature over `bytes`.
    fn sign(&self, bytes: &[u8]) -> Signature;

    /// Returns whether `signature` is that of `device` over `bytes`.
    fn verify(&self, device: DeviceId, bytes: &[u8], signature: &Signature) -> bool;

    /// A batch behind one with the hash `prev`, as it is pushed: the plain header, and the sealed body. Nothing
    /// where the key is missing.
    fn seal_batch(
        &mut self,
        place: KeyPlace<'_>,
        batch: &Batch,
        prev: BatchHash,
    ) -> Option<Vec<u8>>;

    /// What was pushed, read.
    ///
    /// # Errors
    /// A missing key, and what was not sealed with it.
    fn open_batch(&self, place: KeyPlace<'_>, pushed: &[u8]) -> Result<Batch, Unreadable>;

    /// A snapshot as it is offered. Nothing where the key is missing.
    fn seal_snapshot(&mut self, place: KeyPlace<'_>, plain: &[u8]) -> Option<Vec<u8>>;

    /// A snapshot as it was saved.
    ///
    /// # Errors
    /// A missing key, and what was not sealed with it.
    fn open_snapshot(&self, place: KeyPlace<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;

    /// Returns whether the key is here.
    fn has_key(&self, place: KeyPlace<'_>) -> bool {
        self.open_snapshot(place, &[]) != Err(Unreadable::NoKey)
    }

    /// A [`Record::Keys`] of the document's log, whose signature holds; returns whether it is to be believed.
    fn take_keys(&mut self, document: &DocumentId, record: &Record<'_>) -> bool;

    /// A relay does not take these keys, a [`Record::Keys`] as it was pushed, and never will: they are not pushed again.
    fn drop_keys(&mut self, _document: &DocumentId, _record: &[u8]) {}
}
