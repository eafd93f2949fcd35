//! The key of an epoch, and the keys that are derived from it.

use std::{fmt, num::NonZeroU32};

use hkdf::Hkdf;
use selvedge_crdt::session::{DocumentId, Sealing};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{SECRET_BYTES, cipher::Cipher};

/// The number of an epoch, from 1.
pub type Epoch = NonZeroU32;

/// A hash of an epoch's key that says nothing about it, and by which it is known: a roster tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commitment(pub [u8; 32]);

/// The key under which a document is sealed until somebody is removed.
pub struct EpochKey {
    document: DocumentId,
    epoch: Epoch,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    commitment: Commitment,
    pub(crate) batches: Cipher,
    pub(crate) snapshots: Cipher,
    pub(crate) presence: Cipher,
    pub(crate) names: Cipher,
}

impl EpochKey {
    /// The key of `document` in `epoch`; `secret` is random.
    pub fn new(document: &DocumentId, epoch: Epoch, secret: [u8; SECRET_BYTES]) -> Self {
        let root = Hkdf::<Sha256>::new(Some(b"selvedge-seal.1 epoch"), &secret);
        let derived = |purpose: &str| expand(&root, &place(purpose, document, epoch));
        EpochKey {
            document: document.clone(),
            epoch,
            secret: Zeroizing::new(secret),
            commitment: Commitment(derived("commitment")),
            batches: Cipher::new(derived("batch")),
            snapshots: Cipher::new(derived("snapshot")),
            presence: Cipher::new(derived("presence")),
            names: Cipher::new(derived("names")),
        }
    }

    /// Of which document.
    pub fn document(&self) -> &DocumentId {
        &self.document
    }

    /// Of which epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What records that are sealed under this say of it.
    pub fn sealing(&self) -> Sealing {
        Sealing::Epoch(self.epoch.get())
    }

    /// By what it is known.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// Where what is sealed for `purpose` belongs.
    pub(crate) fn place(&self, purpose: &str) -> Vec<u8> {
        place(purpose, &self.document, self.epoch)
    }

    pub(crate) fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }
}

/// What is sealed, or derived, and for which document and epoch: no two lists of these have the same bytes.
pub(crate) fn place(purpose: &str, document: &DocumentId, epoch: Epoch) -> Vec<u8> {
    let mut place = Vec::with_capacity(64);
    place.extend(b"selvedge-seal.1 ");
    place.extend(purpose.as_bytes());
    place.push(0);
    document.write(&mut place);
    place.extend(epoch.get().to_le_bytes());
    place
}

/// 32 bytes derived for `info`.
pub(crate) fn expand(root: &Hkdf<Sha256>, info: &[u8]) -> [u8; SECRET_BYTES] {
    let mut derived = [0; SECRET_BYTES];
    root.expand(info, &mut derived).expect("HKDF gives up to 255 times as much");
    derived
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, epoch, .. } = self;
        write!(f, "EpochKey({document}, epoch {epoch})")
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "Commitment({first:02x}{second:02x}…)")
    }
}
