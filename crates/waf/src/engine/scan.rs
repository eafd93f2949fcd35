//! Which rules may match which values: bitmaps, and no expression yet.

use std::ops::Range;

use super::{
    Rules,
    arena::{self, Span},
    bits::Bits,
    compile::Probe,
    data::Data,
    gate::ALPHABETS,
    grams::Filters,
    literals::Hits,
    trie::Node,
};
use crate::{
    rule::Variable,
    transform::{ByteSet, Transformation},
};

/// Room for so many candidates is kept for the next exchange.
const KEPT_MAX: usize = 16_384;
/// The end of a list.
const NONE: u32 = u32::MAX;

/// A text that a rule may match, and the value it was made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub value: u32,
    pub text: Span,
    /// The alphabet of the text.
    pub tier: usize,
    next: u32,
}

/// For each rule that is looked for beforehand, the texts that it may match.
#[derive(Default)]
pub(super) struct Candidates {
    first: Vec<u32>,
    last: Vec<u32>,
    list: Vec<Candidate>,
    /// For each phase the steps whose rules have candidates.
    pub steps: [Bits; 5],
}

impl Candidates {
    pub fn new(rules: &Rules) -> Self {
        let probes = rules.probes.len();
        let steps = std::array::from_fn(|phase| Bits::new(rules.phases[phase].len()));
        Self { first: vec![NONE; probes], last: vec![NONE; probes], list: Vec::new(), steps }
    }

    pub fn clear(&mut self) {
        self.first.fill(NONE);
        arena::empty(&mut self.list, KEPT_MAX);
        self.steps.iter_mut().for_each(Bits::clear);
    }

    /// What its lists have room for.
    pub fn memory_bytes(&self) -> usize {
        let heads = self.first.capacity() + self.last.capacity();
        heads * size_of::<u32>() + self.list.capacity() * size_of::<Candidate>()
    }

    fn push(&mut self, at: usize, probe: &Probe, candidate: Candidate) {
        let number = self.list.len() as u32;
        if self.first[at] == NONE {
            self.first[at] = number;
            self.steps[probe.phase].insert(probe.step);
        } else {
            self.list[self.last[at] as usize].next = number;
        }
        self.last[at] = number;
        self.list.push(candidate);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The first candidate of a probe.
    pub fn first(&self, probe: u16) -> Option<Candidate> {
        self.list.get(self.first[usize::from(probe)] as usize).copied()
    }

    /// The one after this.
    pub fn after(&self, candidate: Candidate) -> Option<Candidate> {
        self.list.get(candidate.next as usize).copied()
    }
}

/// Of so many variables that are the same bytes the texts are looked at together: a body that no parser reads is two.
pub(super) const SAME_MAX: usize = 2;

/// Variables at which few rules look, and which have most of the bytes.
const BODIES: [Variable; 2] = [Variable::RequestBody, Variable::FilesTmpContent];

/// What of the rules a profile looks for.
pub(super) struct Sight {
    /// Those that can be reached.
    pub live: Bits,
    /// Where their literals may lie in texts of each alphabet …
    all: [Filters; ALPHABETS.len()],
    /// … and those of the rules that look at bodies as they stand: few of all, and in many bytes.
    bodies: [Filters; ALPHABETS.len()],
}

impl Sight {
    pub fn new(rules: &Rules, live: Bits) -> Self {
        let mut of_bodies = Bits::new(rules.probes.len());
        let bodies = BODIES.into_iter().flat_map(|class| rules.interests.all_of(class));
        bodies.for_each(|of_class| of_bodies.union(of_class));
        of_bodies.intersect(&live);
        let filters = |of: &Bits| rules.literals.each_ref().map(|literals| literals.filters(of));
        Self { all: filters(&live), bodies: filters(&of_bodies), live }
    }

    fn filters(&self, mut classes: impl Iterator<Item = Variable>, tier: usize) -> &Filters {
        let is_body = classes.all(|class| BODIES.contains(&class));
        if is_body { &self.bodies[tier] } else { &self.all[tier] }
    }
}

/// A distinct text of the value at hand, and for each variable the rules that look at it.
struct Seen {
    span: Span,
    bytes: ByteSet,
    interest: [Bits; SAME_MAX],
    /// The text that it is in lower case, or itself.
    folded_from: u16,
}

/// What scanning needs beside the values; used again and again.
#[derive(Default)]
pub(super) struct Scanner {
    /// The texts of the value at hand are the first `seen_len`; what follows is kept for its memory.
    seen: Vec<Seen>,
    seen_len: usize,
    /// For each node its text, if it was made for the value at hand.
    texts: Vec<Option<u16>>,
    hits: Hits,
    swap: Vec<u8>,
    probes: usize,
}

impl Scanner {
    pub fn new(rules: &Rules) -> Self {
        Self {
            texts: vec![None; rules.trie.len()],
            hits: Hits::new(rules.probes.len()),
            probes: rules.probes.len(),
            ..Self::default()
        }
    }

    /// Enters the candidates of values that are the same bytes and returns how many bytes were looked at.
    pub fn scan(
        &mut self,
        rules: &Rules,
        sight: &Sight,
        data: &mut Data,
        values: Range<u32>,
        candidates: &mut Candidates,
    ) -> u64 {
        self.seen_len = 0;
        for (same, at) in values.clone().enumerate() {
            let value = data.values[at as usize];
            let Some(interest) = rules.interests.of(value.class, value.key) else { continue };
            if self.seen_len == 0 {
                let bytes = ByteSet::from_bytes(data.arena.get(value.value));
                self.see(value.value, bytes, 0);
                self.texts.fill(None);
            }
            if self.seen[0].bytes.is_subset_of(&interest.plain) {
                self.seen[0].interest[same].union(&interest.together);
            } else {
                self.nodes(rules, data, same, &interest.easy);
            }
            self.nodes(rules, data, same, &interest.hard);
        }
        let mut looker = Looker { rules, sight, data, values, candidates };
        (0..self.seen_len).map(|text| self.look_at(&mut looker, text)).sum()
    }

    /// A text of the value at hand; equal ones are one.
    fn see(&mut self, span: Span, bytes: ByteSet, folded_from: u16) -> u16 {
        if self.seen_len == self.seen.len() {
            let interest = std::array::from_fn(|_| Bits::new(self.probes));
            self.seen.push(Seen { span, bytes, interest, folded_from });
        }
        let seen = &mut self.seen[self.seen_len];
        (seen.span, seen.bytes, seen.folded_from) = (span, bytes, folded_from);
        seen.interest.iter_mut().for_each(Bits::clear);
        self.seen_len += 1;
        (self.seen_len - 1) as u16
    }

    fn nodes(&mut self, rules: &Rules, data: &mut Data, same: usize, nodes: &[(Node, Bits)]) {
        for (node, bits) in nodes {
            let text = self.text(rules, data, *node);
            self.seen[usize::from(text)].interest[same].union(bits);
        }
    }

    /// The text of a node, made if it was not yet.
    fn text(&mut self, rules: &Rules, data: &mut Data, node: Node) -> u16 {
        let Some((parent, step)) = rules.trie.step(node) else { return 0 };
        if let Some(text) = self.texts[usize::from(node.0)] {
            return text;
        }
        let before = self.text(rules, data, parent);
        let seen = &self.seen[usize::from(before)];
        let (mut text, span, folded) = (before, seen.span, seen.folded_from);
        if !step.is_identity_on(&seen.bytes) {
            self.swap.clear();
            if step.apply(data.arena.get(seen.span), &mut self.swap) {
                text = self.find(data).unwrap_or_else(|| {
                    // Most of what is decoded comes out in lower case, and nothing else.
                    let is_folded = step == Transformation::Lowercase
                        || data.arena.get(span).eq_ignore_ascii_case(&self.swap);
                    let span = data.arena.derive(&self.swap);
                    let bytes = ByteSet::from_bytes(&self.swap);
                    let itself = self.seen_len as u16;
                    self.see(span, bytes, if is_folded { folded } else { itself })
                });
            }
        }
        self.texts[usize::from(node.0)] = Some(text);
        text
    }

    /// The text that equals the one just made.
    fn find(&self, data: &Data) -> Option<u16> {
        let texts = &self.seen[..self.seen_len];
        texts.iter().position(|seen| data.arena.get(seen.span) == self.swap).map(|at| at as u16)
    }

    /// Enters the candidates of a text, and of those that differ from it in case only: they have the same literals.
    fn look_at(&mut self, looker: &mut Looker<'_>, text: usize) -> u64 {
        let Looker { rules, sight, data, values, candidates } = looker;
        let seen = &self.seen[text];
        if usize::from(seen.folded_from) != text {
            return 0;
        }
        let bytes = data.arena.get(seen.span);
        let tier = ALPHABETS.iter().position(|alphabet| seen.bytes.is_subset_of(alphabet));
        let tier = tier.expect("the last alphabet has every byte");
        let literals = &rules.literals[tier];
        let classes = values.clone().map(|value| data.values[value as usize].class);
        literals.scan(bytes, &seen.bytes, sight.filters(classes, tier), &mut self.hits);
        for other in &self.seen[text..self.seen_len] {
            if usize::from(other.folded_from) != text {
                continue;
            }
            for (value, interest) in values.clone().zip(&other.interest) {
                let len = other.span.len();
                literals.candidates(interest, &sight.live, len, &self.hits, |number| {
                    let probe = &rules.probes[number];
                    let has_bytes =
                        probe.bytes[tier].iter().all(|set| set.intersects(&other.bytes));
                    if has_bytes
                        && probe.special.is_none_or(|special| special.may_match(&other.bytes))
                    {
                        let text = other.span;
                        candidates.push(number, probe, Candidate { value, text, tier, next: NONE });
                    }
                });
            }
        }
        bytes.len() as u64
    }
}

/// What looking at texts needs beside them.
struct Looker<'a> {
    rules: &'a Rules,
    sight: &'a Sight,
    data: &'a Data,
    values: Range<u32>,
    candidates: &'a mut Candidates,
}
