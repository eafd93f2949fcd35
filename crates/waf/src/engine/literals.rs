//! All literals of all rules, looked for in one pass.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{bits::Bits, gate::Gate};

/// So many clauses of a rule are looked for; its best ones.
const LAYERS: usize = 3;
/// Texts are looked for by their beginning up to this length: what follows is confirmed by the rule itself.
const TEXT_BYTES_MAX: usize = 8;
/// Lengths from this on are one.
const LEN_MAX: usize = 64;

/// The automaton and what its hits mean.
pub(super) struct Literals {
    automaton: AhoCorasick,
    /// For each literal the rules it is for, and at which layer.
    meanings: Vec<Box<[(u8, u16)]>>,
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

pub(super) struct Builder {
    len: usize,
    texts: BTreeMap<Vec<u8>, Vec<(u8, u16)>>,
    needless: [Bits; LAYERS],
    by_len: Vec<Bits>,
    loose: Bits,
}

impl Literals {
    /// A builder for so many rules.
    pub fn builder(len: usize) -> Builder {
        Builder {
            len,
            texts: BTreeMap::new(),
            needless: std::array::from_fn(|_| Bits::full(len)),
            by_len: (0..=LEN_MAX).map(|_| Bits::new(len)).collect(),
            loose: Bits::new(len),
        }
    }

    /// What holds the hits of one text at a time.
    pub fn hits(&self) -> Hits {
        Hits(self.needless.clone())
    }

    /// Marks in `hits` what the text hits.
    pub fn scan(&self, text: &[u8], hits: &mut Hits) {
        for (hits, needless) in hits.0.iter_mut().zip(&self.needless) {
            hits.words_mut().copy_from_slice(needless.words());
        }
        for found in self.automaton.find_overlapping_iter(text) {
            for &(layer, probe) in &*self.meanings[found.pattern().as_usize()] {
                hits.0[usize::from(layer)].insert(usize::from(probe));
            }
        }
    }

    /// Calls `candidate` for each rule of `interest` that a text of this length, which hit this, may match; also says whether
    /// literals spoke for it.
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
        self.automaton.memory_usage()
    }
}

impl Builder {
    pub fn add(&mut self, probe: u16, gate: &Gate) {
        let at = usize::from(probe);
        for (layer, clause) in gate.clauses.iter().take(LAYERS).enumerate() {
            self.needless[layer].remove(at);
            for text in clause {
                let meanings =
                    self.texts.entry(text[..text.len().min(TEXT_BYTES_MAX)].to_vec()).or_default();
                // Two texts of a clause may begin alike.
                if meanings.last() != Some(&(layer as u8, probe)) {
                    meanings.push((layer as u8, probe));
                }
            }
        }
        if gate.clauses.is_empty() {
            self.loose.insert(at);
        }
        (gate.len_min.min(LEN_MAX)..=LEN_MAX).for_each(|len| self.by_len[len].insert(at));
    }

    pub fn build(self) -> Literals {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(self.texts.keys())
            .expect("literals of rule files stay far below the limits of automata");
        let _ = self.len;
        Literals {
            automaton,
            meanings: self.texts.into_values().map(Into::into).collect(),
            needless: self.needless,
            by_len: self.by_len,
            loose: self.loose,
        }
    }
}
