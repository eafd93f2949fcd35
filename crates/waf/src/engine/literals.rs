//! All literals of all rules, looked for in one pass.

use std::collections::BTreeMap;

use super::{
    bits::Bits,
    gate::Gate,
    grams::{Filters, Grams, Search},
};
use crate::transform::ByteSet;

/// So many clauses of a rule are looked for; its best ones.
const LAYERS: usize = 3;
/// Lengths from this on are one.
const LEN_MAX: usize = 64;

/// The texts and what their hits mean.
pub(super) struct Literals {
    texts: Grams,
    /// For each literal the rules it is for.
    meanings: Meanings,
    /// Likewise for each byte that stands for a literal …
    of_bytes: Meanings,
    /// … and which those are.
    bytes: ByteSet,
    /// For each layer the rules that need nothing there.
    needless: [Bits; LAYERS],
    /// For each length the rules that do not need a longer text.
    by_len: Vec<Bits>,
    /// Rules without a clause.
    loose: Bits,
}

/// A rule that needs something, and at which layer.
type Meaning = (u8, u16);

/// What each of several things means, one behind the other.
struct Meanings {
    list: Box<[Meaning]>,
    /// Where those of each begin, and after the last, where they end.
    starts: Box<[u32]>,
}

impl Meanings {
    fn new(of_each: &[Vec<Meaning>]) -> Self {
        let mut starts = Vec::with_capacity(of_each.len() + 1);
        let mut list = Vec::with_capacity(of_each.iter().map(Vec::len).sum());
        for meanings in of_each {
            starts.push(list.len() as u32);
            list.extend_from_slice(meanings);
        }
        starts.push(list.len() as u32);
        Self { list: list.into(), starts: starts.into() }
    }

    fn of(&self, at: usize) -> &[Meaning] {
        &self.list[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&*self.list) + size_of_val(&*self.starts)
    }
}

/// What one text hit.
#[derive(Default)]
pub(super) struct Hits {
    layers: [Bits; LAYERS],
    search: Search,
}

impl Hits {
    /// Hits of none of so many rules.
    pub fn new(len: usize) -> Self {
        Self { layers: std::array::from_fn(|_| Bits::new(len)), search: Search::default() }
    }
}

pub(super) struct Builder {
    texts: BTreeMap<Vec<u8>, Vec<Meaning>>,
    of_bytes: Vec<Vec<Meaning>>,
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

    /// Where the texts of some rules may lie.
    pub fn filters(&self, rules: &Bits) -> Filters {
        let is_of = |(_, rule): &Meaning| rules.contains(usize::from(*rule));
        self.texts.filters(|number| self.meanings.of(number).iter().any(is_of))
    }

    /// Marks in `hits` what the text, which is made of these bytes, hits of the rules that `filters` are of.
    pub fn scan(&self, text: &[u8], bytes: &ByteSet, filters: &Filters, hits: &mut Hits) {
        let Hits { layers, search } = hits;
        for (hits, needless) in layers.iter_mut().zip(&self.needless) {
            hits.words_mut().copy_from_slice(needless.words());
        }
        let mut hit = |meanings: &[Meaning]| {
            for &(layer, probe) in meanings {
                layers[usize::from(layer)].insert(usize::from(probe));
            }
        };
        let here = self.bytes.intersection(*bytes);
        here.iter().for_each(|byte| hit(self.of_bytes.of(usize::from(byte))));
        self.texts.scan(text, filters, search, |number| hit(self.meanings.of(number)));
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
        let [first, second, third] = &hits.layers;
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
        self.texts.memory_bytes() + self.meanings.memory_bytes() + self.of_bytes.memory_bytes()
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
        let (texts, meanings): (Vec<_>, Vec<Vec<Meaning>>) = self.texts.into_iter().unzip();
        Literals {
            texts: Grams::new(&texts),
            meanings: Meanings::new(&meanings),
            bytes: (0..=255).filter(|&byte| !self.of_bytes[usize::from(byte)].is_empty()).collect(),
            of_bytes: Meanings::new(&self.of_bytes),
            needless: self.needless,
            by_len: self.by_len,
            loose: self.loose,
        }
    }
}
