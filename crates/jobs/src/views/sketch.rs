//! About how many different values there were, in bounded memory.
//!
//! Exact as long as there are few; then HyperLogLog with the estimator of O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
//! (2017), which needs no tables of corrections.

use std::{collections::BTreeSet, hash::Hasher};

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use siphasher::sip::SipHasher13;

/// Hashes that are kept as they are.
const EXACT_MAX: usize = 256;
/// Bits of a hash that choose a register: 4096 of them, for a standard error of 1.6 %.
const INDEX_BITS: u32 = 12;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are counted in a register.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;

/// How many different values there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sketch {
    #[serde(rename = "few")]
    Exact(BTreeSet<u64>),
    #[serde(rename = "many")]
    Registers(Registers),
}

/// For each register, the longest run of zeros that was seen, plus one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registers(Vec<u8>);

impl Default for Sketch {
    fn default() -> Self {
        Sketch::Exact(BTreeSet::new())
    }
}

impl Sketch {
    pub(crate) fn add(&mut self, value: &[u8]) {
        // Without a secret, because a rebuild must come to the same.
        let mut hasher = SipHasher13::new();
        hasher.write(value);
        self.add_hash(hasher.finish());
    }

    fn add_hash(&mut self, hash: u64) {
        match self {
            Sketch::Exact(hashes) => {
                hashes.insert(hash);
                if hashes.len() > EXACT_MAX {
                    let mut registers = Registers(vec![0; REGISTERS]);
                    hashes.iter().for_each(|hash| registers.add(*hash));
                    *self = Sketch::Registers(registers);
                }
            }
            Sketch::Registers(registers) => registers.add(hash),
        }
    }

    pub(crate) fn estimate(&self) -> u64 {
        match self {
            Sketch::Exact(hashes) => hashes.len() as u64,
            Sketch::Registers(registers) => registers.estimate().round() as u64,
        }
    }
}

impl Registers {
    fn add(&mut self, hash: u64) {
        let index = (hash >> RANK_BITS) as usize;
        let rank = (hash << INDEX_BITS).leading_zeros().min(RANK_BITS) + 1;
        self.0[index] = self.0[index].max(rank as u8);
    }

    fn estimate(&self) -> f64 {
        let registers = REGISTERS as f64;
        let mut counts = [0_u32; RANK_BITS as usize + 2];
        self.0.iter().for_each(|rank| counts[usize::from(*rank)] += 1);
        let count = |rank: u32| f64::from(counts[rank as usize]);
        let mut z = registers * tau(1.0 - count(RANK_BITS + 1) / registers);
        for rank in (1..=RANK_BITS).rev() {
            z = 0.5 * (z + count(rank));
        }
        z += registers * sigma(count(0) / registers);
        registers * registers / (2.0 * std::f64::consts::LN_2 * z)
    }
}

/// Ertl, section 2.6: Σ over the registers that saw nothing.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl, section 2.6: the same for registers that are full.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Serialize for Registers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Registers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ranks = BASE64_NOPAD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let sound =
            ranks.len() == REGISTERS && ranks.iter().all(|rank| u32::from(*rank) <= RANK_BITS + 1);
        if sound { Ok(Registers(ranks)) } else { Err(D::Error::custom("not a sketch")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(different: u64, off_max: f64) {
        let mut sketch = Sketch::default();
        for value in (0..different).chain(0..different) {
            sketch.add(&value.to_le_bytes());
        }
        let off = (sketch.estimate() as f64 - different as f64).abs();
        assert!(off <= different as f64 * off_max, "{different}: {}", sketch.estimate());
        let stored = serde_json::to_string(&sketch).unwrap();
        assert_eq!(serde_json::from_str::<Sketch>(&stored).unwrap(), sketch);
    }

    /// The hash has no secret, so the errors are the same in each run; three standard errors are wide enough.
    #[test]
    fn exact_while_there_are_few_and_near_it_then() {
        check(0, 0.0);
        check(256, 0.0);
        for different in [257, 1_000, 5_000, 10_000, 20_000, 100_000] {
            check(different, 0.048);
        }
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        for stored in [r#"{"many":""}"#, r#"{"many":"%"}"#, r#"{"some":[]}"#] {
            assert!(serde_json::from_str::<Sketch>(stored).is_err(), "{stored}");
        }
    }
}
