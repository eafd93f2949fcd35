//! When to try again.

use super::entropy::Entropy;

const FIRST_MS: u64 = 500;
const LONGEST_MS: u64 = 60_000;
/// Whatever the other side asks for.
const ASKED_LONGEST_MS: u64 = 3_600_000;

/// Waits that double from half a second to a minute, each between half of it and all of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait; at least what the other side asked for.
    pub fn next(&mut self, asked_ms: Option<u64>, entropy: &mut Entropy) -> u64 {
        let doubled = FIRST_MS << self.failures.min(16);
        self.failures += 1;
        let wait = doubled.min(LONGEST_MS);
        let wait = wait / 2 + entropy.up_to(wait / 2);
        let asked = asked_ms.unwrap_or_default().min(ASKED_LONGEST_MS);
        (asked + entropy.up_to(asked / 8)).max(wait)
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_begin_anew() {
        let (mut entropy, mut backoff) = (Entropy::new([7; 32]), Backoff::default());
        for longest in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            let wait = backoff.next(None, &mut entropy);
            assert!((longest / 2..=longest).contains(&wait), "{wait} of {longest}");
        }
        assert!(backoff.next(Some(100_000), &mut entropy) >= 100_000);
        backoff.reset();
        assert!(backoff.next(None, &mut entropy) <= 500);
    }
}
