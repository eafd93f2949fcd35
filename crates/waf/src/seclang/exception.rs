//! What is taken from rules again: `SecRuleRemoveBy…`, `SecRuleUpdateTargetBy…`.

use std::{ops::RangeInclusive, sync::Arc};

use regex_automata::meta::Regex;

use super::{
    action::ids,
    assembly::Built,
    report::{Fault, Findings, NoteKind, fault},
    source::{Word, Words},
    target::{self, shortened},
};
use crate::rule::{Place, Target};

/// The most comparisons of what exceptions name with what rules have.
const COMPARISONS_MAX: usize = 50_000_000;
/// What a target of an exception takes, in comparisons.
const TARGET_COST: usize = 20;
/// The most targets of a rule with those that exceptions add.
const TARGETS_MAX: usize = 4_096;
/// The longest name or pattern of tags and messages.
const NAME_BYTES_MAX: usize = 4_096;
/// Memory of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 16;
/// What makes a name of a tag or message a pattern. A lone `.` does not.
const PATTERN: &[char] = &['\\', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

/// Rules, and what becomes of them.
#[derive(Debug)]
pub(super) struct Exception {
    place: Place,
    construct: &'static str,
    which: Which,
    change: Change,
}

#[derive(Debug)]
enum Which {
    Ids(Vec<RangeInclusive<u64>>),
    Tag(Name),
    Message(Name),
}

/// The name of a tag, or a message.
#[derive(Debug)]
enum Name {
    Exactly(String),
    /// Also where this finds something.
    Pattern(Box<Regex>),
}

#[derive(Debug)]
enum Change {
    Remove,
    Add(Vec<Target>),
    /// These instead of those.
    Replace(Vec<Target>, Vec<Target>),
}

/// By what an exception names rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Id,
    Tag,
    Message,
}

impl By {
    fn read(self, written: &str) -> Result<Which, Fault> {
        Ok(match self {
            Self::Id => Which::Ids(ids(written)?),
            Self::Tag => Which::Tag(Name::new(written)?),
            Self::Message => Which::Message(Name::new(written)?),
        })
    }
}

/// Reads the rules of `SecRuleRemoveBy…`.
pub(super) fn removals(
    by: By,
    arguments: &str,
    construct: &'static str,
    place: &Place,
) -> Result<Vec<Exception>, Fault> {
    let remove = |written: &str| {
        let which = by.read(written)?;
        Ok(Exception { place: place.clone(), construct, which, change: Change::Remove })
    };
    let arguments = arguments.trim();
    // A message without quotes is the whole line, as ModSecurity 3 reads it.
    if arguments.is_empty() || matches!(by, By::Message) && !arguments.starts_with(['"', '\'']) {
        return Ok(vec![remove(arguments)?]);
    }
    Words(arguments).all()?.iter().map(|word| remove(&word.text())).collect()
}

/// Reads the rules of `SecRuleUpdateTargetBy…`, the targets, and those they replace.
pub(super) fn update(
    by: By,
    arguments: &str,
    construct: &'static str,
    found: &mut Findings,
) -> Result<Exception, Fault> {
    let words = Words(arguments).all()?;
    let mut targets = |word: &Word<'_>| target::parse_update(&word.text(), found);
    let (rules, change) = match words.as_slice() {
        [rules, added] => (rules, Change::Add(targets(added)?)),
        [rules, with, replaced] => (rules, Change::Replace(targets(with)?, targets(replaced)?)),
        _ => return fault("rules and targets are expected", "write `942100 \"!ARGS:q\"`"),
    };
    let which = by.read(&rules.text())?;
    Ok(Exception { place: found.place.clone(), construct, which, change })
}

/// Returns the pattern of a tag's or a message's name, as `ctl:` keeps it.
///
/// A name without signs of a pattern is meant as a whole, as in ModSecurity 3; otherwise it is also
/// searched for as a pattern, as in ModSecurity 2.
pub(super) fn name_pattern(written: &str) -> Result<Arc<str>, Fault> {
    Ok(match searched(written)? {
        Some((pattern, _)) => pattern.into(),
        None => format!("^{}$", regex_syntax::escape(written)).into(),
    })
}

/// The pattern of a name that is one, written and compiled.
fn searched(written: &str) -> Result<Option<(String, Regex)>, Fault> {
    if written.is_empty() || written.len() > NAME_BYTES_MAX {
        return fault(
            format!("a name of {} bytes", written.len()),
            format!("write one of 1 to {NAME_BYTES_MAX} bytes"),
        );
    }
    if !written.contains(PATTERN) {
        return Ok(None);
    }
    let pattern = format!("^{}$|(?:{written})", regex_syntax::escape(written));
    let small = Regex::config().hybrid(false).onepass(false);
    let bounded = small.nfa_size_limit(Some(PATTERN_BYTES_MAX));
    let regex = Regex::builder().configure(bounded).build(&pattern);
    Ok(regex.ok().map(|regex| (pattern, regex)))
}

impl Name {
    fn new(written: &str) -> Result<Self, Fault> {
        Ok(match searched(written)? {
            Some((_, regex)) => Self::Pattern(Box::new(regex)),
            None => Self::Exactly(written.to_owned()),
        })
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Pattern(regex) => regex.is_match(name),
        }
    }
}

impl Which {
    /// How much is compared to find out whether it means a rule.
    fn cost(&self, built: &Built) -> usize {
        1 + match self {
            Self::Ids(ids) => ids.len(),
            Self::Tag(_) => built.rule.tags.iter().map(|tag| 1 + tag.len() / 64).sum(),
            Self::Message(_) => built.message.as_ref().map_or(0, |message| message.len() / 64),
        }
    }

    fn fits(&self, built: &Built) -> bool {
        match self {
            Self::Ids(ids) => ids.iter().any(|ids| ids.contains(&built.rule.id)),
            Self::Tag(name) => built.rule.tags.iter().any(|tag| name.fits(tag)),
            Self::Message(name) => built.message.as_ref().is_some_and(|message| name.fits(message)),
        }
    }
}

/// Works exceptions into rules; those to be removed are marked.
pub(super) fn apply(exceptions: &[Exception], rules: &mut [&mut Built], found: &mut Findings) {
    let mut comparisons = 0_usize;
    for exception in exceptions {
        found.place = exception.place.clone();
        let mut named = false;
        for built in rules.iter_mut() {
            comparisons += exception.which.cost(built);
            if exception.which.fits(built) {
                named = true;
                comparisons += exception.change.cost(built);
                let changed = change(&exception.change, exception.construct, built, found);
                found.keep(changed);
            }
            if comparisons > COMPARISONS_MAX || found.is_full() {
                return found.error(Fault {
                    message: format!("{} exceptions for {} rules", exceptions.len(), rules.len()),
                    remedy: "join exceptions by ranges and tags".to_owned(),
                });
            }
        }
        if !named {
            found.note(NoteKind::Unmatched, exception.construct, "it names no rule");
        }
    }
}

impl Change {
    /// What it takes, in comparisons: a target that stays takes memory.
    fn cost(&self, built: &Built) -> usize {
        match self {
            Self::Remove => 0,
            Self::Add(added) => TARGET_COST * added.len(),
            Self::Replace(with, replaced) => {
                TARGET_COST * with.len() + replaced.len() * targets_of(built)
            }
        }
    }
}

fn change(
    change: &Change,
    construct: &str,
    built: &mut Built,
    found: &mut Findings,
) -> Result<(), Fault> {
    let id = built.rule.id;
    let targets = &mut built.rule.links[0].targets;
    match change {
        Change::Remove => built.removed = true,
        _ if targets.is_empty() => {
            let mark = found.mark();
            found.note(NoteKind::Unmatched, construct, "the rule looks at nothing");
            found.about(mark, id);
        }
        Change::Add(added) => targets.extend(added.iter().cloned()),
        Change::Replace(with, replaced) => {
            let before = targets.len();
            targets.retain(|target| !replaced.contains(target));
            if targets.len() == before {
                let mark = found.mark();
                found.note(NoteKind::Unmatched, construct, "the rule has no such target");
                found.about(mark, id);
                return Ok(());
            }
            targets.extend(with.iter().cloned());
        }
    }
    match targets_of(built) > TARGETS_MAX {
        true => fault(
            format!("rule {} has more than {TARGETS_MAX} targets", shortened(&id.to_string())),
            "exclude by a pattern: `!ARGS:/^name/`",
        ),
        false => Ok(()),
    }
}

fn targets_of(built: &Built) -> usize {
    built.rule.links[0].targets.len()
}
