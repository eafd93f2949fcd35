//! Directives become rules.

use std::sync::Arc;

use super::action::Action;
use crate::{
    rule::{
        Category, Disruptive, Effect, Link, Operator, Phase, Place, Rule, Selector, Target, Text,
        Variable,
    },
    transform::Transformation,
};

/// A rule as it is written: a `SecRule` or `SecAction` and what `chain` adds.
#[derive(Debug)]
pub(super) struct Draft {
    pub links: Vec<DraftLink>,
    /// How many `SecDefaultAction` stand before it.
    pub defaults_before: usize,
}

/// A directive of a chain.
#[derive(Debug)]
pub(super) struct DraftLink {
    pub place: Place,
    pub targets: Vec<Target>,
    pub operator: Operator,
    pub negated: bool,
    pub actions: Vec<Action>,
}

/// `SecDefaultAction`.
#[derive(Debug)]
pub(super) struct Default {
    pub phase: Phase,
    pub actions: Vec<Action>,
}

/// A rule, and what exceptions need to know of it.
#[derive(Debug)]
pub(super) struct Built {
    pub rule: Rule,
    /// As written.
    pub message: Option<Arc<str>>,
    /// `SecRuleRemoveBy…` names it.
    pub removed: bool,
}

impl Draft {
    /// The number that the rule says.
    pub(super) fn id(&self) -> Option<u64> {
        self.head().iter().rev().find_map(|action| match action {
            Action::Id(id) => Some(*id),
            _ => None,
        })
    }

    fn phase(&self) -> Phase {
        let said = self.head().iter().rev().find_map(|action| match action {
            Action::Phase(phase) => Some(*phase),
            _ => None,
        });
        said.unwrap_or(Phase::Request)
    }

    fn head(&self) -> &[Action] {
        &self.links[0].actions
    }

    /// What `SecDefaultAction` says for its phase: the last one before it, or else the first behind it.
    fn default<'d>(&self, defaults: &'d [Default]) -> &'d [Action] {
        let phase = self.phase();
        let (before, behind) = defaults.split_at(self.defaults_before);
        let fits = |default: &&Default| default.phase == phase;
        let chosen = before.iter().rev().find(fits).or_else(|| behind.iter().find(fits));
        chosen.map_or(&[], |default| &default.actions)
    }

    /// Makes a rule of it.
    pub(super) fn assemble(self, defaults: &[Default]) -> Built {
        let defaults = self.default(defaults);
        let mut built = Built {
            rule: blank(self.id().unwrap_or_default(), self.phase(), self.links[0].place.clone()),
            message: None,
            removed: false,
        };
        let mut late: Vec<Effect> = Vec::new();
        let is_chain = self.links.len() > 1;
        defaults.iter().for_each(|action| match action {
            Action::Effect(effect) => late.push(effect.clone()),
            action => built.take(action, &Disruptive::Pass),
        });
        let block = std::mem::replace(&mut built.rule.disruptive, Disruptive::Pass);
        for draft in self.links {
            draft.actions.iter().for_each(|action| built.take(action, &block));
            let mut link = draft.link(defaults);
            if is_chain {
                late.extend(link.effects.extract_if(.., |effect| waits(effect)));
            }
            built.rule.links.push(link);
        }
        let last = built.rule.links.last_mut().expect("a draft has a link");
        last.effects.append(&mut late);
        built.rule.category = category(&built.rule.tags);
        built.rule.paranoia = paranoia(&built.rule.tags);
        built
    }
}

/// ModSecurity 3 sets variables as soon as a link holds, and does all else once the chain does.
fn waits(effect: &Effect) -> bool {
    !matches!(effect, Effect::SetVar { collection, .. } if *collection != Variable::Env)
}

impl Built {
    /// Takes over what concerns the whole rule.
    fn take(&mut self, action: &Action, block: &Disruptive) {
        let rule = &mut self.rule;
        match action {
            Action::Block => rule.disruptive = block.clone(),
            Action::Disruptive(disruptive) => rule.disruptive = disruptive.clone(),
            Action::Status(status) => rule.status = Some(*status),
            Action::Log(log) => rule.log = *log,
            Action::Message(text, written) => {
                rule.message = Some(text.clone());
                self.message = Some(written.clone());
            }
            Action::LogData(text) => rule.log_data = Some(text.clone()),
            Action::Tag(tag) => rule.tags.push(tag.clone()),
            Action::Severity(severity) => rule.severity = Some(*severity),
            Action::Version(version) => rule.version = Some(version.clone()),
            Action::Skip(skip) => rule.skip = Some(skip.clone()),
            Action::Id(_)
            | Action::Phase(_)
            | Action::Chain
            | Action::Untransformed
            | Action::Transform(_)
            | Action::MultiMatch
            | Action::Capture
            | Action::Effect(_) => {}
        }
    }
}

impl DraftLink {
    fn link(self, defaults: &[Action]) -> Link {
        let has = |wanted: fn(&Action) -> bool| self.actions.iter().any(wanted);
        let effects = self.actions.iter().filter_map(|action| match action {
            Action::Effect(effect) => Some(effect.clone()),
            _ => None,
        });
        let (targets, operator) = match (self.targets.is_empty(), &self.operator) {
            (true, Operator::UnconditionalMatch) | (false, _) => {
                (self.targets.clone(), self.operator.clone())
            }
            // Nothing fills what it looks at, so it must not look like a `SecAction`, which always holds.
            (true, _) => (vec![nothing()], Operator::Inert("a rule without a variable".into())),
        };
        Link {
            transformations: transformations(defaults, &self.actions),
            multi_match: has(|action| matches!(action, Action::MultiMatch)),
            capture: has(|action| matches!(action, Action::Capture)),
            effects: effects.collect(),
            place: self.place.clone(),
            targets,
            operator,
            negated: self.negated,
        }
    }
}

fn nothing() -> Target {
    Target { variable: Variable::UniqueId, selector: Selector::All, count: false, exclude: false }
}

/// A `t:none` anywhere keeps those of `SecDefaultAction` away, and forgets what stands before it.
fn transformations(defaults: &[Action], actions: &[Action]) -> Vec<Transformation> {
    let mut chain = Vec::new();
    for action in defaults.iter().chain(actions) {
        match action {
            Action::Untransformed => chain.clear(),
            Action::Transform(transformation) => chain.push(*transformation),
            _ => {}
        }
    }
    chain
}

fn blank(id: u64, phase: Phase, place: Place) -> Rule {
    Rule {
        id,
        name: None,
        phase,
        place,
        links: Vec::new(),
        disruptive: Disruptive::Pass,
        status: None,
        skip: None,
        message: None::<Text>,
        log_data: None,
        tags: Vec::new(),
        severity: None,
        log: true,
        paranoia: 1,
        points: 0,
        category: None,
        version: None,
    }
}

/// Tags of the Core Rule Set; where several fit, the first of these counts.
const CATEGORIES: &[(&str, Category)] = &[
    ("OWASP_CRS/WEB-SHELLS", Category::WebShell),
    ("attack-sqli", Category::Sql),
    ("attack-xss", Category::Xss),
    ("attack-rce", Category::Command),
    ("attack-lfi", Category::Traversal),
    ("attack-rfi", Category::Traversal),
    ("attack-injection-php", Category::Code),
    ("attack-injection-java", Category::Code),
    ("attack-ssti", Category::Template),
    ("attack-ssrf", Category::Ssrf),
    ("attack-ldap", Category::Ldap),
    ("language-ldap", Category::Ldap),
    ("attack-xxe", Category::Xxe),
    ("attack-injection-generic", Category::Code),
    ("attack-fixation", Category::SessionFixation),
    ("attack-reputation-scanner", Category::Scanner),
    ("attack-reputation-crawler", Category::Scanner),
    ("attack-reputation-scripting", Category::Scanner),
    ("attack-multipart-header", Category::Protocol),
    ("attack-protocol", Category::Protocol),
    ("attack-disclosure", Category::Leak),
];

fn category(tags: &[Arc<str>]) -> Option<Category> {
    let has = |name: &str| tags.iter().any(|tag| tag.eq_ignore_ascii_case(name));
    CATEGORIES.iter().find(|(name, _)| has(name)).map(|(_, category)| *category)
}

fn paranoia(tags: &[Arc<str>]) -> u8 {
    let mut levels = tags.iter().filter_map(|tag| tag.strip_prefix("paranoia-level/"));
    levels.find_map(|level| level.parse().ok().filter(|level| (1..=4).contains(level))).unwrap_or(1)
}
