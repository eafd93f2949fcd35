//! Which rules must leave which values alone, so that every request has points below the bound.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_waf::rule::Variable;

use super::line::{Line, prefixes, word};

/// Where a rule's values have more names than this, all of them are left alone.
const NAMES_MAX: usize = 8;

/// Longer names are no names that somebody chose: all entries are left alone.
const NAME_BYTES_MAX: usize = 100;

/// What an exclusion can name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) variable: Variable,
    pub(super) name: Option<String>,
}

impl Spot {
    /// `None`: no exclusion can name it.
    pub(super) fn new(variable: Variable, name: Option<&str>) -> Option<Self> {
        word(variable)?;
        let name = name.filter(|name| variable.is_collection() && name.len() <= NAME_BYTES_MAX);
        let name = name.map(str::to_owned);
        Some(Self { variable, name })
    }
}

/// A rule that found something in a request.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) rule: u64,
    pub(super) name: Option<String>,
    pub(super) message: String,
    pub(super) points: u32,
    /// What it has to leave alone to find nothing; empty: nothing helps but leaving it out.
    spots: Vec<Spot>,
    /// Whether it looks at what other rules found.
    pub(super) sums_up: bool,
}

impl Found {
    /// Of the values it fired on, those with names are what its finding is about, if there are any.
    pub(super) fn new(
        rule: u64,
        name: Option<String>,
        message: String,
        points: u32,
        mut spots: Vec<Spot>,
        sums_up: bool,
    ) -> Self {
        if spots.iter().any(|spot| spot.name.is_some()) {
            spots.retain(|spot| spot.name.is_some());
        }
        spots.sort();
        spots.dedup();
        Self { rule, name, message, points, spots, sums_up }
    }
}

/// A request that should have passed.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) path: String,
    /// So many of its points have to go.
    pub(super) excess: u32,
    pub(super) found: Vec<Found>,
    /// Why it is refused.
    pub(super) reason: String,
}

/// A rule and what it leaves alone; nothing: it is left out.
type Silenced = (u64, Vec<Spot>);

/// What was chosen so far.
#[derive(Default)]
pub(super) struct Solution {
    /// And for which paths.
    silenced: BTreeSet<(Silenced, String)>,
    chosen: BTreeMap<(u64, Option<Spot>), Chosen>,
    progress: bool,
}

/// Paths, and the names of the requests that have them.
pub(super) type Paths = BTreeMap<String, BTreeSet<String>>;

/// One choice, and the requests that it was made for.
#[derive(Clone, Default)]
struct Chosen {
    name: Option<String>,
    message: String,
    /// With the names of their requests.
    paths: Paths,
}

impl Solution {
    /// Chooses until no request has points in excess: always what takes most of them away. Returns what nothing helps.
    pub(super) fn add(&mut self, refused: &[Refused]) -> Vec<String> {
        self.progress = false;
        let mut excess: Vec<u32> = refused.iter().map(|one| one.excess.max(1)).collect();
        let (mut done, mut tried) = (BTreeSet::new(), BTreeSet::new());
        while let Some(next) = self.best(refused, &excess, &done) {
            for (one, excess) in refused.iter().zip(&mut excess).filter(|(_, excess)| **excess > 0)
            {
                let silences = |found: &&Found| self.silencer(found, &one.path) == next;
                let silenced: Vec<&Found> = one.found.iter().filter(silences).collect();
                for found in silenced {
                    self.choose(&next, found, one);
                    *excess = excess.saturating_sub(found.points);
                    tried.insert((next.clone(), one.path.clone()));
                }
            }
            done.insert(next);
        }
        self.progress = !done.is_empty();
        self.silenced.extend(tried);
        let left = refused.iter().zip(&excess).filter(|(_, excess)| **excess > 0);
        left.map(|(one, _)| format!("{}: {}", one.name, one.reason)).collect()
    }

    /// Whether anything was chosen the last time.
    pub(super) fn progress(&self) -> bool {
        self.progress
    }

    /// What silences a rule: leaving alone what it fired on; where that was tried in vain, leaving it out.
    fn silencer(&self, found: &Found, path: &str) -> Silenced {
        let narrow = ((found.rule, found.spots.clone()), path.to_owned());
        if self.silenced.contains(&narrow) { (found.rule, Vec::new()) } else { narrow.0 }
    }

    fn best(
        &self,
        refused: &[Refused],
        excess: &[u32],
        done: &BTreeSet<Silenced>,
    ) -> Option<Silenced> {
        let mut gains: BTreeMap<Silenced, u64> = BTreeMap::new();
        for (one, excess) in refused.iter().zip(excess).filter(|(_, excess)| **excess > 0) {
            for found in one.found.iter().filter(|found| found.points > 0) {
                let gain = u64::from(found.points.min(*excess)).min(1000);
                *gains.entry(self.silencer(found, &one.path)).or_default() += gain;
            }
        }
        let gains = gains.into_iter().filter(|(silenced, _)| !done.contains(silenced));
        // Leaving a rule out comes last, whatever it gains.
        let best =
            gains.max_by_key(|((rule, spots), gain)| (!spots.is_empty(), *gain, u64::MAX - rule));
        best.map(|(silenced, _)| silenced)
    }

    fn choose(&mut self, (rule, spots): &Silenced, found: &Found, request: &Refused) {
        let all = [None];
        let spots: Vec<Option<Spot>> = spots.iter().cloned().map(Some).collect();
        for spot in if spots.is_empty() { &all[..] } else { &spots } {
            let chosen = self.chosen.entry((*rule, spot.clone())).or_default();
            (chosen.name, chosen.message) = (found.name.clone(), found.message.clone());
            let names = chosen.paths.entry(request.path.clone()).or_default();
            names.insert(request.name.clone());
        }
    }

    /// The exclusions, the one that spares most first.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for ((rule, spot), Chosen { name, message, paths }) in self.without_many_names() {
            for (path, spares) in prefixes(&paths) {
                let (name, message, spot) = (name.clone(), message.clone(), spot.clone());
                lines.push(Line { rule, name, message, spot, path, spares });
            }
        }
        lines.sort_by(|a, b| b.spares.len().cmp(&a.spares.len()).then_with(|| a.rule.cmp(&b.rule)));
        lines
    }

    /// Names that change from request to request stand for all.
    fn without_many_names(&self) -> BTreeMap<(u64, Option<Spot>), Chosen> {
        let mut names: BTreeMap<(u64, Variable), usize> = BTreeMap::new();
        for (rule, spot) in self.chosen.keys() {
            if let Some(spot) = spot {
                *names.entry((*rule, spot.variable)).or_default() += 1;
            }
        }
        let mut merged: BTreeMap<(u64, Option<Spot>), Chosen> = BTreeMap::new();
        for ((rule, spot), chosen) in &self.chosen {
            let many = |spot: &Spot| names[&(*rule, spot.variable)] > NAMES_MAX;
            let spot = spot.as_ref().map(|spot| match many(spot) {
                true => Spot { variable: spot.variable, name: None },
                false => spot.clone(),
            });
            let entry = merged.entry((*rule, spot)).or_default();
            (entry.name, entry.message) = (chosen.name.clone(), chosen.message.clone());
            for (path, names) in &chosen.paths {
                entry.paths.entry(path.clone()).or_default().extend(names.iter().cloned());
            }
        }
        merged
    }
}
