//! Rules under a policy.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Rules,
    bits::Bits,
    collections::Collections,
    compile::{Compiled, CompiledSelector, CompiledTarget, named_rules},
    fold::{self, Folded},
    scan::Sight,
    state::Held,
    template::{Key, Slot},
};
use crate::{
    policy::{Exclusion, Policy},
    rule::{Category, Mode, Phase, Rule, Selector, Target},
};

/// Points of a refusal where neither the policy nor SecLang says otherwise.
const BLOCK_AT: u32 = 25;
/// The rule of the Core Rule Set whose policy [`Policy::content_types`] is.
const CONTENT_TYPE_RULE: u64 = 920_420;

/// Rules under a policy: what a route's exchanges are judged by.
pub struct Profile {
    rules: Arc<Rules>,
    policy: Policy,
    /// Unlike that of any other profile of this process.
    pub(super) number: u64,
    pub(super) mode: Mode,
    pub(super) block_at: Option<u32>,
    pub(super) block_response_at: Option<u32>,
    /// Rules that can be reached at all.
    pub(super) live_rules: Bits,
    /// What is looked for beforehand.
    pub(super) sight: Sight,
    /// For each phase the steps of live rules about which nothing can be said beforehand.
    pub(super) always: [Bits; 5],
    /// For each phase none: of a frame only what was found in it is asked.
    pub(super) nothing: [Bits; 5],
    /// Whether a rule looks at responses with their bodies.
    pub(super) asks_response: bool,
    pub(super) shadow: Bits,
    pub(super) exclusions: Vec<CompiledExclusion>,
    /// What variables hold before the first rule is asked.
    pub(super) start: Vec<(Slot, Start)>,
    pub(super) collections: Arc<Collections>,
    /// Percent, by category.
    weights: Vec<u16>,
}

/// What a variable holds before the first rule is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Number(i64),
    Text(Box<[u8]>),
}

/// An exception of the policy, made ready.
pub(super) struct CompiledExclusion {
    pub rules: Arc<Bits>,
    pub target: Option<Arc<CompiledTarget>>,
    pub path: Option<Arc<str>>,
    pub methods: Vec<Arc<str>>,
}

impl Profile {
    /// Puts rules under a policy.
    pub fn new(rules: Arc<Rules>, policy: Policy) -> Self {
        let native = rules.rules.iter().any(|rule| rule.rule.points > 0);
        let default = native.then_some(BLOCK_AT);
        let exclusions: Vec<_> = policy
            .exclusions
            .iter()
            .filter_map(|exclusion| CompiledExclusion::new(&rules, exclusion))
            .collect();
        let mut unsure = Bits::new(rules.rules.len());
        exclusions
            .iter()
            .filter(|exclusion| exclusion.target.is_none())
            .for_each(|exclusion| unsure.union(&exclusion.rules));
        let mut live = Bits::full(rules.rules.len());
        leave_out(&rules, &policy, &exclusions, &mut live);
        let Folded { live, start } = fold::fold(&rules, live, unsure, &pinned(&rules, &policy));
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let mut profile = Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            mode: policy.mode.or(rules.settings.mode).unwrap_or_default(),
            block_at: policy.block_at.or(default),
            block_response_at: policy.block_response_at.or(default),
            sight: Sight::new(&rules, Bits::new(rules.probes.len())),
            always: std::array::from_fn(|phase| Bits::new(rules.phases[phase].len())),
            nothing: std::array::from_fn(|phase| Bits::new(rules.phases[phase].len())),
            asks_response: rules.phases[Phase::Response as usize]
                .iter()
                .any(|&rule| live.contains(usize::from(rule))),
            live_rules: live,
            shadow: shadow(&rules, &policy),
            exclusions,
            start,
            collections: Arc::default(),
            weights: weights(&policy),
            rules,
            policy,
        };
        profile.divide();
        profile.prepare();
        profile
    }

    /// Makes ready what exchanges under this policy may ask, so that none of them has to wait.
    fn prepare(&self) {
        let rules = self.rules.rules.iter().enumerate();
        let live = rules.filter(|(at, _)| self.live_rules.contains(*at));
        live.flat_map(|(_, rule)| rule.expressions())
            .for_each(|regex| self.rules.regex(regex).prepare());
    }

    /// Remembers where other profiles do, too.
    pub fn remembering(self, collections: &Arc<Collections>) -> Self {
        Self { collections: Arc::clone(collections), ..self }
    }

    /// Returns whether rules of phase 5 look at the response.
    pub fn logs_response(&self) -> bool {
        let mut last = self.live().filter(|rule| rule.phase == Phase::Log);
        last.any(Rule::looks_at_response)
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns how many rules can match under this policy.
    pub fn live_len(&self) -> usize {
        self.live_rules.words().iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the rules that can match under this policy, in the order in which they are read.
    pub fn live(&self) -> impl Iterator<Item = &Rule> {
        let all = self.rules.rules.iter().enumerate();
        all.filter(|(at, _)| self.live_rules.contains(*at)).map(|(_, rule)| &*rule.rule)
    }

    /// What points of a category count.
    pub(super) fn weighed(&self, points: u32, category: Option<Category>) -> u32 {
        let percent = category.map_or(100, |category| self.weights[category as usize]);
        u32::try_from(u64::from(points) * u64::from(percent) / 100).unwrap_or(u32::MAX)
    }

    /// The same rules under the same policy, with nothing decided beforehand.
    #[cfg(test)]
    pub(super) fn unfolded(rules: Arc<Rules>, policy: Policy) -> Self {
        let mut profile = Self::new(rules, policy);
        profile.live_rules = Bits::full(profile.rules.rules.len());
        leave_out(&profile.rules, &profile.policy, &profile.exclusions, &mut profile.live_rules);
        profile.start = pinned(&profile.rules, &profile.policy);
        profile.divide();
        profile
    }

    /// Divides live rules into those that scanning finds candidates for, and the others.
    fn divide(&mut self) {
        let mut live = Bits::new(self.rules.probes.len());
        for (phase, steps) in self.rules.phases.iter().enumerate() {
            for (step, &rule) in steps.iter().enumerate() {
                let at = usize::from(rule);
                match self.rules.rules[at].probe {
                    _ if !self.live_rules.contains(at) => {}
                    Some(probe) => live.insert(usize::from(probe)),
                    None => self.always[phase].insert(step),
                }
            }
        }
        self.sight = Sight::new(&self.rules, live);
    }
}

impl CompiledExclusion {
    /// `None`: it names no rule of these.
    fn new(rules: &Rules, exclusion: &Exclusion) -> Option<Self> {
        let sources: Vec<_> = rules.rules.iter().map(|rule| rule.rule.clone()).collect();
        Some(Self {
            rules: Arc::new(named_rules(&sources, &exclusion.rules).ok()?),
            target: exclusion.target.as_ref().map(|target| Arc::new(compiled(target))),
            path: exclusion.path.clone(),
            methods: exclusion.methods.clone(),
        })
    }

    fn is_unconditional(&self) -> bool {
        self.target.is_none() && self.path.is_none() && self.methods.is_empty()
    }

    pub fn applies(&self, method: &[u8], path: &[u8]) -> bool {
        let of_path = |prefix: &Arc<str>| {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix).as_bytes();
            path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.path.as_ref().is_none_or(of_path)
            && (self.methods.is_empty()
                || self.methods.iter().any(|name| name.as_bytes() == method))
    }
}

/// Takes out what the policy leaves out whatever the request.
fn leave_out(rules: &Rules, policy: &Policy, exclusions: &[CompiledExclusion], live: &mut Bits) {
    let paranoia = policy.paranoia.unwrap_or(1);
    for (at, Compiled { rule, .. }) in rules.rules.iter().enumerate() {
        let too_strict = rule.points > 0 && rule.paranoia > paranoia;
        let replaced = policy.content_types.is_some() && rule.id == CONTENT_TYPE_RULE;
        if too_strict || replaced {
            live.remove(at);
        }
    }
    exclusions
        .iter()
        .filter(|exclusion| exclusion.is_unconditional())
        .for_each(|exclusion| subtract(live, &exclusion.rules));
}

/// Rules that are watched only.
fn shadow(rules: &Rules, policy: &Policy) -> Bits {
    let sources: Vec<_> = rules.rules.iter().map(|rule| rule.rule.clone()).collect();
    let mut shadow = Bits::new(sources.len());
    policy
        .shadow
        .iter()
        .filter_map(|named| named_rules(&sources, named).ok())
        .for_each(|bits| shadow.union(&bits));
    shadow
}

/// Variables of the Core Rule Set that a policy sets, whatever its setup says.
fn pinned(rules: &Rules, policy: &Policy) -> Vec<(Slot, Start)> {
    let never = |limit: Option<u32>| limit.map(|_| i64::from(u32::MAX));
    let paranoia = policy.paranoia.map(i64::from);
    let variables: [(&[u8], Option<i64>); 6] = [
        (b"blocking_paranoia_level", paranoia),
        (b"detection_paranoia_level", paranoia),
        (b"paranoia_level", paranoia),
        (b"executing_paranoia_level", paranoia),
        (b"inbound_anomaly_score_threshold", never(policy.block_at)),
        (b"outbound_anomaly_score_threshold", never(policy.block_response_at)),
    ];
    let pin = |(name, value): (&[u8], Option<i64>)| {
        Some((Slot(rules.slots.get(name)?), Start::Number(value?)))
    };
    variables.into_iter().filter_map(pin).collect()
}

/// A target of a policy. Patterns are for rules; a policy names entries.
fn compiled(target: &Target) -> CompiledTarget {
    let selector = match &target.selector {
        Selector::All => CompiledSelector::All,
        Selector::Key(name) | Selector::Pattern(name) => {
            CompiledSelector::Key(Key::NONE, name.to_ascii_lowercase().into_bytes().into())
        }
    };
    CompiledTarget::new(target, selector)
}

fn subtract(from: &mut Bits, bits: &Bits) {
    from.words_mut().iter_mut().zip(bits.words()).for_each(|(word, bits)| *word &= !bits);
}

/// Percent for each category.
fn weights(policy: &Policy) -> Vec<u16> {
    let mut weights = vec![100; Category::WebShell as usize + 1];
    policy.weights.iter().for_each(|&(category, percent)| weights[category as usize] = percent);
    weights
}

impl Start {
    pub fn held(&self, arena: &mut super::arena::Arena) -> Held {
        match self {
            Self::Number(number) => Held::Number(*number),
            Self::Text(text) => Held::Text(arena.derive(text)),
        }
    }
}
