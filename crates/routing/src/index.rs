//! Routes found by host and path without asking each of them.
//!
//! Host and path lead to groups: every way into a route with the same host pattern and the same path
//! pattern. A group keeps its entries in the order in which they are asked, so a search needs from each
//! group only what comes before the best it has. A search costs a few hash look-ups, one for each
//! *length* of wildcard or prefix in the config, never one for each route, label or segment.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use regex::{Regex, RegexSet};
use selvedge_config::{HostPattern, PathPattern, Route};

use crate::{
    condition::{anchored, has_rest, is_boundary},
    rank::Alternative,
};

/// Regexes that share one automaton; more of them could exceed its size.
const REGEXES_PER_SET: usize = 64;

/// Fewer regexes than this are asked one by one.
const REGEXES_FOR_SET: usize = 4;

/// One way into a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Position among all ways in; lower is asked earlier.
    pub(crate) rank: u32,
    /// Index of the route in the config.
    pub(crate) route: u32,
    /// Whether the route has conditions beyond host and path.
    pub(crate) conditional: bool,
}

/// Receives each group that fits and returns the rank from which on nothing matters any more.
pub(crate) trait Visit: FnMut(&[Entry], u32) -> u32 {}

impl<F: FnMut(&[Entry], u32) -> u32> Visit for F {}

/// All routes of a config.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    exact: HashMap<Box<str>, PathIndex>,
    wildcards: HashMap<Box<str>, PathIndex>,
    /// Lengths of the wildcards' parents, longest first.
    wildcard_lengths: Vec<usize>,
    any: PathIndex,
}

/// The routes of one host pattern.
#[derive(Clone, Debug)]
pub(crate) struct PathIndex {
    exact: HashMap<Box<str>, Vec<Entry>>,
    prefixes: HashMap<Box<str>, usize>,
    /// Lengths of the prefixes, longest first.
    prefix_lengths: Vec<usize>,
    nodes: Vec<Prefix>,
    regexes: Vec<RegexChunk>,
    any: Vec<Entry>,
    /// Rank of the first entry; `u32::MAX` without any.
    first: u32,
}

#[derive(Clone, Debug)]
struct Prefix {
    text: Box<str>,
    entries: Vec<Entry>,
    /// The next shorter prefix that holds all that this one holds.
    parent: Option<usize>,
}

/// Some regexes, ordered by their first rank.
#[derive(Clone, Debug)]
struct RegexChunk {
    set: Option<RegexSet>,
    members: Vec<RegexGroup>,
}

#[derive(Clone, Debug)]
struct RegexGroup {
    text: Box<str>,
    regex: Regex,
    entries: Vec<Entry>,
}

impl Index {
    /// `ways` in the order in which they are asked.
    pub(crate) fn new(routes: &[Arc<Route>], ways: &[Alternative<'_>]) -> Self {
        let mut drafts: BTreeMap<Option<&HostPattern>, Draft<'_>> = BTreeMap::new();
        for (rank, way) in (0..).zip(ways) {
            let route = u32::try_from(way.route).expect("routes are fewer than 2^32");
            let conditional = has_rest(&routes[way.route].matches);
            drafts.entry(way.host).or_default().push(way.path, Entry { rank, route, conditional });
        }
        let mut index = Self::default();
        let mut compiled = BTreeMap::new();
        for (host, draft) in drafts {
            index.insert(host, draft.finish(&mut compiled));
        }
        index.wildcard_lengths = lengths(index.wildcards.keys());
        index
    }

    fn insert(&mut self, host: Option<&HostPattern>, paths: PathIndex) {
        match host {
            Some(HostPattern::Exact(name)) => drop(self.exact.insert(name.as_str().into(), paths)),
            Some(HostPattern::Wildcard(parent)) => {
                drop(self.wildcards.insert(parent.as_str().into(), paths));
            }
            None => self.any = paths,
        }
    }

    /// Visits every group whose host and path fit and that has a rank below the bound.
    pub(crate) fn search(&self, host: &str, path: &str, mut visit: impl Visit) {
        let mut bound = u32::MAX;
        if let Some(paths) = self.exact.get(host) {
            bound = paths.search(path, bound, &mut visit);
        }
        for &length in &self.wildcard_lengths {
            if let Some(paths) = self.wildcard(host, length) {
                bound = paths.search(path, bound, &mut visit);
            }
        }
        self.any.search(path, bound, &mut visit);
    }

    /// The wildcard for a parent of `length` bytes that holds `host`.
    fn wildcard(&self, host: &str, length: usize) -> Option<&PathIndex> {
        let dot = host.len().checked_sub(length + 1)?;
        (dot > 0 && host.as_bytes()[dot] == b'.').then(|| self.wildcards.get(&host[dot + 1..]))?
    }

    /// The routes of every host pattern that holds all that `host` holds.
    pub(crate) fn hosts_over(&self, host: Option<&HostPattern>) -> Vec<&PathIndex> {
        let (own, name) = match host {
            Some(HostPattern::Exact(name)) => (self.exact.get(name.as_str()), name.as_str()),
            Some(HostPattern::Wildcard(parent)) => {
                (self.wildcards.get(parent.as_str()), parent.as_str())
            }
            None => (None, ""),
        };
        let parents =
            self.wildcard_lengths.iter().filter_map(|&length| self.wildcard(name, length));
        own.into_iter().chain(parents).chain([&self.any]).collect()
    }

    /// The most look-ups that one search can take; regexes count for what they cost beside a look-up.
    pub(crate) fn lookups(&self) -> usize {
        let hosts = self.exact.values().chain(self.wildcards.values());
        let deepest = hosts.map(PathIndex::lookups).max().unwrap_or(0);
        1 + self.wildcard_lengths.len() + deepest + self.any.lookups()
    }
}

impl PathIndex {
    fn search(&self, path: &str, bound: u32, visit: &mut impl Visit) -> u32 {
        if self.first >= bound {
            return bound;
        }
        let mut bound = bound;
        if let Some(entries) = self.exact.get(path) {
            bound = visit(entries, bound);
        }
        for prefix in self.prefixes_of(path) {
            bound = visit(&prefix.entries, bound);
        }
        for chunk in &self.regexes {
            bound = chunk.search(path, bound, visit);
        }
        visit(&self.any, bound)
    }

    /// The prefixes that hold `path`, longest first.
    fn prefixes_of<'i>(&'i self, path: &str) -> impl Iterator<Item = &'i Prefix> {
        let longest = self.longest_prefix(path, usize::MAX).map(|node| &self.nodes[node]);
        std::iter::successors(longest, |prefix| prefix.parent.map(|node| &self.nodes[node]))
    }

    /// The longest prefix that holds `path` and is shorter than `below`.
    fn longest_prefix(&self, path: &str, below: usize) -> Option<usize> {
        let fits = |length: usize| {
            length < below && length <= path.len() && is_boundary(path.as_bytes(), length)
        };
        let lengths = self.prefix_lengths.iter().copied().filter(|&length| fits(length));
        lengths.filter_map(|length| self.prefixes.get(&path[..length])).next().copied()
    }

    /// Every entry whose path pattern holds all that `path` holds, as far as can be proved.
    pub(crate) fn entries_over(&self, path: Option<&PathPattern>) -> Vec<&[Entry]> {
        let mut groups: Vec<&[Entry]> = vec![&self.any];
        match path {
            Some(PathPattern::Exact(exact)) => {
                groups.extend(self.exact.get(exact.as_str()).map(Vec::as_slice));
                groups.extend(self.prefixes_of(exact).map(|it| it.entries.as_slice()));
                let fits = |it: &&RegexGroup| it.regex.is_match(exact);
                groups.extend(self.regex_groups().filter(fits).map(|it| it.entries.as_slice()));
            }
            Some(PathPattern::Prefix(prefix)) => {
                groups.extend(self.prefixes_of(prefix).map(|it| it.entries.as_slice()));
            }
            Some(PathPattern::Regex(regex)) => {
                let same = |it: &&RegexGroup| *it.text == *regex.as_str();
                groups.extend(self.regex_groups().filter(same).map(|it| it.entries.as_slice()));
                groups.extend(self.prefixes_over(&Beginnings::of(regex.as_str())));
            }
            None => {}
        }
        groups
    }

    fn regex_groups(&self) -> impl Iterator<Item = &RegexGroup> {
        self.regexes.iter().flat_map(|chunk| &chunk.members)
    }

    fn prefixes_over(&self, beginnings: &Beginnings) -> impl Iterator<Item = &[Entry]> {
        let first = beginnings.0.first().map_or("", |(text, _)| text.as_str());
        let holds = |prefix: &&Prefix| beginnings.lie_under(&prefix.text);
        self.prefixes_of(first).filter(holds).map(|prefix| prefix.entries.as_slice())
    }

    fn lookups(&self) -> usize {
        let regexes = self.regexes.iter().map(|it| if it.set.is_some() { 16 } else { 8 });
        usize::from(!self.exact.is_empty()) + self.prefix_lengths.len() + regexes.sum::<usize>()
    }
}

impl Default for PathIndex {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            prefix_lengths: Vec::new(),
            nodes: Vec::new(),
            regexes: Vec::new(),
            any: Vec::new(),
            first: u32::MAX,
        }
    }
}

impl RegexChunk {
    fn new(members: Vec<RegexGroup>) -> Self {
        let texts = members.iter().map(|it| it.regex.as_str());
        let set = (members.len() >= REGEXES_FOR_SET).then(|| RegexSet::new(texts).ok()).flatten();
        Self { set, members }
    }

    fn search(&self, path: &str, bound: u32, visit: &mut impl Visit) -> u32 {
        let mut bound = bound;
        let early = self.members.first().is_some_and(|it| first_rank(&it.entries) < bound);
        match &self.set {
            _ if !early => {}
            Some(set) => {
                for member in set.matches(path).iter() {
                    bound = visit(&self.members[member].entries, bound);
                }
            }
            None => {
                for member in &self.members {
                    if first_rank(&member.entries) < bound && member.regex.is_match(path) {
                        bound = visit(&member.entries, bound);
                    }
                }
            }
        }
        bound
    }
}

/// The literals with which whatever a regex holds must begin, and whether they are the whole of it.
struct Beginnings(Vec<(String, bool)>);

impl Beginnings {
    /// Empty when nothing is known.
    fn of(regex: &str) -> Self {
        let Ok(hir) = regex_syntax::parse(regex) else { return Self(Vec::new()) };
        let literals = regex_syntax::hir::literal::Extractor::new().extract(&hir);
        let text = |literal: &regex_syntax::hir::literal::Literal| {
            let text = std::str::from_utf8(literal.as_bytes()).ok()?;
            Some((text.to_owned(), literal.is_exact()))
        };
        let all = literals.literals().unwrap_or(&[]).iter().map(text).collect::<Option<_>>();
        Self(all.unwrap_or_default())
    }

    /// Whether every text that begins so is held by `prefix`.
    fn lie_under(&self, prefix: &str) -> bool {
        let under = |(text, whole): &(String, bool)| {
            text.starts_with(prefix)
                && (prefix.ends_with('/')
                    || text.as_bytes().get(prefix.len()) == Some(&b'/')
                    || (*whole && text == prefix))
        };
        !self.0.is_empty() && self.0.iter().all(under)
    }
}

/// The routes of one host pattern while they are collected.
#[derive(Default)]
struct Draft<'r> {
    exact: BTreeMap<&'r str, Vec<Entry>>,
    prefixes: BTreeMap<&'r str, Vec<Entry>>,
    regexes: BTreeMap<&'r str, (&'r PathPattern, Vec<Entry>)>,
    any: Vec<Entry>,
    first: Option<u32>,
}

impl<'r> Draft<'r> {
    fn push(&mut self, path: Option<&'r PathPattern>, entry: Entry) {
        self.first.get_or_insert(entry.rank);
        let entries = match path {
            Some(PathPattern::Exact(path)) => self.exact.entry(path).or_default(),
            Some(PathPattern::Prefix(prefix)) if prefix == "/" => &mut self.any,
            Some(PathPattern::Prefix(prefix)) => self.prefixes.entry(prefix).or_default(),
            Some(pattern @ PathPattern::Regex(regex)) => {
                &mut self.regexes.entry(regex.as_str()).or_insert((pattern, Vec::new())).1
            }
            None => &mut self.any,
        };
        if entries.last().is_none_or(|last| last.conditional) {
            entries.push(entry);
        }
    }

    fn finish(self, compiled: &mut BTreeMap<&'r str, Regex>) -> PathIndex {
        let mut index = PathIndex {
            exact: self.exact.into_iter().map(|(path, it)| (path.into(), it)).collect(),
            prefix_lengths: lengths(self.prefixes.keys()),
            regexes: regex_chunks(self.regexes, compiled),
            any: self.any,
            first: self.first.unwrap_or(u32::MAX),
            ..PathIndex::default()
        };
        for (node, (text, entries)) in self.prefixes.into_iter().enumerate() {
            index.prefixes.insert(text.into(), node);
            index.nodes.push(Prefix { text: text.into(), entries, parent: None });
        }
        for node in 0..index.nodes.len() {
            let text = &index.nodes[node].text;
            index.nodes[node].parent = index.longest_prefix(text, text.len());
        }
        index
    }
}

fn regex_chunks<'r>(
    drafts: BTreeMap<&'r str, (&'r PathPattern, Vec<Entry>)>,
    compiled: &mut BTreeMap<&'r str, Regex>,
) -> Vec<RegexChunk> {
    let mut groups: Vec<RegexGroup> = drafts
        .into_iter()
        .filter_map(|(text, (pattern, entries))| {
            let PathPattern::Regex(pattern) = pattern else { return None };
            let regex = compiled.entry(text).or_insert_with(|| anchored(pattern)).clone();
            Some(RegexGroup { text: text.into(), regex, entries })
        })
        .collect();
    groups.sort_by_key(|group| first_rank(&group.entries));
    groups.chunks(REGEXES_PER_SET).map(|chunk| RegexChunk::new(chunk.to_vec())).collect()
}

fn first_rank(entries: &[Entry]) -> u32 {
    entries.first().map_or(u32::MAX, |entry| entry.rank)
}

/// The distinct lengths of `texts`, longest first.
fn lengths(texts: impl Iterator<Item = impl AsRef<str>>) -> Vec<usize> {
    let mut lengths: Vec<_> = texts.map(|text| text.as_ref().len()).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.dedup();
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_lies_under_the_prefix_it_begins_with() {
        let check = |regex, prefix, lies| {
            assert_eq!(Beginnings::of(regex).lie_under(prefix), lies, "{regex} {prefix}");
        };
        check(r"/api/v\d+", "/api", true);
        check(r"^/api/v\d+$", "/api/", true);
        check(r"\A(?:/api/v\d+)\z", "/api", true);
        check(r"/api", "/api", true);
        check(r"/api.*", "/api", false);
        check(r"/(a|b)/x", "/a", false);
        check(r"(/a/b|/a/c).*", "/a", true);
        check(r".*", "/a", false);
        check(r"(/a/)?b", "/a", false);
        check(r"(?i)/api/x", "/api", false);
        check("(", "/api", false);
    }
}
