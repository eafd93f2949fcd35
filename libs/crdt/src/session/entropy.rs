//! Random bytes drawn from a seed.

use sha2::{Digest, Sha256};

/// What a seed comes to, draw by draw. Who starts gives another seed each time.
#[derive(Clone, Debug)]
pub(super) struct Entropy {
    seed: [u8; 32],
    draws: u64,
}

impl Entropy {
    pub fn new(seed: [u8; 32]) -> Self {
        Entropy { seed, draws: 0 }
    }

    pub fn id(&mut self) -> [u8; 16] {
        self.draws += 1;
        let drawn = Sha256::new().chain_update(self.seed).chain_update(self.draws.to_le_bytes());
        let digest = drawn.finalize();
        *digest.first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// One of `0..=max`.
    pub fn up_to(&mut self, max: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.id();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % max.saturating_add(1).max(1)
    }
}
