//! What a condition looks at.

use super::Reading;
use crate::{
    native::{
        syntax::{At, Node},
        words::{EVERYTHING, GROUPS, NEEDS_NAME, PARTS, Part, look_up},
    },
    rule::{Phase, Selector, Target, Variable},
};

/// What a condition looks at.
pub(super) struct Targets {
    pub(super) targets: Vec<Target>,
    /// From when on all of it is there.
    pub(super) phase: Phase,
    /// Whether it is what matched before.
    pub(super) are_matched: bool,
}

/// A part and which of its entries.
#[derive(Clone)]
struct Selected {
    part: Part,
    selector: Selector,
}

impl Reading {
    /// What `on` names without what `except` names.
    pub(super) fn targets(
        &self,
        on: &Node,
        except: Option<&Node>,
        is_further: bool,
    ) -> Option<Targets> {
        let written = self.texts(on, &[])?;
        let selected: Vec<_> = written.iter().map(|word| self.selected(*word)).collect();
        let selected: Option<Vec<_>> = selected.into_iter().collect();
        let selected: Vec<Selected> = selected?.into_iter().flatten().collect();
        let phase = selected.iter().map(|one| one.part.phase).max()?;
        self.complain_about_mixture(on, &selected);
        let are_matched = selected.iter().any(|one| one.part.variable == Variable::MatchedVars);
        if are_matched && !(is_further && selected.len() == 1) {
            let help = "`matched` stands alone, within `and`";
            self.fault(on.name.at, "`matched` cannot stand here", help);
        }
        let mut targets: Vec<Target> = selected.iter().flat_map(included).collect();
        if written.iter().any(|word| word.value == EVERYTHING) {
            let selector = Selector::Key("cookie".into());
            targets.push(excluded(Variable::RequestHeaders, selector));
        }
        if let Some(except) = except {
            self.leave_out(except, &mut targets)?;
        }
        Some(Targets { targets, phase, are_matched })
    }

    fn complain_about_mixture(&self, on: &Node, selected: &[Selected]) {
        let is_response = |one: &Selected| one.part.phase >= Phase::ResponseHead;
        if selected.iter().any(is_response) && !selected.iter().all(is_response) {
            let help = "ask one of them in an `and { … }`";
            self.fault(on.name.at, "a request and a response cannot be looked at at once", help);
        }
    }

    fn leave_out(&self, except: &Node, targets: &mut Vec<Target>) -> Option<()> {
        for word in self.texts(except, &[])? {
            for Selected { part, selector } in self.selected(word)? {
                if !targets.iter().any(|target| target.variable == part.variable) {
                    let message = format!("`{}` is not looked at anyway", word.value);
                    self.fault(word.at, message, "remove it, or name it behind `on`");
                }
                match selector {
                    Selector::All => targets.retain(|target| target.variable != part.variable),
                    selector => targets.push(excluded(part.variable, selector)),
                }
            }
        }
        if targets.iter().all(|target| target.exclude) {
            self.fault(except.name.at, "nothing is left to be looked at", "remove an exception");
            return None;
        }
        Some(())
    }

    /// Takes `part`, `part:name` or a group apart.
    fn selected(&self, word: At<&String>) -> Option<Vec<Selected>> {
        let (name, entry) = match word.value.split_once(':') {
            Some((name, entry)) => (name, Some(entry)),
            None => (word.value.as_str(), None),
        };
        if let (Some(parts), None) = (look_up(GROUPS, name), entry) {
            return Some(parts.iter().flat_map(|part| of_group(part)).collect());
        }
        let Some(part) = look_up(PARTS, name) else {
            let known = GROUPS.iter().map(|(group, _)| *group);
            self.unknown("part", name, word.at, PARTS.iter().map(|(part, _)| *part).chain(known));
            return None;
        };
        let selector = match entry {
            Some(entry) => self.entry(At { value: name, at: word.at }, part, entry)?,
            None if NEEDS_NAME.contains(&name) => {
                let help = format!("write `{name}:NAME`, or `{name}s` for all");
                self.fault(word.at, format!("`{name}` needs a name"), help);
                return None;
            }
            None => Selector::All,
        };
        Some(vec![Selected { part: *part, selector }])
    }

    fn entry(&self, part: At<&str>, known: &Part, entry: &str) -> Option<Selector> {
        if !known.variable.is_collection() || entry.is_empty() {
            let message = format!("`{}` has no entry {entry:?}", part.value);
            self.fault(part.at, message, format!("write `{}`", part.value));
            return None;
        }
        let pattern = entry.strip_prefix('/').and_then(|entry| entry.strip_suffix('/'));
        let Some(pattern) = pattern.filter(|_| known.variable != Variable::Xml) else {
            return Some(Selector::Key(entry.into()));
        };
        self.check_expression(At { value: pattern, at: part.at }, false)?;
        Some(Selector::Pattern(pattern.into()))
    }
}

/// A group's word as parts; groups may stand in groups.
fn of_group(word: &'static str) -> Vec<Selected> {
    match (look_up(GROUPS, word), look_up(PARTS, word)) {
        (Some(parts), _) => parts.iter().flat_map(|part| of_group(part)).collect(),
        (None, Some(part)) => vec![Selected { part: *part, selector: Selector::All }],
        (None, None) => Vec::new(),
    }
}

fn included(selected: &Selected) -> Vec<Target> {
    let Selected { part: Part { variable, phase: _ }, selector } = selected;
    let target = |selector| Target { variable: *variable, selector, count: false, exclude: false };
    match (variable, selector) {
        // The language of paths is SecLang's: all text, and all attributes.
        (Variable::Xml, Selector::All) => {
            ["/*", "//@*"].into_iter().map(|path| target(Selector::Key(path.into()))).collect()
        }
        (_, selector) => vec![target(selector.clone())],
    }
}

fn excluded(variable: Variable, selector: Selector) -> Target {
    Target { variable, selector, count: false, exclude: true }
}
