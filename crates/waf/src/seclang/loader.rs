//! Walks through the files and keeps what they say until all of them are read.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
};

use super::{
    Loaded,
    action::{self, Action},
    assembly::{Built, Default, Draft, DraftLink},
    directive,
    exception::{self, By, Exception},
    files::{Files, beside, is_pattern},
    operator::{self, Asked},
    report::{Counts, Fault, Findings, LoadError, NoteKind, fault},
    source::{Word, Words, directives, without_escapes},
    target::{self, shortened},
};
use crate::rule::{Item, Operator, Place, RuleSet, Settings, Skip};

/// How deep files include each other.
const INCLUDES_MAX: usize = 16;
/// The most files, rules and data together, each as often as it is read.
const FILES_MAX: usize = 10_000;
/// The bytes of all files together.
const BYTES_MAX: usize = 64 << 20;
/// The most rules with the links of their chains.
const LINKS_MAX: usize = 100_000;
/// The most exceptions.
const EXCEPTIONS_MAX: usize = 10_000;
/// The most `SecDefaultAction`; five are usual.
const DEFAULTS_MAX: usize = 1_000;

/// What was read so far.
pub(super) struct Loader<'f, F> {
    files: &'f mut F,
    found: Findings,
    counts: Counts,
    settings: Settings,
    items: Vec<DraftItem>,
    /// The rule whose chain goes on.
    open: Option<Draft>,
    defaults: Vec<Default>,
    exceptions: Vec<Exception>,
    updates: Vec<ActionUpdate>,
    /// The files that are being read, each included by the one before it.
    inside: Vec<String>,
    bytes: usize,
    /// The directive before this one could not be read: it may have been the head of a chain.
    broken: bool,
}

enum DraftItem {
    Rule(Draft),
    Marker(String),
}

/// `SecRuleUpdateActionById`.
struct ActionUpdate {
    place: Place,
    id: u64,
    /// Which link of its chain.
    link: usize,
    actions: Vec<Action>,
}

impl<'f, F: Files> Loader<'f, F> {
    pub(super) fn new(files: &'f mut F) -> Self {
        Self {
            files,
            found: Findings::new(),
            counts: Counts::default(),
            settings: Settings::default(),
            items: Vec::new(),
            open: None,
            defaults: Vec::new(),
            exceptions: Vec::new(),
            updates: Vec::new(),
            inside: Vec::new(),
            bytes: 0,
            broken: false,
        }
    }

    /// Reads a file that the caller named, or all that a pattern stands for.
    pub(super) fn enter(&mut self, name: &str) {
        self.found.enter(name);
        self.include(name, false);
    }

    fn include(&mut self, name: &str, optional: bool) {
        if !is_pattern(name) {
            return self.file(name, optional);
        }
        let names = self.files.list(name).or_else(|error| unreadable(name, &error));
        let names = self.found.keep(names).unwrap_or_default();
        if names.is_empty() && !optional {
            self.found.note(NoteKind::Unmatched, name, "no file fits this pattern");
        }
        names.iter().for_each(|name| self.file(name, optional));
    }

    fn file(&mut self, name: &str, optional: bool) {
        let bytes = match self.read(name) {
            Ok(bytes) => bytes,
            Err(Unread::Missing(_)) if optional => return,
            Err(Unread::Missing(fault) | Unread::Refused(fault)) => return self.found.error(fault),
        };
        self.counts.files += 1;
        self.inside.push(name.to_owned());
        let from = self.found.place.clone();
        let file = self.found.enter(name);
        for found in directives(&bytes) {
            if self.found.is_full() {
                break;
            }
            self.found.place = Place { file: file.clone(), line: found.line };
            match found.text {
                Ok(text) => self.directive(&text),
                Err(fault) => self.found.error(fault),
            }
        }
        self.inside.pop();
        self.found.place = from;
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, Unread> {
        if self.inside.len() >= INCLUDES_MAX || self.inside.iter().any(|inside| inside == name) {
            return Err(Unread::Refused(Fault {
                message: format!(
                    "`{name}` is included by itself, or more than {INCLUDES_MAX} deep"
                ),
                remedy: "include each file once".to_owned(),
            }));
        }
        read(self.files, &mut self.bytes, self.counts, name)
    }

    fn directive(&mut self, text: &str) {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (name, arguments) = (&text[..end], text[end..].trim());
        let done = self.dispatch(name, arguments);
        self.broken = self.found.keep(done).is_none();
    }

    fn dispatch(&mut self, name: &str, arguments: &str) -> Result<(), Fault> {
        match name.to_ascii_lowercase().as_str() {
            "secrule" => self.rule(arguments)?,
            "secaction" => self.action(arguments)?,
            "secmarker" => self.marker(arguments)?,
            "secdefaultaction" => self.default(arguments)?,
            "include" | "includeoptional" => {
                let word = Words(arguments).only()?.text().into_owned();
                let from = self.inside.last().map_or("", String::as_str);
                let wanted = beside(from, &word);
                self.include(&wanted, name.len() > "include".len());
            }
            "secruleremovebyid" => self.remove(By::Id, arguments, "SecRuleRemoveById")?,
            "secruleremovebytag" => self.remove(By::Tag, arguments, "SecRuleRemoveByTag")?,
            "secruleremovebymsg" => self.remove(By::Message, arguments, "SecRuleRemoveByMsg")?,
            "secruleupdatetargetbyid" => {
                self.update(By::Id, arguments, "SecRuleUpdateTargetById")?
            }
            "secruleupdatetargetbytag" => {
                self.update(By::Tag, arguments, "SecRuleUpdateTargetByTag")?;
            }
            "secruleupdatetargetbymsg" => {
                self.update(By::Message, arguments, "SecRuleUpdateTargetByMsg")?;
            }
            "secruleupdateactionbyid" => self.update_actions(arguments)?,
            _ => directive::apply(name, arguments, &mut self.settings, &mut self.found)?,
        }
        Ok(())
    }

    fn rule(&mut self, arguments: &str) -> Result<(), Fault> {
        let words = Words(arguments).all()?;
        let (variables, operator, actions) = match words.as_slice() {
            [variables, operator] => (variables, operator, ""),
            [variables, operator, actions] => (variables, operator, actions.raw),
            _ => {
                return fault(
                    format!("{} arguments of `SecRule` instead of 2 or 3", words.len()),
                    "write SecRule VARIABLES \"OPERATOR\" \"ACTIONS\"",
                );
            }
        };
        let mark = self.found.mark();
        let targets = target::parse(&variables.text(), &mut self.found);
        let targets = self.found.keep(targets).unwrap_or_default();
        let Asked { operator, negated } = self.operator(*operator);
        let actions = action::parse(&without_escapes(actions, '"'), &mut self.found);
        let place = self.found.place.clone();
        self.link(DraftLink { place, targets, operator, negated, actions }, true, mark)
    }

    fn operator(&mut self, word: Word<'_>) -> Asked {
        let from = self.inside.last().map_or("", String::as_str);
        let (files, bytes, counts) = (&mut *self.files, &mut self.bytes, &mut self.counts);
        let mut data = |name: &str| {
            let read = read(files, bytes, *counts, &beside(from, name));
            counts.data_files += usize::from(read.is_ok());
            read.map_err(|(Unread::Missing(fault) | Unread::Refused(fault))| fault)
        };
        let asked = operator::parse(word, &mut data, &mut self.found);
        let nothing = Asked { operator: Operator::NoMatch, negated: false };
        self.found.keep(asked).unwrap_or(nothing)
    }

    fn action(&mut self, arguments: &str) -> Result<(), Fault> {
        let mark = self.found.mark();
        let actions = Words(arguments).only()?.raw;
        let actions = action::parse(&without_escapes(actions, '"'), &mut self.found);
        let link = DraftLink {
            place: self.found.place.clone(),
            targets: Vec::new(),
            operator: Operator::UnconditionalMatch,
            negated: false,
            actions,
        };
        self.link(link, false, mark)
    }

    /// Begins a rule with this link, or goes on with the chain that is open.
    fn link(&mut self, link: DraftLink, is_rule: bool, mark: usize) -> Result<(), Fault> {
        if self.counts.rules + self.counts.actions + self.counts.links >= LINKS_MAX {
            return fault(format!("more than {LINKS_MAX} rules"), "load fewer files");
        }
        let chains = link.actions.iter().any(|action| matches!(action, Action::Chain));
        let draft = match self.open.take() {
            Some(mut draft) => {
                self.counts.links += 1;
                self.found.keep(as_later_link(&link));
                draft.links.push(link);
                draft
            }
            None => self.head(link, is_rule),
        };
        self.found.about(mark, draft.id().unwrap_or_default());
        match chains {
            true => self.open = Some(draft),
            false => self.items.push(DraftItem::Rule(draft)),
        }
        Ok(())
    }

    fn head(&mut self, link: DraftLink, is_rule: bool) -> Draft {
        match is_rule {
            true => self.counts.rules += 1,
            false => self.counts.actions += 1,
        }
        let draft = Draft { links: vec![link], defaults_before: self.defaults.len() };
        if is_rule && draft.id().is_none() && !self.broken {
            self.found.error(Fault {
                message: "a rule without a number".to_owned(),
                remedy: "write `id:` and a number that no other rule has".to_owned(),
            });
        }
        draft
    }

    fn marker(&mut self, arguments: &str) -> Result<(), Fault> {
        let name = Words(arguments).only()?.text().into_owned();
        self.close_chain();
        self.counts.markers += 1;
        self.items.push(DraftItem::Marker(name));
        Ok(())
    }

    /// A chain that is open where none can go on.
    fn close_chain(&mut self) {
        if let Some(draft) = self.open.take() {
            let place = &draft.links.last().expect("a draft has a link").place;
            let here = mem::replace(&mut self.found.place, place.clone());
            self.found.error(Fault {
                message: "a chain whose next rule is missing".to_owned(),
                remedy: "write it behind this one, or leave out `chain`".to_owned(),
            });
            self.found.place = here;
        }
    }

    fn default(&mut self, arguments: &str) -> Result<(), Fault> {
        let actions = Words(arguments).only()?.raw;
        let actions = action::parse(&without_escapes(actions, '"'), &mut self.found);
        let phase = actions.iter().find_map(|action| match action {
            Action::Phase(phase) => Some(*phase),
            _ => None,
        });
        let Some(phase) = phase else {
            return fault("`SecDefaultAction` without a phase", "write `phase:2`, for instance");
        };
        if !actions.iter().any(|action| matches!(action, Action::Disruptive(_))) {
            return fault(
                "`SecDefaultAction` does not say what `block` does",
                "write `deny` or `pass`",
            );
        }
        if actions.iter().any(|action| !fits_default(action)) {
            return fault(
                "`SecDefaultAction` says what only a rule can say",
                "leave out id, msg, tag, severity, ver, logdata, chain, skip and capture",
            );
        }
        if self.defaults.len() >= DEFAULTS_MAX {
            return fault(
                format!("more than {DEFAULTS_MAX} times `SecDefaultAction`"),
                "one for each phase is enough",
            );
        }
        self.defaults.push(Default { phase, actions });
        Ok(())
    }

    fn remove(&mut self, by: By, arguments: &str, name: &'static str) -> Result<(), Fault> {
        self.count_exception()?;
        let removals = exception::removals(by, arguments, name, &self.found.place)?;
        self.exceptions.extend(removals);
        Ok(())
    }

    fn update(&mut self, by: By, arguments: &str, name: &'static str) -> Result<(), Fault> {
        self.count_exception()?;
        let update = exception::update(by, arguments, name, &mut self.found)?;
        self.exceptions.push(update);
        Ok(())
    }

    fn count_exception(&mut self) -> Result<(), Fault> {
        self.counts.exceptions += 1;
        match self.counts.exceptions > EXCEPTIONS_MAX {
            true => fault(
                format!("more than {EXCEPTIONS_MAX} exceptions"),
                "join exceptions by ranges and tags",
            ),
            false => Ok(()),
        }
    }

    fn update_actions(&mut self, arguments: &str) -> Result<(), Fault> {
        let words = Words(arguments).all()?;
        let [rule, actions] = words.as_slice() else {
            return fault("a rule and its new actions are expected", "write `942100 \"pass\"`");
        };
        let rule = rule.text();
        let (id, link) = rule.split_once(':').unwrap_or((&rule, "0"));
        let (Ok(id), Ok(link)) = (id.trim().parse(), link.trim().parse()) else {
            return fault(
                format!("`{}` is no number of a rule", shortened(&rule)),
                "write 942100, or 942100:1 for the second link of its chain",
            );
        };
        let actions = action::parse(&without_escapes(actions.raw, '"'), &mut self.found);
        if actions
            .iter()
            .any(|action| matches!(action, Action::Id(_) | Action::Phase(_) | Action::Chain))
        {
            return fault(
                "`id`, `phase` and `chain` of a rule cannot be changed",
                "leave them out, or remove the rule and write another",
            );
        }
        self.count_exception()?;
        let place = self.found.place.clone();
        self.updates.push(ActionUpdate { place, id, link, actions });
        Ok(())
    }

    /// Makes rules of what was read.
    pub(super) fn finish(mut self) -> Result<Loaded, Vec<LoadError>> {
        self.close_chain();
        self.unique();
        self.update_drafts();
        let mut items = self.assemble();
        let mut rules: Vec<&mut Built> = items.iter_mut().filter_map(BuiltItem::rule).collect();
        exception::apply(&self.exceptions, &mut rules, &mut self.found);
        let before = items.len();
        items.retain(|item| !matches!(item, BuiltItem::Rule(built) if built.removed));
        self.counts.removed = before - items.len();
        let items: Vec<Item> = items.into_iter().map(BuiltItem::into_item).collect();
        check_jumps(&items, &mut self.found);
        let report = self.found.finish(self.counts)?;
        Ok(Loaded { rules: RuleSet { items, settings: self.settings }, report })
    }

    fn drafts(items: &[DraftItem]) -> impl Iterator<Item = &Draft> {
        items.iter().filter_map(|item| match item {
            DraftItem::Rule(draft) => Some(draft),
            DraftItem::Marker(_) => None,
        })
    }

    fn unique(&mut self) {
        let mut seen: HashMap<u64, &Place> = HashMap::new();
        for draft in Self::drafts(&self.items) {
            let Some(id) = draft.id() else { continue };
            let place = &draft.links[0].place;
            match seen.entry(id) {
                Entry::Vacant(entry) => {
                    entry.insert(place);
                }
                Entry::Occupied(first) => {
                    self.found.place = place.clone();
                    self.found.error(Fault {
                        message: format!("rule {id} is already at {}", first.get()),
                        remedy: "give it another number, or remove one of the two".to_owned(),
                    });
                }
            }
        }
    }

    fn update_drafts(&mut self) {
        if self.updates.is_empty() {
            return;
        }
        let mut by_id: HashMap<u64, &mut Draft> = HashMap::new();
        for item in &mut self.items {
            if let DraftItem::Rule(draft) = item
                && let Some(id) = draft.id()
            {
                by_id.insert(id, draft);
            }
        }
        for ActionUpdate { place, id, link, actions } in mem::take(&mut self.updates) {
            self.found.place = place;
            match by_id.get_mut(&id).and_then(|draft| draft.links.get_mut(link)) {
                None => {
                    self.found.note(
                        NoteKind::Unmatched,
                        "SecRuleUpdateActionById",
                        "it names no rule",
                    );
                }
                Some(draft) => {
                    draft.actions.extend(actions);
                    if link > 0 {
                        self.found.keep(as_later_link(draft));
                    }
                }
            }
        }
    }

    fn assemble(&mut self) -> Vec<BuiltItem> {
        let items = mem::take(&mut self.items);
        let built = |item| match item {
            DraftItem::Rule(draft) => BuiltItem::Rule(Box::new(draft.assemble(&self.defaults))),
            DraftItem::Marker(name) => BuiltItem::Marker(name),
        };
        items.into_iter().map(built).collect()
    }
}

enum BuiltItem {
    Rule(Box<Built>),
    Marker(String),
}

impl BuiltItem {
    fn rule(&mut self) -> Option<&mut Built> {
        match self {
            Self::Rule(built) => Some(built),
            Self::Marker(_) => None,
        }
    }

    fn into_item(self) -> Item {
        match self {
            Self::Rule(built) => Item::Rule(Box::new(built.rule)),
            Self::Marker(name) => Item::Marker(name.into()),
        }
    }
}

/// Why a file was not read.
enum Unread {
    /// It is not there, or not for us.
    Missing(Fault),
    /// A bound is reached.
    Refused(Fault),
}

fn read<F: Files>(
    files: &mut F,
    bytes: &mut usize,
    counts: Counts,
    name: &str,
) -> Result<Vec<u8>, Unread> {
    let refused = |message: String| {
        Err(Unread::Refused(Fault { message, remedy: "load fewer files".to_owned() }))
    };
    if counts.files + counts.data_files >= FILES_MAX {
        return refused(format!("more than {FILES_MAX} files"));
    }
    let content = files.read(name).or_else(|error| unreadable(name, &error));
    let content = content.map_err(Unread::Missing)?;
    *bytes = bytes.saturating_add(content.len());
    match *bytes > BYTES_MAX {
        true => refused("more than 64 MiB of rules and data".to_owned()),
        false => Ok(content),
    }
}

fn unreadable<T>(name: &str, error: &std::io::Error) -> Result<T, Fault> {
    fault(
        format!("`{name}` cannot be read: {error}"),
        "names are relative to the file they stand in",
    )
}

/// What belongs to the head of a chain does not stand in a later link.
fn as_later_link(link: &DraftLink) -> Result<(), Fault> {
    let belongs_to_head = |action: &Action| {
        matches!(action, Action::Id(_) | Action::Phase(_) | Action::Block | Action::Disruptive(_))
    };
    match link.actions.iter().any(belongs_to_head) {
        true => fault(
            "`id`, `phase` or a disruptive action in a later link of a chain",
            "write it in the first rule of the chain",
        ),
        false => Ok(()),
    }
}

fn fits_default(action: &Action) -> bool {
    matches!(
        action,
        Action::Phase(_)
            | Action::Disruptive(_)
            | Action::Status(_)
            | Action::Untransformed
            | Action::Transform(_)
            | Action::Log(_)
            | Action::Effect(_)
    )
}

/// Each `skipAfter` has its marker, or rule, behind it.
fn check_jumps(items: &[Item], found: &mut Findings) {
    let mut last: HashMap<&str, usize> = HashMap::new();
    let ids: Vec<String> = items
        .iter()
        .map(|item| match item {
            Item::Rule(rule) => rule.id.to_string(),
            Item::Marker(_) => String::new(),
        })
        .collect();
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Rule(_) => last.insert(&ids[at], at),
            Item::Marker(name) => last.insert(name, at),
        };
    }
    for (at, item) in items.iter().enumerate() {
        let Item::Rule(rule) = item else { continue };
        let Some(Skip::After(name)) = &rule.skip else { continue };
        if last.get(&**name).is_none_or(|end| *end <= at) {
            found.place = rule.place.clone();
            found.error(Fault {
                message: format!("`skipAfter:{}` leads nowhere", shortened(name)),
                remedy: format!("write `SecMarker \"{}\"` behind the rule", shortened(name)),
            });
        }
    }
}
