//! The keys of a document that a device holds.

use std::{error::Error, fmt};

use selvedge_crdt::{
    session::{DocumentId, Sealing},
    sorted::Map,
};

use crate::{
    SECRET_BYTES,
    cipher::OpenError,
    epoch::{Epoch, EpochKey},
};

/// Keys of one document, by epoch.
#[derive(Debug)]
pub struct Keyring {
    document: DocumentId,
    keys: Map<Epoch, EpochKey>,
}

/// Two keys for one epoch: somebody lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict(pub Epoch);

impl Keyring {
    /// No keys of `document`.
    pub fn new(document: &DocumentId) -> Self {
        Keyring { document: document.clone(), keys: Map::new() }
    }

    /// Of which document.
    pub fn document(&self) -> &DocumentId {
        &self.document
    }

    /// Takes over a key that was kept.
    ///
    /// # Errors
    /// Another key of the same epoch.
    pub fn insert(&mut self, epoch: Epoch, secret: [u8; SECRET_BYTES]) -> Result<(), Conflict> {
        self.take(EpochKey::new(&self.document, epoch, secret))
    }

    /// Takes all of these, or none.
    pub(crate) fn take_all(&mut self, keys: Vec<EpochKey>) -> Result<(), Conflict> {
        keys.iter().try_for_each(|key| self.admits(key))?;
        keys.into_iter().try_for_each(|key| self.take(key))
    }

    fn take(&mut self, key: EpochKey) -> Result<(), Conflict> {
        self.admits(&key)?;
        self.keys.get_or_insert(key.epoch(), key);
        Ok(())
    }

    fn admits(&self, key: &EpochKey) -> Result<(), Conflict> {
        let known = self.keys.get(&key.epoch());
        let same = known.is_none_or(|known| known.commitment() == key.commitment());
        if same { Ok(()) } else { Err(Conflict(key.epoch())) }
    }

    /// The key of an epoch.
    pub fn get(&self, epoch: Epoch) -> Option<&EpochKey> {
        self.keys.get(&epoch)
    }

    /// The key that what is sealed like this opens with.
    ///
    /// # Errors
    /// A key that this device was not given, and what is not sealed at all: where a document is sealed, nothing that
    /// is plain is to be believed.
    pub fn of(&self, sealing: Sealing) -> Result<&EpochKey, OpenError> {
        let epoch = Epoch::new(sealing.epoch());
        epoch.and_then(|epoch| self.get(epoch)).ok_or(OpenError::Epoch(sealing.epoch()))
    }

    /// The key of the last epoch.
    pub fn newest(&self) -> Option<&EpochKey> {
        self.keys.values().next_back()
    }

    /// All keys, that of the last epoch first.
    pub fn newest_first(&self) -> impl Iterator<Item = &EpochKey> {
        self.keys.values().rev()
    }

    /// All keys with their secrets, to be kept, by epoch.
    pub fn secrets(&self) -> impl Iterator<Item = (Epoch, &[u8; SECRET_BYTES])> + Clone {
        self.keys.iter().map(|(epoch, key)| (*epoch, key.secret()))
    }

    /// The first epoch from which on all keys up to `last` are here.
    pub(crate) fn first_up_to(&self, last: Epoch) -> Option<Epoch> {
        let mut first = None;
        for epoch in (1..=last.get()).rev().map_while(Epoch::new) {
            if !self.keys.contains_key(&epoch) {
                break;
            }
            first = Some(epoch);
        }
        first
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is another key of epoch {} already", self.0)
    }
}

impl Error for Conflict {}
