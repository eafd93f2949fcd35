//! What devices show of themselves at the moment.

use selvedge_crdt::session::{DeviceId, PRESENCE_BYTES_MAX};

use crate::{
    NONCE_BYTES,
    cipher::{Cipher, OpenError},
    epoch::EpochKey,
};

/// Bytes of the device and the time in front of the state.
const HEAD_BYTES: usize = 32 + 8;

/// Bytes of a state that can be sealed, at most.
pub const PRESENCE_STATE_BYTES_MAX: usize = 3968 - 4 - HEAD_BYTES;

const _: () =
    assert!(Cipher::sealed_len(HEAD_BYTES + PRESENCE_STATE_BYTES_MAX) <= PRESENCE_BYTES_MAX);

/// A device's presence. Any member can say this in another's name, as it is not signed; the relay cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whose.
    pub device: DeviceId,
    /// When, by its clock, in milliseconds since 1970: a relay can say again what was said before.
    pub at_ms: u64,
    /// What the application shows.
    pub state: Vec<u8>,
}

impl EpochKey {
    /// Seals a presence, unless its state is larger than [`PRESENCE_STATE_BYTES_MAX`]. `nonce` is random.
    pub fn seal_presence(&self, presence: &Presence, nonce: [u8; NONCE_BYTES]) -> Option<Vec<u8>> {
        let Presence { device, at_ms, state } = presence;
        if state.len() > PRESENCE_STATE_BYTES_MAX {
            return None;
        }
        let mut out = Vec::new();
        let parts = [&device.0[..], &at_ms.to_le_bytes(), state];
        self.presence.seal(nonce, &self.place("presence"), &parts, &mut out);
        Some(out)
    }

    /// Opens a presence.
    ///
    /// # Errors
    /// What was not sealed here by a member.
    pub fn open_presence(&self, sealed: &[u8]) -> Result<Presence, OpenError> {
        let content = self.presence.open(&self.place("presence"), sealed)?;
        let (device, rest) = content.split_first_chunk().ok_or(OpenError::Length)?;
        let (at_ms, state) = rest.split_first_chunk().ok_or(OpenError::Length)?;
        let at_ms = u64::from_le_bytes(*at_ms);
        Ok(Presence { device: DeviceId(*device), at_ms, state: state.to_vec() })
    }
}
