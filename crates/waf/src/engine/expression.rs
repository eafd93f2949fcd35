//! Expressions, ready to run.
//!
//! Nearly all that is asked of an expression is whether it finds anything, and for that an automaton that reads forwards
//! is enough, with sketches that are asked before it. They are made when a profile has a rule that may ask: a third of the Core Rule
//! Set is for levels that hardly anybody is at. What says where a match begins, and where its groups lie, is several times as large:
//! it is made of the expression's text when the first match asks for it, and that of most rules never does.

use std::sync::{Arc, OnceLock};

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{self, DFA},
    meta,
    nfa::thompson::{self, WhichCaptures},
    util::{captures::Captures, prefilter::Prefilter},
};
use regex_syntax::hir::Hir;

use super::{
    gate::ALPHABETS,
    pattern::{self, Sketch},
    test::Found,
};

/// Memory that an automaton may take before it forgets its states and starts anew. With 256 KiB, shell rules did so on ordinary traffic.
const STATES_BYTES: usize = 2 * 1024 * 1024;
/// An expression larger than this is refused.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// One that is estimated at less than this is none of those: there are orders of magnitude between.
const SMALL_PROGRAM_BYTES: usize = 1024 * 1024;

/// The groups of a match that are kept, the whole of it first: `TX:0` to `TX:9`.
const GROUPS_MAX: usize = 10;

/// Where the groups of a match lie.
pub(super) type Groups = [Found; GROUPS_MAX];

/// An expression.
pub(super) struct Expression {
    text: Arc<str>,
    has_groups: bool,
    /// `None`: it cannot be made.
    judges: OnceLock<Option<Judges>>,
    /// Reads backwards from a match's end to its beginning.
    reverse: OnceLock<Option<DFA>>,
    groups: OnceLock<Option<meta::Regex>>,
}

/// What says whether an expression finds anything.
struct Judges {
    forward: DFA,
    sketches: Box<[Sketch]>,
    /// For each alphabet the sketch to be asked first, if there is one.
    chosen: [Option<usize>; ALPHABETS.len()],
}

/// What an expression remembers from search to search.
#[derive(Default)]
pub(super) struct Cache {
    forward: Option<dfa::Cache>,
    sketches: Box<[Option<dfa::Cache>]>,
    reverse: Option<dfa::Cache>,
    groups: Option<(meta::Cache, Captures)>,
}

impl Judges {
    fn new(hir: &Hir) -> Result<Self, String> {
        let prefilter = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, hir);
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .prefilter(prefilter.filter(Prefilter::is_fast));
        let forward = automaton(hir, false, config)?;
        let (sketches, chosen) = pattern::sketches(hir, &ALPHABETS);
        Ok(Self { forward, sketches: sketches.into(), chosen })
    }
}

impl Expression {
    /// An expression, given its structure too. One that is too large is refused.
    pub fn new(text: Arc<str>, hir: &Hir) -> Result<Self, String> {
        // Whether one that is not small is too large is known by making it.
        let judges = match pattern::program_bytes(hir) > SMALL_PROGRAM_BYTES {
            true => OnceLock::from(Some(Judges::new(hir)?)),
            false => OnceLock::new(),
        };
        Ok(Self {
            text,
            has_groups: hir.properties().explicit_captures_len() > 0,
            judges,
            reverse: OnceLock::new(),
            groups: OnceLock::new(),
        })
    }

    /// Makes ready what says whether it finds anything, so that no exchange has to wait for it.
    pub fn prepare(&self) {
        self.judges();
    }

    fn judges(&self) -> Option<&Judges> {
        self.judges.get_or_init(|| Judges::new(&self.hir()?).ok()).as_ref()
    }

    /// Whether it may find something in a text of an alphabet, as far as its sketch knows.
    pub fn may_match(&self, cache: &mut Cache, tier: usize, text: &[u8]) -> bool {
        let Some(Judges { sketches, chosen, .. }) = self.judges() else { return false };
        let Some(at) = chosen[tier] else { return true };
        if cache.sketches.is_empty() {
            cache.sketches = sketches.iter().map(|_| None).collect();
        }
        let sketch = &sketches[at];
        sketch.may_match(cache.sketches[at].get_or_insert_with(|| sketch.cache()), text)
    }

    /// Whether it finds anything.
    pub fn is_match(&self, cache: &mut Cache, text: &[u8]) -> bool {
        let Some(Judges { forward, .. }) = self.judges() else { return false };
        let cache = cache.forward.get_or_insert_with(|| forward.create_cache());
        let input = Input::new(text).earliest(true);
        // It never gives up; if it did, it would not know.
        forward.try_search_fwd(cache, &input).map_or(true, |end| end.is_some())
    }

    /// The first match from `start` on.
    pub fn find(&self, cache: &mut Cache, text: &[u8], start: usize) -> Found {
        let Judges { forward, .. } = self.judges()?;
        let states = cache.forward.get_or_insert_with(|| forward.create_cache());
        let input = Input::new(text).range(start..);
        let end = forward.try_search_fwd(states, &input);
        let end = end.map_or(Some(text.len()), |end| end.map(|end| end.offset()))?;
        Some((self.beginning(cache, text, (start, end)), end))
    }

    /// Where a match that ends here begins.
    fn beginning(&self, cache: &mut Cache, text: &[u8], (start, end): (usize, usize)) -> usize {
        let Some(reverse) = self.reverse.get_or_init(|| reversed(&self.hir()?)) else {
            return start;
        };
        let cache = cache.reverse.get_or_insert_with(|| reverse.create_cache());
        let input = Input::new(text).range(start..end).anchored(Anchored::Yes);
        let begin = reverse.try_search_rev(cache, &input).ok().flatten();
        begin.map_or(start, |begin| begin.offset())
    }

    /// Where the first match and its groups lie.
    pub fn groups(&self, cache: &mut Cache, text: &[u8]) -> Groups {
        let mut found = [None; GROUPS_MAX];
        let build = || pattern::build(&self.hir()?).ok();
        let groups = self.has_groups.then(|| self.groups.get_or_init(build).as_ref()).flatten();
        let Some(groups) = groups else {
            found[0] = self.find(cache, text, 0);
            return found;
        };
        let make = || (groups.create_cache(), groups.create_captures());
        let (cache, captures) = cache.groups.get_or_insert_with(make);
        groups.search_captures_with(cache, &Input::new(text), captures);
        for (found, group) in found.iter_mut().zip(captures.iter()) {
            *found = group.map(|span| (span.start, span.end));
        }
        found
    }

    fn hir(&self) -> Option<Hir> {
        pattern::parse(&self.text).ok()
    }
}

/// The automaton that finds where matches begin.
fn reversed(hir: &Hir) -> Option<DFA> {
    automaton(hir, true, DFA::config().match_kind(MatchKind::All)).ok()
}

fn automaton(hir: &Hir, reverse: bool, config: dfa::Config) -> Result<DFA, String> {
    let program = thompson::Config::new()
        .utf8(false)
        .reverse(reverse)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX));
    let nfa = thompson::Compiler::new().configure(program).build_from_hir(hir);
    let nfa = nfa.map_err(|error| format!("the expression is too large: {error}"))?;
    let config = config.cache_capacity(STATES_BYTES).skip_cache_capacity_check(true);
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa);
    dfa.map_err(|error| format!("the expression is too large: {error}"))
}
