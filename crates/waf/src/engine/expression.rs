//! Expressions, ready to run.
//!
//! Nearly all that is asked of an expression is whether it finds anything, and for that an automaton that reads forwards
//! is enough. What says where a match begins, and where its groups lie, is several times as large: it is made of the
//! expression's text when the first match asks for it, and that of most rules never does.

use std::sync::{Arc, OnceLock};

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{self, DFA},
    meta,
    nfa::thompson::{self, WhichCaptures},
    util::{captures::Captures, prefilter::Prefilter},
};
use regex_syntax::hir::Hir;

use super::{pattern, test::Found};

/// Memory that an automaton may take before it forgets its states and starts anew. With 256 KiB, shell rules did so on ordinary traffic.
const STATES_BYTES: usize = 2 * 1024 * 1024;
/// An expression larger than this is refused.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An expression.
pub(super) struct Expression {
    text: Arc<str>,
    forward: DFA,
    has_groups: bool,
    /// Reads backwards from a match's end to its beginning.
    reverse: OnceLock<Option<DFA>>,
    groups: OnceLock<Option<meta::Regex>>,
}

/// What an expression remembers from search to search.
pub(super) struct Cache {
    forward: dfa::Cache,
    reverse: Option<dfa::Cache>,
    groups: Option<meta::Cache>,
}

impl Expression {
    /// Makes an expression ready, given its structure too.
    pub fn new(text: Arc<str>, hir: &Hir) -> Result<Self, String> {
        let prefilter = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, hir);
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .prefilter(prefilter.filter(Prefilter::is_fast));
        Ok(Self {
            text,
            forward: automaton(hir, false, config)?,
            has_groups: hir.properties().explicit_captures_len() > 0,
            reverse: OnceLock::new(),
            groups: OnceLock::new(),
        })
    }

    /// Room for the states that it comes by.
    pub fn cache(&self) -> Cache {
        Cache { forward: self.forward.create_cache(), reverse: None, groups: None }
    }

    /// Whether it finds anything.
    pub fn is_match(&self, cache: &mut Cache, text: &[u8]) -> bool {
        let input = Input::new(text).earliest(true);
        // It never gives up; if it did, it would not know.
        self.forward.try_search_fwd(&mut cache.forward, &input).map_or(true, |end| end.is_some())
    }

    /// The first match from `start` on.
    pub fn find(&self, cache: &mut Cache, text: &[u8], start: usize) -> Found {
        let input = Input::new(text).range(start..);
        let end = self.forward.try_search_fwd(&mut cache.forward, &input);
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
    pub fn groups(&self, cache: &mut Cache, text: &[u8]) -> Vec<Found> {
        if !self.has_groups {
            return vec![self.find(cache, text, 0)];
        }
        let groups = self.groups.get_or_init(|| pattern::build(&self.hir()?).ok());
        let Some(groups) = groups else { return vec![self.find(cache, text, 0)] };
        let mut captures: Captures = groups.create_captures();
        let cache = cache.groups.get_or_insert_with(|| groups.create_cache());
        groups.search_captures_with(cache, &Input::new(text), &mut captures);
        captures.iter().map(|group| group.map(|span| (span.start, span.end))).collect()
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
