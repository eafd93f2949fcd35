//! Values in which no rule found anything, remembered from exchange to exchange.
//!
//! Most values come again and again: what browsers say of themselves, cookies, names of arguments.
//! What a rule's head finds in a value depends on nothing but the value, so that a value in which
//! nothing was found needs no second look. Only a keyed 128-bit hash is kept, whose key nobody
//! outside knows: two values that share one cannot be made.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::RangeInclusive,
    sync::LazyLock,
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::template::Key;
use crate::rule::Variable;

/// So many are remembered; another that falls on the same place takes it.
const LEN: usize = 1 << 14;
/// Longer values hardly come again.
const BYTES: RangeInclusive<usize> = 1..=1024;

/// Those of this process: what one transaction knows to be clean, another may remember.
static KEYS: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let state = RandomState::new();
    (state.hash_one(0), state.hash_one(1))
});

/// The hashes; there is no room for them before the first.
#[derive(Default)]
pub(super) struct Clean(Vec<u128>);

/// The hash of a value under a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u128);

impl Clean {
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.0.get(place(fingerprint)) == Some(&fingerprint.0)
    }

    pub fn insert(&mut self, fingerprint: Fingerprint) {
        if self.0.is_empty() {
            self.0 = vec![0; LEN];
        }
        self.0[place(fingerprint)] = fingerprint.0;
    }
}

impl Fingerprint {
    /// `None`: the value is not worth one.
    pub fn new(profile: u64, class: Variable, key: Key, value: &[u8]) -> Option<Self> {
        if !BYTES.contains(&value.len()) {
            return None;
        }
        let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
        hasher.write_u64(profile << 24 | u64::from(key.0) << 8 | class as u64);
        hasher.write(value);
        Some(Self(hasher.finish128().as_u128()))
    }
}

fn place(fingerprint: Fingerprint) -> usize {
    fingerprint.0 as usize % LEN
}
