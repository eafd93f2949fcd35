//! What the rules decide before there is a request: constants are followed through them in the order in
//! which they are asked. So the gates of paranoia levels cost nothing, and neither does setting up scores.

use std::{collections::BTreeMap, iter};

use super::{
    Rules,
    bits::Bits,
    compile::{
        Compiled, CompiledChange, CompiledEffect, CompiledLink, CompiledSelector, CompiledTarget,
        Test, VariableName,
    },
    expression,
    profile::Start,
    template::{Part, Slot, Template},
    test,
};
use crate::rule::{Disruptive, Phase, Variable};

/// The last phase.
const LOG: usize = Phase::Log as usize;

/// What is known beforehand.
pub(super) struct Folded {
    /// Rules that can be reached and whose work is not done yet.
    pub live: Bits,
    /// What variables hold before the first of them is asked.
    pub start: Vec<(Slot, Start)>,
}

/// What a variable of the transaction holds at some point.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Value(Start),
    /// It depends on the request.
    Unknown,
}

/// Whether a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Always,
    Never,
    Unknown,
}

/// Follows constants. `live` are the rules to begin with, `unsure` those that a request may take out, `pinned` the variables
/// that the policy sets.
pub(super) fn fold(rules: &Rules, live: Bits, unsure: Bits, pinned: &[(Slot, Start)]) -> Folded {
    let mut known = vec![Known::Nothing; rules.slots.len()];
    for (slot, start) in pinned {
        known[usize::from(slot.0)] = Known::Value(start.clone());
    }
    let start = known.clone();
    let pinned = pinned.iter().map(|(slot, _)| *slot).collect();
    let mut folding = Folding {
        rules,
        live,
        unsure,
        pinned,
        known,
        start,
        ended: Vec::new(),
        touched: vec![false; rules.slots.len()],
        logged: logged(rules),
        at_ends: None,
    };
    (0..5).for_each(|phase| folding.phase(phase));
    folding.finish()
}

struct Folding<'a> {
    rules: &'a Rules,
    live: Bits,
    unsure: Bits,
    pinned: Vec<Slot>,
    known: Vec<Known>,
    /// What they hold before the first live rule.
    start: Vec<Known>,
    /// What is known where a rule's `allow` may have ended things.
    ended: Vec<Vec<Known>>,
    /// Whether a live rule reads or sets them.
    touched: Vec<bool>,
    /// Whether a rule of the last phase reads them: it is asked however early an exchange ends.
    logged: Vec<bool>,
    /// What is known wherever an exchange may have ended so far.
    at_ends: Option<Vec<Known>>,
}

impl Folding<'_> {
    fn phase(&mut self, phase: usize) {
        let steps = &self.rules.phases[phase];
        let mut jumps: BTreeMap<usize, Vec<Known>> = BTreeMap::new();
        let mut reachable = true;
        if phase == LOG {
            self.at_ends.take().iter().for_each(|ends| join(&mut self.known, ends));
        }
        for (step, &rule) in steps.iter().enumerate() {
            reachable = self.arrive(&mut jumps, step, reachable);
            let at = usize::from(rule);
            if !reachable {
                self.live.remove(at);
            }
            if !reachable || !self.live.contains(at) {
                continue;
            }
            let compiled = &self.rules.rules[at];
            let before = self.known.clone();
            let outcome = match self.follow(compiled) {
                Outcome::Always if self.unsure.contains(at) => self.doubt(compiled, &before),
                outcome => outcome,
            };
            let by_all = jumps.is_empty() && self.ended.is_empty();
            self.place(at, compiled, outcome, &before, by_all);
            if outcome != Outcome::Never && may_end(self.rules, compiled) {
                self.end_here();
            }
            if outcome != Outcome::Never && matches!(compiled.rule.disruptive, Disruptive::Allow(_))
            {
                self.ended.push(self.known.clone());
            }
            let Some(target) = compiled.skip_to.filter(|_| outcome != Outcome::Never) else {
                continue;
            };
            self.jump(&mut jumps, target);
            reachable = outcome == Outcome::Unknown;
        }
        self.arrive(&mut jumps, steps.len(), reachable);
        self.ended.iter().for_each(|ended| join(&mut self.known, ended));
        // By its points, by a bound, or because there is no more of it.
        self.end_here();
    }

    /// From here on an exchange may come to the last phase without what follows.
    fn end_here(&mut self) {
        match &mut self.at_ends {
            Some(ends) => join(ends, &self.known),
            None => self.at_ends = Some(self.known.clone()),
        }
    }

    /// Joins what is known with what those know who jump here.
    fn arrive(
        &mut self,
        jumps: &mut BTreeMap<usize, Vec<Known>>,
        step: usize,
        reachable: bool,
    ) -> bool {
        let Some(jumped) = jumps.remove(&step) else { return reachable };
        if reachable {
            join(&mut self.known, &jumped);
        } else {
            self.known = jumped;
        }
        true
    }

    fn jump(&self, jumps: &mut BTreeMap<usize, Vec<Known>>, target: usize) {
        jumps
            .entry(target)
            .and_modify(|known| join(known, &self.known))
            .or_insert_with(|| self.known.clone());
    }

    /// Decides whether a rule stays, now that its outcome is known, and whether every exchange comes by it.
    fn place(
        &mut self,
        at: usize,
        compiled: &Compiled,
        outcome: Outcome,
        before: &[Known],
        by_all: bool,
    ) {
        match outcome {
            Outcome::Never if !self.has_effects(compiled, before) => self.live.remove(at),
            Outcome::Always if is_silent(compiled) && self.is_done_beforehand(compiled, by_all) => {
                self.live.remove(at);
                for slot in written(self.rules, compiled) {
                    self.start[slot] = self.known[slot].clone();
                }
            }
            _ => self.touch(compiled),
        }
    }

    /// Whether following the rule changed anything: the first links of a chain may, though the chain does not match.
    fn has_effects(&self, compiled: &Compiled, before: &[Known]) -> bool {
        let sets = |effect: &CompiledEffect| {
            matches!(effect, CompiledEffect::Set(VariableName::Slot(_), _))
        };
        let starts = compiled.links.iter().rev().skip(1);
        self.known != before || !starts.flat_map(|link| &link.effects).all(sets)
    }

    /// Whether what a rule sets can be set before all others: a rule that some exchanges jump over may set nothing for those.
    fn is_done_beforehand(&self, compiled: &Compiled, by_all: bool) -> bool {
        let effects = compiled.links.iter().flat_map(|link| &link.effects);
        let mut sets =
            effects.map(|effect| matches!(effect, CompiledEffect::Set(VariableName::Slot(_), _)));
        let known = |slot: usize| self.known[slot] != Known::Unknown && !self.touched[slot];
        let is_early = |slot: usize| self.at_ends.is_none() || !self.logged[slot];
        // Nor may a jump be left out over rules that others, who jump as well, come by.
        let leaves_no_trace =
            compiled.skip_to.is_none() && written(self.rules, compiled).next().is_none();
        sets.all(|set| set)
            && (by_all || leaves_no_trace)
            && written(self.rules, compiled).all(|slot| known(slot) && is_early(slot))
    }

    /// Marks what a rule that stays reads and sets, and the rules that it may take out.
    fn touch(&mut self, compiled: &Compiled) {
        for effect in compiled.links.iter().flat_map(|link| &link.effects) {
            if let CompiledEffect::RemoveRules(removed) = effect {
                self.unsure.union(removed);
            }
        }
        let slots: Vec<usize> =
            written(self.rules, compiled).chain(read(self.rules, compiled)).collect();
        slots.into_iter().for_each(|slot| self.touched[slot] = true);
    }

    /// What is known of a rule that always matches, but may have been taken out by another. One that only leads elsewhere is a
    /// gate, and to take out a gate does not open what lies behind it.
    fn doubt(&mut self, compiled: &Compiled, before: &[Known]) -> Outcome {
        join(&mut self.known, before);
        let is_gate = compiled.links.iter().all(|link| link.effects.is_empty());
        if is_gate { Outcome::Always } else { Outcome::Unknown }
    }

    /// The outcome of a rule; what is known afterwards is entered.
    fn follow(&mut self, compiled: &Compiled) -> Outcome {
        let mut sure = true;
        for link in &compiled.links {
            let times = if sure { self.times(link) } else { None };
            match times {
                Some(0) => return Outcome::Never,
                Some(times) => (0..times).for_each(|_| self.apply(link)),
                None => {
                    sure = false;
                    self.blur(link);
                }
            }
        }
        if sure { Outcome::Always } else { Outcome::Unknown }
    }

    /// How often a link holds, if that is known.
    fn times(&self, link: &CompiledLink) -> Option<usize> {
        if link.targets.is_empty() {
            return Some(1);
        }
        if !link.excludes.is_empty() || link.multi_match || link.capture {
            return None;
        }
        let holds = link.targets.iter().map(|target| self.holds(link, target));
        holds.sum()
    }

    fn holds(&self, link: &CompiledLink, target: &CompiledTarget) -> Option<usize> {
        let (Variable::Tx, CompiledSelector::Key(_, name)) = (target.variable, &target.selector)
        else {
            return None;
        };
        let value = &self.known[usize::from(self.rules.slots.get(name)?)];
        let text = match value {
            Known::Unknown => return None,
            Known::Nothing if target.count => b"0".to_vec(),
            Known::Value(_) if target.count => b"1".to_vec(),
            Known::Nothing => return Some(0),
            Known::Value(start) => start.text(),
        };
        let text = link.transformations.iter().fold(text, |text, step| {
            let mut out = Vec::new();
            if step.apply(&text, &mut out) { out } else { text }
        });
        let found = self.found(&link.test, &text)?;
        Some(usize::from(found != link.negated))
    }

    fn found(&self, test: &Test, text: &[u8]) -> Option<bool> {
        Some(match test {
            Test::Rx(regex) => {
                self.rules.regex(*regex).is_match(&mut expression::Cache::default(), text)
            }
            Test::Contains(argument)
            | Test::ContainsWord(argument)
            | Test::BeginsWith(argument)
            | Test::EndsWith(argument)
            | Test::Equals(argument)
            | Test::Within(argument)
            | Test::Number(_, argument) => {
                test::compare(test, text, &self.text(argument)?).is_some()
            }
            Test::CreditCard(_) | Test::Cpf(_) | Test::Ssn(_) | Test::Never => return None,
            _ => test::simple(test, text).is_some(),
        })
    }

    /// A text with its variables filled in, if they are known.
    fn text(&self, template: &Template) -> Option<Vec<u8>> {
        let part = |part: &Part| match part {
            Part::Literal(text) => Some(text.to_vec()),
            Part::Slot(slot) => match &self.known[usize::from(slot.0)] {
                Known::Nothing => Some(Vec::new()),
                Known::Value(start) => Some(start.text()),
                Known::Unknown => None,
            },
            Part::Variable(..) => None,
        };
        template.0.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    }

    /// Does what a link does that holds.
    fn apply(&mut self, link: &CompiledLink) {
        for effect in &link.effects {
            let CompiledEffect::Set(name, change) = effect else { continue };
            match name {
                VariableName::Slot(slot) => {
                    let value = self.changed(*slot, change);
                    self.enter(*slot, value);
                }
                VariableName::Named(Variable::Tx, key) => self.blur_named(key),
                VariableName::Named(..) => {}
            }
        }
    }

    fn changed(&self, slot: Slot, change: &CompiledChange) -> Known {
        let value = |template| {
            self.text(template).map_or(Known::Unknown, |text| Known::Value(Start::of(&text)))
        };
        let sum = |template, sign: i64| {
            let before = match &self.known[usize::from(slot.0)] {
                Known::Nothing => 0,
                Known::Value(start) => test::number(&start.text()),
                Known::Unknown => return Known::Unknown,
            };
            let by = self.text(template).map(|text| test::number(&text));
            by.map_or(Known::Unknown, |by| {
                Known::Value(Start::Number(before.saturating_add(sign * by)))
            })
        };
        match change {
            CompiledChange::Set(template) => value(template),
            CompiledChange::Add(template) => sum(template, 1),
            CompiledChange::Subtract(template) => sum(template, -1),
            CompiledChange::Remove => Known::Nothing,
        }
    }

    fn enter(&mut self, slot: Slot, value: Known) {
        if !self.pinned.contains(&slot) {
            self.known[usize::from(slot.0)] = value;
        }
    }

    /// Forgets what a link may change.
    fn blur(&mut self, link: &CompiledLink) {
        if link.capture {
            (0..10).for_each(|slot| self.known[slot] = Known::Unknown);
        }
        for effect in &link.effects {
            match effect {
                CompiledEffect::Set(VariableName::Slot(slot), _) => {
                    self.enter(*slot, Known::Unknown)
                }
                CompiledEffect::Set(VariableName::Named(Variable::Tx, key), _) => {
                    self.blur_named(key)
                }
                _ => {}
            }
        }
    }

    fn blur_named(&mut self, key: &Template) {
        for slot in slots_like(self.rules, key) {
            self.known[slot] = Known::Unknown;
        }
    }

    fn finish(self) -> Folded {
        let start = self.start.into_iter().enumerate().filter_map(|(slot, known)| match known {
            Known::Value(start) => Some((Slot(slot as u16), start)),
            _ => None,
        });
        Folded { live: self.live, start: start.collect() }
    }
}

impl Start {
    fn of(text: &[u8]) -> Self {
        let number = test::number(text);
        if number.to_string().as_bytes() == text {
            Self::Number(number)
        } else {
            Self::Text(text.into())
        }
    }

    fn text(&self) -> Vec<u8> {
        match self {
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Text(text) => text.to_vec(),
        }
    }
}

fn join(known: &mut [Known], other: &[Known]) {
    for (known, other) in known.iter_mut().zip(other) {
        if known != other {
            *known = Known::Unknown;
        }
    }
}

/// Whether nobody sees that a rule matched but by what it sets and where it leads.
fn is_silent(compiled: &Compiled) -> bool {
    !compiled.rule.log && compiled.rule.points == 0 && compiled.rule.disruptive == Disruptive::Pass
}

/// Whether an exchange may end with a match: by what the rule says, or by its points where the policy waits for no more.
fn may_end(rules: &Rules, compiled: &Compiled) -> bool {
    let refuses = matches!(compiled.rule.disruptive, Disruptive::Deny | Disruptive::Redirect(_));
    let mut sets = compiled.links.iter().flat_map(|link| &link.effects);
    let gives_points = sets.any(|effect| {
        matches!(effect, CompiledEffect::Set(VariableName::Slot(slot), _) if rules.is_score(*slot))
    });
    refuses || gives_points || compiled.rule.points > 0
}

/// The variables that rules of the last phase may read.
fn logged(rules: &Rules) -> Vec<bool> {
    let mut logged = vec![false; rules.slots.len()];
    for &rule in &rules.phases[LOG] {
        for slot in read(rules, &rules.rules[usize::from(rule)]) {
            logged[slot] = true;
        }
    }
    logged
}

/// The variables that a rule may set.
fn written<'a>(rules: &'a Rules, compiled: &'a Compiled) -> impl Iterator<Item = usize> + 'a {
    let captures = compiled.links.iter().any(|link| link.capture);
    let effects = compiled.links.iter().flat_map(|link| &link.effects);
    let set = effects.flat_map(|effect| match effect {
        CompiledEffect::Set(VariableName::Slot(slot), _) => vec![usize::from(slot.0)],
        CompiledEffect::Set(VariableName::Named(Variable::Tx, key), _) => slots_like(rules, key),
        _ => Vec::new(),
    });
    set.chain((0..10).filter(move |_| captures))
}

/// The variables that a rule may read.
fn read<'a>(rules: &'a Rules, compiled: &'a Compiled) -> impl Iterator<Item = usize> + 'a {
    let targets = compiled.links.iter().flat_map(|link| link.targets.iter().chain(&link.excludes));
    let of_targets = targets.filter(|target| target.variable == Variable::Tx).flat_map(|target| {
        match &target.selector {
            CompiledSelector::Key(_, name) => {
                rules.slots.get(name).map(usize::from).into_iter().collect()
            }
            _ => (0..rules.slots.len()).collect::<Vec<_>>(),
        }
    });
    let of_templates =
        templates(compiled).flat_map(|template| &template.0).filter_map(|part| match part {
            Part::Slot(slot) => Some(usize::from(slot.0)),
            _ => None,
        });
    let counted =
        compiled.links.iter().flat_map(|link| &link.effects).filter_map(|effect| match effect {
            CompiledEffect::Set(
                VariableName::Slot(slot),
                CompiledChange::Add(_) | CompiledChange::Subtract(_),
            ) => Some(usize::from(slot.0)),
            _ => None,
        });
    of_targets.chain(of_templates).chain(counted)
}

fn templates(compiled: &Compiled) -> impl Iterator<Item = &Template> {
    let own = [&compiled.message, &compiled.log_data, &compiled.location].into_iter().flatten();
    own.chain(compiled.links.iter().flat_map(|link| {
        link.test.argument().into_iter().chain(link.effects.iter().flat_map(of_effect))
    }))
}

fn of_effect(effect: &CompiledEffect) -> Box<dyn Iterator<Item = &Template> + '_> {
    match effect {
        CompiledEffect::Set(name, change) => {
            let key = match name {
                VariableName::Named(_, key) => Some(key),
                VariableName::Slot(_) => None,
            };
            let value = match change {
                CompiledChange::Set(value)
                | CompiledChange::Add(value)
                | CompiledChange::Subtract(value) => Some(value),
                CompiledChange::Remove => None,
            };
            Box::new(key.into_iter().chain(value))
        }
        CompiledEffect::Expire(_, key, value) | CompiledEffect::Deprecate(_, key, value) => {
            Box::new([key, value].into_iter())
        }
        CompiledEffect::Open(_, key) => Box::new(iter::once(key)),
        _ => Box::new(iter::empty()),
    }
}

/// The variables that a name with variables in it may mean: those that begin as it does.
fn slots_like(rules: &Rules, key: &Template) -> Vec<usize> {
    let prefix = match key.0.first() {
        Some(Part::Literal(text)) => text.to_ascii_lowercase(),
        _ => Vec::new(),
    };
    (0..rules.slots.len())
        .filter(|&slot| rules.slots.name(slot as u16).starts_with(&prefix))
        .collect()
}
