//! All literals of all rules, looked for in one pass.

use std::collections::BTreeMap;

use super::{bits::Bits, gate::Gate, grams::Grams};
use crate::transform::ByteSet;

/// So many clauses of a rule are looked for; its best ones.
const LAYERS: usize = 3;
/// Lengths from this on are one.
const LEN_MAX: usize = 64;

/// The texts and what their hits mean.
pub(super) struct Literals {
    texts: Grams,
    /// For each literal the rules it is for, and at which layer.
    meanings: Vec<Box<[(u8, u16)]>>,
    /// Likewise for each byte that stands for a literal …
    of_bytes: Vec<Box<[(u8, u16)]>>,
    /// … and which those are.
    bytes: ByteSet,
    /// For each layer the rules that need nothing there.
    needless: [Bits; LAYERS],
    /// For each length the rules that do not need a longer text.
    by_len: Vec<Bits>,
    /// Rules without a clause.
    loose: Bits,
}

/// What one text hit.
#[derive(Default)]
pub(super) struct Hits([Bits; LAYERS]);

impl Hits {
    /// Hits of none of so many rules.
    pub fn new(len: usize) -> Self {
        Self(std::array::from_fn(|_| Bits::new(len)))
    }
}

pub(super) struct Builder {
    texts: BTreeMap<Vec<u8>, Vec<(u8, u16)>>,
    of_bytes: Vec<Vec<(u8, u16)>>,
    needless: [Bits; LAYERS],
    by_len: Vec<Bits>,
    loose: Bits,
}

impl Literals {
    /// A builder for so many rules.
    pub fn builder(len: usize) -> Builder {
        Builder {
            texts: BTreeMap::new(),
            of_bytes: vec![Vec::new(); 256],
            needless: std::array::from_fn(|_| Bits::full(len)),
            by_len: (0..=LEN_MAX).map(|_| Bits::new(len)).collect(),
            loose: Bits::new(len),
        }
    }

    /// Marks in `hits` what the text, which is made of these bytes, hits.
    pub fn scan(&self, text: &[u8], bytes: &ByteSet, hits: &mut Hits) {
        for (hits, needless) in hits.0.iter_mut().zip(&self.needless) {
            hits.words_mut().copy_from_slice(needless.words());
        }
        let mut hit = |meanings: &[(u8, u16)]| {
            for &(layer, probe) in meanings {
                hits.0[usize::from(layer)].insert(usize::from(probe));
            }
        };
        let here = self.bytes.intersection(*bytes);
        here.iter().for_each(|byte| hit(&self.of_bytes[usize::from(byte)]));
        self.texts.scan(text, |number| hit(&self.meanings[number]));
    }

    /// Calls `candidate` for each rule of `interest` that a text of this length, which hit this, may match.
    pub fn candidates(
        &self,
        interest: &Bits,
        live: &Bits,
        len: usize,
        hits: &Hits,
        mut candidate: impl FnMut(usize),
    ) {
        let by_len = self.by_len[len.min(LEN_MAX)].words();
        let [first, second, third] = &hits.0;
        let words = interest.words().iter().zip(live.words()).zip(by_len);
        let layers = first.words().iter().zip(second.words()).zip(third.words());
        for (at, (((interest, live), by_len), ((first, second), third))) in
            words.zip(layers).enumerate()
        {
            let word = interest & live & by_len & first & second & third;
            super::bits::each(word, at * 64).for_each(&mut candidate);
        }
    }

    /// How many rules have no literal and must be asked of every text whose bytes they accept.
    pub fn loose_len(&self) -> usize {
        self.loose.words().iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes()
    }
}

impl Builder {
    pub fn add(&mut self, probe: u16, gate: &Gate) {
        let at = usize::from(probe);
        for (layer, clause) in gate.clauses.iter().take(LAYERS).enumerate() {
            self.needless[layer].remove(at);
            let meaning = (layer as u8, probe);
            for text in &clause.texts {
                self.texts.entry(text.clone()).or_default().push(meaning);
            }
            for byte in clause.bytes.iter() {
                self.of_bytes[usize::from(byte)].push(meaning);
            }
        }
        if gate.clauses.is_empty() {
            self.loose.insert(at);
        }
        (gate.len_min.min(LEN_MAX)..=LEN_MAX).for_each(|len| self.by_len[len].insert(at));
    }

    pub fn build(self) -> Literals {
        let (texts, meanings): (Vec<_>, Vec<_>) = self.texts.into_iter().unzip();
        Literals {
            texts: Grams::new(texts),
            meanings: meanings.into_iter().map(Into::into).collect(),
            bytes: (0..=255).filter(|&byte| !self.of_bytes[usize::from(byte)].is_empty()).collect(),
            of_bytes: self.of_bytes.into_iter().map(Into::into).collect(),
            needless: self.needless,
            by_len: self.by_len,
            loose: self.loose,
        }
    }
}
