//! Rules asked in their order.

use std::{mem, sync::Arc};

use super::{
    Decision, Profile, Refusal, Rules, Transaction,
    arena::Span,
    compile::{
        Compiled, CompiledChange, CompiledEffect, CompiledLink, CompiledTarget, RegexId, Test,
        VariableName,
    },
    expression::{self, Groups},
    state::{Held, Hit},
    template::{Slot, Template},
    test,
};
use crate::rule::{Allow, Disruptive, Mode, Phase, Variable};

/// What expressions remember from search to search.
#[derive(Default)]
pub(super) struct Caches(Vec<Option<Box<expression::Cache>>>);

impl Caches {
    pub fn new(rules: &Rules) -> Self {
        Self(rules.regexes.iter().map(|_| None).collect())
    }

    fn of(&mut self, regex: RegexId) -> &mut expression::Cache {
        self.0[usize::from(regex.0)].get_or_insert_default()
    }

    pub fn is_match(&mut self, rules: &Rules, regex: RegexId, text: &[u8]) -> bool {
        rules.regex(regex).is_match(self.of(regex), text)
    }

    /// Whether an expression may find something in a text of an alphabet, as far as its sketch knows.
    fn may_match(&mut self, rules: &Rules, regex: RegexId, tier: usize, text: &[u8]) -> bool {
        rules.regex(regex).may_match(self.of(regex), tier, text)
    }

    fn find(&mut self, rules: &Rules, regex: RegexId, text: &[u8]) -> test::Found {
        if !self.is_match(rules, regex, text) {
            return None;
        }
        rules.regex(regex).find(self.of(regex), text, 0)
    }

    /// The places of the groups of a match.
    fn groups(&mut self, rules: &Rules, regex: RegexId, text: &[u8]) -> Groups {
        rules.regex(regex).groups(self.of(regex), text)
    }

    /// The first match that `accepts`, looking for further ones behind those it does not.
    fn find_where(
        &mut self,
        rules: &Rules,
        regex: RegexId,
        text: &[u8],
        accepts: fn(&[u8]) -> bool,
    ) -> test::Found {
        let mut start = 0;
        while start <= text.len() {
            let found = rules.regex(regex).find(self.of(regex), text, start)?;
            if accepts(&text[found.0..found.1]) {
                return Some(found);
            }
            start = found.1.max(found.0 + 1);
        }
        None
    }
}

impl Transaction {
    /// Asks the rules of a phase and returns what they say.
    pub(super) fn walk(&mut self, profile: &Profile, phase: Phase) -> Decision {
        if self.state.allowed.is_some() {
            return Decision::Pass;
        }
        let rules = &**profile.rules();
        let number = phase as usize;
        if mem::replace(&mut self.walked[number], true) {
            // Whoever asks twice counts twice: nothing of this exchange is known to be clean.
            self.suspects.clear();
        }
        let always = if self.framed { &profile.nothing } else { &profile.always };
        let always = &always[number];
        let mut step = 0;
        while let Some(at) = always.next_in_either(&self.candidates.steps[number], step) {
            step = at + 1;
            if self.exhausted(profile) {
                break;
            }
            let rule = rules.phases[number][at];
            if self.removed.contains(usize::from(rule))
                || !profile.live_rules.contains(usize::from(rule))
            {
                continue;
            }
            let compiled = &rules.rules[usize::from(rule)];
            self.asked = Some(rule);
            if !self.ask(profile, compiled) {
                continue;
            }
            step = compiled.skip_to.unwrap_or(step);
            if let Some(decision) = self.act(profile, rule, compiled) {
                return decision;
            }
            if self.state.allowed.is_some() || self.state.mode == Mode::Off {
                break;
            }
        }
        self.asked = None;
        if self.state.allowed == Some(Allow::Phase) {
            self.state.allowed = None;
        }
        Decision::Pass
    }

    /// Whether all links of a rule hold; their effects are done.
    fn ask(&mut self, profile: &Profile, compiled: &Compiled) -> bool {
        let rules = &**profile.rules();
        self.state.matched.clear();
        self.scored = 0;
        for (at, link) in compiled.links.iter().enumerate() {
            let before = self.state.matched.len();
            match compiled.probe {
                Some(probe) if at == 0 => self.ask_candidates(profile, link, probe),
                _ if link.targets.is_empty() => self.hold(rules, link),
                _ => self.ask_targets(profile, link),
            }
            if self.state.matched.len() == before && !link.targets.is_empty() {
                return false;
            }
        }
        true
    }

    /// `SecAction`.
    fn hold(&mut self, rules: &Rules, link: &CompiledLink) {
        link.effects.iter().for_each(|effect| self.effect(rules, effect));
    }

    /// Asks the texts that scanning found.
    fn ask_candidates(&mut self, profile: &Profile, link: &CompiledLink, probe: u16) {
        let rules = &**profile.rules();
        let mut next = self.candidates.first(probe);
        while let Some(candidate) = next {
            next = self.candidates.after(candidate);
            let value = self.data.values[candidate.value as usize];
            let Some(variable) = self.chosen(rules, link, value.class, value.name) else {
                continue;
            };
            self.work += candidate.text.len() as u64;
            let text = candidate.text;
            let may_match = match link.test {
                Test::Rx(regex) => {
                    let bytes = self.data.arena.get(text);
                    self.bench.caches.may_match(rules, regex, candidate.tier, bytes)
                }
                _ => true,
            };
            let found = if may_match { self.test(rules, link, text) } else { None };
            let Some((start, end)) = found else {
                self.acquit(candidate.value);
                continue;
            };
            // Asked last: exceptions with expressions cost more than most rules, and hardly any rule gets here.
            if !self.is_excluded(profile, link, value.class, value.name) {
                let name = value.name;
                self.hit(rules, link, Hit { variable, name, text, start, end });
            }
        }
    }

    /// The variable by which a link looks at a value, if it does.
    fn chosen(
        &mut self,
        rules: &Rules,
        link: &CompiledLink,
        class: Variable,
        name: Span,
    ) -> Option<Variable> {
        let name = self.data.arena.get(name);
        let mut targets = link.targets.iter();
        targets
            .find(|target| target.covers(rules, &mut self.bench.caches, class, name))
            .map(|target| target.variable)
    }

    /// Whether a value is one that the rule, a rule before it or the policy leaves out.
    fn is_excluded(
        &mut self,
        profile: &Profile,
        link: &CompiledLink,
        class: Variable,
        name: Span,
    ) -> bool {
        let rules = &**profile.rules();
        let name = self.data.arena.get(name);
        let caches = &mut self.bench.caches;
        if link.excludes.iter().any(|target| target.covers(rules, caches, class, name)) {
            return true;
        }
        let Some(asked) = self.asked else { return false };
        self.removed_targets.iter().any(|(removed, target)| {
            removed.contains(usize::from(asked)) && target.covers(rules, caches, class, name)
        })
    }

    /// Asks what the targets of a link stand for right now.
    fn ask_targets(&mut self, profile: &Profile, link: &CompiledLink) {
        for target in &link.targets {
            self.ask_target(profile, link, target);
        }
    }

    fn ask_target(&mut self, profile: &Profile, link: &CompiledLink, target: &CompiledTarget) {
        let rules = &**profile.rules();
        self.gather(rules, target.variable, &target.selector);
        let mut gathered = mem::take(&mut self.gathered);
        gathered.retain(|entry| !self.is_excluded(profile, link, target.variable, entry.name));
        if target.count {
            let text = self.number(gathered.len() as i64);
            self.ask_text(rules, link, target.variable, Span::default(), text);
        } else {
            for entry in &gathered {
                self.ask_text(rules, link, target.variable, entry.name, entry.value);
            }
        }
        gathered.clear();
        self.gathered = gathered;
    }

    /// Asks one value through the link's transformations.
    fn ask_text(
        &mut self,
        rules: &Rules,
        link: &CompiledLink,
        variable: Variable,
        name: Span,
        value: Span,
    ) {
        let mut text = value;
        for step in &link.transformations {
            let before = text;
            text = self.transformed(text, *step);
            if link.multi_match && text != before {
                self.ask_one(rules, link, variable, name, before);
            }
        }
        self.ask_one(rules, link, variable, name, text);
    }

    /// Asks one text.
    fn ask_one(
        &mut self,
        rules: &Rules,
        link: &CompiledLink,
        variable: Variable,
        name: Span,
        text: Span,
    ) {
        self.work += text.len() as u64;
        if let Some((start, end)) = self.test(rules, link, text) {
            self.hit(rules, link, Hit { variable, name, text, start, end });
        }
    }

    pub(super) fn transformed(
        &mut self,
        text: Span,
        step: crate::transform::Transformation,
    ) -> Span {
        let mut swap = mem::take(&mut self.swap);
        swap.clear();
        let changed = step.apply(self.data.arena.get(text), &mut swap);
        let text = if changed { self.data.arena.derive(&swap) } else { text };
        self.swap = swap;
        text
    }

    /// What the operator says of a text, turned around where the rule says so.
    fn test(&mut self, rules: &Rules, link: &CompiledLink, text: Span) -> test::Found {
        let found = self.operator(rules, &link.test, text);
        match (link.negated, found) {
            (false, found) => found,
            (true, None) if !matches!(link.test, Test::Never) => Some((0, text.len())),
            (true, _) => None,
        }
    }

    fn operator(&mut self, rules: &Rules, test: &Test, text: Span) -> test::Found {
        let find_where = |this: &mut Self, regex: &RegexId, accepts| {
            this.bench.caches.find_where(rules, *regex, this.data.arena.get(text), accepts)
        };
        match test {
            Test::Rx(regex) => self.bench.caches.find(rules, *regex, self.data.arena.get(text)),
            Test::CreditCard(regex) => find_where(self, regex, test::is_credit_card),
            Test::Cpf(regex) => find_where(self, regex, test::is_cpf),
            Test::Ssn(regex) => find_where(self, regex, test::is_ssn),
            Test::Contains(argument)
            | Test::ContainsWord(argument)
            | Test::BeginsWith(argument)
            | Test::EndsWith(argument)
            | Test::Equals(argument)
            | Test::Within(argument)
            | Test::Number(_, argument) => self.compare(rules, test, argument, text),
            _ => test::simple(test, self.data.arena.get(text)),
        }
    }

    fn compare(
        &mut self,
        rules: &Rules,
        test: &Test,
        argument: &Template,
        text: Span,
    ) -> test::Found {
        if let Some(argument) = argument.literal() {
            return test::compare(test, self.data.arena.get(text), argument);
        }
        let argument = self.expand(rules, argument);
        test::compare(test, self.data.arena.get(text), self.data.arena.get(argument))
    }

    /// Enters what a link fired on, and does what it does beside.
    fn hit(&mut self, rules: &Rules, link: &CompiledLink, hit: Hit) {
        self.state.matched.push(hit);
        if link.capture {
            self.capture(rules, link, &hit);
        }
        link.effects.iter().for_each(|effect| self.effect(rules, effect));
    }

    /// Keeps the groups of a match as `TX:0` … `TX:9`.
    fn capture(&mut self, rules: &Rules, link: &CompiledLink, hit: &Hit) {
        match &link.test {
            Test::Rx(regex) if !link.negated => {
                let groups = self.bench.caches.groups(rules, *regex, self.data.arena.get(hit.text));
                for (slot, group) in groups.into_iter().enumerate() {
                    if let Some((start, end)) = group {
                        self.state
                            .set_slot(Slot(slot as u16), Held::Text(hit.text.part(start, end)));
                    }
                }
            }
            _ => self.state.set_slot(Slot(0), Held::Text(hit.text.part(hit.start, hit.end))),
        }
    }

    fn effect(&mut self, rules: &Rules, effect: &CompiledEffect) {
        match effect {
            CompiledEffect::Set(name, change) => self.set(rules, name, change),
            CompiledEffect::Mode(mode) => self.state.mode = *mode,
            CompiledEffect::RequestBody(on) => self.state.request_body = *on,
            CompiledEffect::ResponseBody(on) => self.state.response_body = *on,
            CompiledEffect::Processor(processor) => self.state.processor = Some(*processor),
            CompiledEffect::ForceRequestBody(on) => self.state.force_request_body = *on,
            CompiledEffect::RemoveRules(rules) => self.removed.union(rules),
            CompiledEffect::RemoveTarget(rules, target) => {
                self.removed_targets.push((rules.clone(), target.clone()))
            }
            CompiledEffect::Open(collection, key) => self.open(rules, *collection, key),
            CompiledEffect::Expire(collection, key, seconds) => {
                self.expire(rules, *collection, key, seconds)
            }
            CompiledEffect::Deprecate(collection, key, decay) => {
                self.deprecate(rules, *collection, key, decay)
            }
        }
    }

    fn set(&mut self, rules: &Rules, name: &VariableName, change: &CompiledChange) {
        if self.is_watched_score(rules, name) {
            return;
        }
        let (template, sign) = match change {
            CompiledChange::Set(template) => (Some(template), 0),
            CompiledChange::Add(template) => (Some(template), 1),
            CompiledChange::Subtract(template) => (Some(template), -1),
            CompiledChange::Remove => (None, 0),
        };
        let text = template.map(|template| self.expand(rules, template));
        let (collection, slot, key) = match name {
            VariableName::Slot(slot) => (Variable::Tx, Some(*slot), Span::default()),
            VariableName::Named(collection, key) => {
                let key = self.expand(rules, key);
                (*collection, None, self.lower(key))
            }
        };
        let mut grown = None;
        let held = match text {
            None => Held::Nothing,
            Some(text) if sign == 0 => self.assigned(text),
            Some(text) => {
                let by = sign * test::number(self.data.arena.get(text));
                let before = self.value(rules, collection, slot, key);
                self.count(rules, slot, by);
                grown = Some(by);
                Held::Number(self.as_number(before).saturating_add(by))
            }
        };
        match slot {
            Some(slot) => self.state.set_slot(slot, held),
            None => {
                let mut name = mem::take(&mut self.bench.name);
                name.clear();
                name.extend_from_slice(self.data.arena.get(key));
                self.note_change(collection, &name, grown);
                self.state.set(&mut self.data.arena, &rules.slots, collection, &name, held);
                self.bench.name = name;
            }
        }
    }

    /// Whether it is a score, and the rule at hand one that is only watched.
    fn is_watched_score(&self, rules: &Rules, name: &VariableName) -> bool {
        let VariableName::Slot(slot) = name else { return false };
        let watched = |profile: &Arc<Profile>| {
            self.asked.is_some_and(|rule| profile.shadow.contains(usize::from(rule)))
        };
        rules.is_score(*slot) && self.profile.as_ref().is_some_and(watched)
    }

    fn lower(&mut self, text: Span) -> Span {
        self.transformed(text, crate::transform::Transformation::Lowercase)
    }

    fn value(&self, rules: &Rules, collection: Variable, slot: Option<Slot>, key: Span) -> Held {
        match slot {
            Some(slot) => self.state.slot(slot),
            None => {
                self.state.get(&self.data.arena, &rules.slots, collection, self.data.arena.get(key))
            }
        }
    }

    pub(super) fn as_number(&self, held: Held) -> i64 {
        match held {
            Held::Nothing => 0,
            Held::Number(number) => number,
            Held::Text(text) => test::number(self.data.arena.get(text)),
        }
    }

    /// A number where the text is one as numbers are written, so that adding to it needs no reading.
    fn assigned(&self, text: Span) -> Held {
        let bytes = self.data.arena.get(text);
        let plain = bytes.len() < 18
            && !bytes.is_empty()
            && bytes.iter().all(u8::is_ascii_digit)
            && (bytes[0] != b'0' || bytes.len() == 1);
        if plain { Held::Number(test::number(bytes)) } else { Held::Text(text) }
    }

    /// Remembers points that the rule at hand gives.
    fn count(&mut self, rules: &Rules, slot: Option<Slot>, by: i64) {
        let points = slot.filter(|slot| rules.is_score(*slot)).map_or(0, |_| by.max(0));
        self.scored = self.scored.saturating_add(u32::try_from(points).unwrap_or(u32::MAX));
    }

    /// Enters a match and returns the decision, if the rule makes one.
    fn act(&mut self, profile: &Profile, rule: u16, compiled: &Compiled) -> Option<Decision> {
        let shadow = profile.shadow.contains(usize::from(rule));
        self.enter(profile, compiled, shadow);
        if shadow {
            return None;
        }
        match &compiled.rule.disruptive {
            Disruptive::Pass => self.early(profile),
            Disruptive::Allow(allow) => {
                self.state.allowed = Some(*allow);
                None
            }
            Disruptive::Deny => self.refuse(profile, compiled, None),
            Disruptive::Redirect(_) => {
                let location = compiled
                    .location
                    .as_ref()
                    .map(|location| self.expand(profile.rules(), location));
                let location = location.map(|location| {
                    String::from_utf8_lossy(self.data.arena.get(location)).into_owned()
                });
                self.refuse(profile, compiled, location)
            }
        }
    }

    fn refuse(
        &mut self,
        profile: &Profile,
        compiled: &Compiled,
        location: Option<String>,
    ) -> Option<Decision> {
        let default = if location.is_some() { 302 } else { profile.policy().status };
        let rules = profile.rules();
        let message = compiled.message.as_ref().map(|message| self.expand(rules, message));
        let refusal = Refusal {
            status: compiled.rule.status.unwrap_or(default),
            location,
            rule: Some(compiled.rule.id),
            reason: message.map_or_else(String::new, |text| {
                String::from_utf8_lossy(self.data.arena.get(text)).into_owned()
            }),
        };
        self.conclude(profile, refusal)
    }
}
