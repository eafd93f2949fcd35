//! The bytes of the key store: a header, then slots of 128 bytes, so that none crosses a sector.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand,
};

use super::{DataKey, KeyError, MasterKey};
use crate::{entry::KeyId, merkle::Hash};

pub(super) const HEADER_BYTES: usize = 128;
pub(super) const SLOT_BYTES: usize = 128;

const MAGIC: &[u8; 16] = b"selvedge-keys v1";
pub(super) const CHECKED: usize = SLOT_BYTES - 8;
const WRAPPED: usize = 12 + 32 + 16;

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SlotState {
    /// It has a key.
    Live = 1,
    /// Its key has been destroyed, and the log may not say so yet.
    Destroyed = 2,
}

/// One key of the store.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) state: SlotState,
    pub(super) id: KeyId,
    pub(super) lookup: [u8; 32],
    hour: bool,
    made: u64,
    secret: [u8; 32],
}

impl Slot {
    /// A new key.
    pub(super) fn generate(lookup: [u8; 32], hour: bool, now: u64) -> Self {
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        let filled = rand::fill(&mut id).and_then(|()| rand::fill(&mut secret));
        filled.expect("the system gives random bytes");
        Self { state: SlotState::Live, id: KeyId(id), lookup, hour, made: now, secret }
    }

    /// What is left of it when its key is gone: the id.
    pub(super) fn destroyed(&self) -> Self {
        let (lookup, secret) = ([0; 32], [0; 32]);
        Self { state: SlotState::Destroyed, lookup, secret, ..*self }
    }

    /// Whether it is the key of an hour, and was made before `time`.
    pub(super) fn is_hour_before(&self, time: u64) -> bool {
        self.state == SlotState::Live && self.hour && self.made < time
    }

    pub(super) fn key(&self) -> DataKey {
        DataKey::new(self.id, self.secret)
    }

    /// State, whether it is an hour's, 2 zeros, when it was made, id, digest of the subject; key wrapped; checksum.
    pub(super) fn encode(&self, master: &MasterKey) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[0] = self.state as u8;
        bytes[1] = u8::from(self.hour);
        bytes[4..12].copy_from_slice(&self.made.to_be_bytes());
        bytes[12..28].copy_from_slice(&self.id.0);
        bytes[28..60].copy_from_slice(&self.lookup);
        if self.state == SlotState::Live {
            let wrapped = wrap(master, &bytes[..60], &self.secret);
            bytes[60..CHECKED].copy_from_slice(&wrapped);
        }
        finish(&mut bytes);
        bytes
    }

    /// Reads a slot; `None` for one that was torn, has rotten, or belongs elsewhere.
    pub(super) fn decode(bytes: &[u8], master: &MasterKey) -> Option<Self> {
        if bytes.len() != SLOT_BYTES || checksum(bytes) != bytes[CHECKED..] {
            return None;
        }
        let made = u64::from_be_bytes(bytes[4..12].try_into().ok()?);
        let id = KeyId(bytes[12..28].try_into().ok()?);
        let lookup = bytes[28..60].try_into().ok()?;
        let (state, secret) = match bytes[0] {
            1 => (SlotState::Live, unwrap(master, &bytes[..60], &bytes[60..CHECKED])?),
            2 => (SlotState::Destroyed, [0; 32]),
            _ => return None,
        };
        Some(Self { state, id, lookup, hour: bytes[1] == 1, made, secret })
    }
}

/// The header of a new store: a key for digests of subjects, wrapped.
pub(super) fn new_header(master: &MasterKey) -> [u8; HEADER_BYTES] {
    let (mut bytes, mut lookup) = ([0; HEADER_BYTES], [0; 32]);
    rand::fill(&mut lookup).expect("the system gives random bytes");
    bytes[..16].copy_from_slice(MAGIC);
    bytes[60..CHECKED].copy_from_slice(&wrap(master, MAGIC, &lookup));
    finish(&mut bytes);
    bytes
}

/// Returns the key for digests of subjects.
pub(super) fn read_header(bytes: &[u8], master: &MasterKey) -> Result<[u8; 32], KeyError> {
    if &bytes[..16] != MAGIC || checksum(bytes) != bytes[CHECKED..] {
        return Err(KeyError::NoStore);
    }
    unwrap(master, MAGIC, &bytes[60..CHECKED]).ok_or(KeyError::WrongMaster)
}

fn finish(bytes: &mut [u8; SLOT_BYTES]) {
    let sum = checksum(bytes);
    bytes[CHECKED..].copy_from_slice(&sum);
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; 8] {
    let digest = Hash::of(&bytes[..CHECKED]).0;
    *digest.first_chunk().expect("SHA-256 has more than 8 bytes")
}

fn wrap(master: &MasterKey, place: &[u8], secret: &[u8; 32]) -> [u8; WRAPPED] {
    let mut nonce = [0; 12];
    rand::fill(&mut nonce).expect("the system gives random bytes");
    let mut text = secret.to_vec();
    sealing(master)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut text)
        .expect("a key is not too long for AES-GCM");
    let mut wrapped = [0; WRAPPED];
    wrapped[..12].copy_from_slice(&nonce);
    wrapped[12..].copy_from_slice(&text);
    wrapped
}

fn unwrap(master: &MasterKey, place: &[u8], wrapped: &[u8]) -> Option<[u8; 32]> {
    let (nonce, text) = wrapped.split_first_chunk::<12>()?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let secret = sealing(master).open_in_place(nonce, Aad::from(place), &mut text).ok()?;
    (&*secret).try_into().ok()
}

fn sealing(master: &MasterKey) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, master.bytes());
    LessSafeKey::new(key.expect("AES-256 keys have 32 bytes"))
}
