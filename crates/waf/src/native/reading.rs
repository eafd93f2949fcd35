//! Nodes to rules, and whatever is wrong with them.

use std::{cell::RefCell, collections::HashMap, ops::RangeInclusive, sync::Arc};

use super::{
    NativeError,
    case::{Case, Expectation, Part as CasePart},
    syntax::{self, At, Fault, Node, Value},
    words::{self, CATEGORIES, CONDITIONS, TEXTS, look_up},
};
use crate::{
    rule::{Category, Disruptive, Link, Phase, Place, Rule, Severity},
    transform::Transformation,
};

mod condition;
mod expression;
mod target;

/// Most conditions behind `and`.
const ANDS_MAX: usize = 4;
/// Most points of a match.
const POINTS_MAX: u64 = 100;
/// Levels of paranoia.
const PARANOIA_MAX: u64 = 4;

/// Rules and their cases, in the text's order.
type Outcome = Result<(Vec<Rule>, Vec<Case>), Vec<NativeError>>;

/// Reads the rules of a text.
pub(super) fn read(name: &str, text: &str) -> Outcome {
    read_as(name, text, false)
}

/// Reads the rules of a text whose expressions are known to be sound, in a tenth of the time.
pub(super) fn read_known(name: &str, text: &str) -> Outcome {
    read_as(name, text, true)
}

fn read_as(name: &str, text: &str, are_known: bool) -> Outcome {
    let (lines, faults) = (line_starts(text), RefCell::default());
    let reading = Reading { name: name.into(), lines, are_known, faults };
    let (nodes, faults) = syntax::read(text);
    reading.faults.borrow_mut().extend(faults);
    let parts = reading.rules(&nodes);
    reading.complain_about_repeats(&parts);
    let mut faults = reading.faults.take();
    if faults.is_empty() {
        let (rules, cases): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|part| (part.rule, part.cases)).unzip();
        return Ok((rules, cases.into_iter().flatten().collect()));
    }
    faults.sort_by_key(|fault| fault.at);
    Err(faults.into_iter().map(|fault| reading.error(text, fault)).collect())
}

/// One text under way.
struct Reading {
    name: Arc<str>,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Whether expressions are known to be sound.
    are_known: bool,
    faults: RefCell<Vec<Fault>>,
}

/// A rule that is sound in itself.
struct RulePart {
    at: usize,
    rule: Rule,
    cases: Vec<Case>,
}

impl Reading {
    fn rules(&self, nodes: &[Node]) -> Vec<RulePart> {
        let (mut category, mut parts) = (None, Vec::new());
        for node in nodes {
            match node.name.value.as_str() {
                "rule" => parts.extend(self.rule(node, category)),
                "category" if category.is_some() => {
                    self.fault(
                        node.name.at,
                        "a second `category` of one file",
                        "a rule may have its own",
                    );
                }
                "category" => category = self.category(node),
                other => self.unknown("node", other, node.name.at, ["category", "rule"]),
            }
        }
        parts
    }

    fn rule(&self, node: &Node, of_file: Option<Category>) -> Option<RulePart> {
        let name = self.one_text(node, &["id"])?;
        let children = self.block(node)?;
        self.complain_about_unknown(children, &[words::OF_RULES, words::OF_CONDITIONS]);
        let id = self.id(node);
        let only = |name: &str| self.only(children, name);
        let about =
            self.required(node, only("about"), "about").and_then(|node| self.one_text(node, &[]));
        let points = self.required(node, only("points"), "points");
        let points = points.and_then(|node| self.number(node, &[], 1..=POINTS_MAX));
        let paranoia =
            only("paranoia").map_or(Some(1), |node| self.number(node, &[], 1..=PARANOIA_MAX));
        let category = only("category").map_or(of_file, |node| self.category(node));
        let category = self.category_of(name, category);
        let tags = only("tags").map_or(Some(Vec::new()), |node| self.texts(node, &[]));
        let links = self.links(node, children);
        let place = self.place(node.name.at);
        let cases = self.cases(children, id, name.value);
        let (id, about, links) = (id?, about?, links?);
        let (points, paranoia) = (u32::try_from(points?).ok()?, u8::try_from(paranoia?).ok()?);
        let (category_word, category) = category?;
        let mut labels: Vec<Arc<str>> = vec![category_word.into()];
        labels.extend(words::tags(category).iter().map(|tag| Arc::from(*tag)));
        labels.push(format!("paranoia-level/{paranoia}").into());
        labels.extend(tags?.into_iter().map(|tag| Arc::from(tag.value.as_str())));
        let rule = Rule {
            id,
            name: Some(name.value.as_str().into()),
            phase: links.phase,
            place,
            links: links.links,
            disruptive: Disruptive::Pass,
            status: None,
            skip: None,
            message: Some(about.value.as_str().into()),
            log_data: None,
            tags: labels,
            severity: Some(severity(points)),
            log: true,
            paranoia,
            points,
            category: Some(category),
            version: None,
        };
        Some(RulePart { at: name.at, rule, cases })
    }

    /// The rule's own condition and those behind `and`.
    fn links(&self, rule: &Node, children: &[Node]) -> Option<Links> {
        let ands: Vec<&Node> = named(children, "and").collect();
        if let Some(surplus) = ands.get(ANDS_MAX) {
            let help = format!("a rule has up to {ANDS_MAX}");
            self.fault(surplus.name.at, "too many conditions", help);
        }
        let first = self.link(rule, children, false);
        let others: Vec<Option<(Link, Phase)>> = ands.iter().map(|and| self.and(and)).collect();
        let (first, others) = (first?, others.into_iter().collect::<Option<Vec<_>>>()?);
        let phase = others.iter().map(|(_, phase)| *phase).fold(first.1, Phase::max);
        let links = std::iter::once(first).chain(others).map(|(link, _)| link).collect();
        Some(Links { links, phase })
    }

    fn and(&self, node: &Node) -> Option<(Link, Phase)> {
        self.complain_about_entries(node, 0, &[]);
        let children = self.block(node)?;
        self.complain_about_unknown(children, &[words::OF_CONDITIONS]);
        self.link(node, children, true)
    }

    fn link(&self, parent: &Node, children: &[Node], is_further: bool) -> Option<(Link, Phase)> {
        let on = self.required(parent, self.only(children, "on"), "on");
        let on = on.and_then(|on| self.targets(on, self.only(children, "except"), is_further));
        let text = match self.only(children, "text") {
            Some(node) => self.text(node),
            // What matched is already as the condition before wants it.
            None if on.as_ref().is_some_and(|on| on.are_matched) => Some(&[] as &[Transformation]),
            None => look_up(TEXTS, "decoded").copied(),
        };
        let condition = self.condition(parent, children, text.is_none_or(is_lower));
        let (on, text, condition) = (on?, text?, condition?);
        let mut transformations = text.to_vec();
        transformations.extend(condition.length.then_some(Transformation::Length));
        let mut targets = on.targets;
        if condition.count {
            transformations.clear();
            targets.iter_mut().for_each(|target| target.count = !target.exclude);
        }
        let link = Link {
            place: self.place(parent.name.at),
            targets,
            transformations,
            multi_match: false,
            operator: condition.operator,
            negated: condition.negated,
            capture: false,
            effects: Vec::new(),
        };
        Some((link, on.phase))
    }

    fn text(&self, node: &Node) -> Option<&'static [Transformation]> {
        let written = self.one_text(node, &[])?;
        let known = look_up(TEXTS, written.value);
        if known.is_none() {
            self.unknown("text", written.value, written.at, TEXTS.iter().map(|(word, _)| *word));
        }
        known.copied()
    }

    fn cases(&self, children: &[Node], id: Option<u64>, name: &str) -> Vec<Case> {
        let expectation = |node: &Node| match node.name.value.as_str() {
            "attack" => Some(Expectation::Match),
            "clean" => Some(Expectation::NoMatch),
            _ => None,
        };
        let case = |node: &Node| {
            let expectation = expectation(node)?;
            let text = self.one_text(node, &["as"])?.value.as_str().into();
            let part = self.case_part(node)?;
            let place = self.place(node.name.at);
            Some(Case { rule: id?, name: name.into(), place, expectation, part, text })
        };
        children.iter().filter_map(case).collect()
    }

    fn case_part(&self, node: &Node) -> Option<CasePart> {
        let Some(written) = property(node, "as") else { return Some(CasePart::Argument) };
        let word = self.as_text(written)?;
        let part = CasePart::from_word(word.value);
        if part.is_none() {
            self.unknown("place for a case", word.value, word.at, CasePart::WORDS.iter().copied());
        }
        part
    }

    fn category(&self, node: &Node) -> Option<Category> {
        let written = self.one_text(node, &[])?;
        let known = look_up(CATEGORIES, written.value);
        if known.is_none() {
            self.unknown(
                "category",
                written.value,
                written.at,
                CATEGORIES.iter().map(|(word, _)| *word),
            );
        }
        known.copied()
    }

    /// Checks that the name is `category/what-it-finds`.
    fn category_of(
        &self,
        name: At<&String>,
        known: Option<Category>,
    ) -> Option<(&'static str, Category)> {
        let Some(category) = known else {
            let help = "say `category \"…\"` at the top of the file or in the rule";
            self.fault(name.at, "this rule has no category", help);
            return None;
        };
        let (word, _) = CATEGORIES.iter().find(|(_, known)| *known == category)?;
        let slug = name.value.strip_prefix(word).and_then(|rest| rest.strip_prefix('/'));
        let is_slug = |slug: &str| {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !slug.is_empty() && slug.bytes().all(allowed)
        };
        if !slug.is_some_and(is_slug) {
            let help = format!("write `{word}/` and lower-case letters, digits and `-`");
            self.fault(
                name.at,
                format!("{:?} is no name for a rule of this category", name.value),
                help,
            );
        }
        Some((word, category))
    }

    fn id(&self, node: &Node) -> Option<u64> {
        let Some(written) = property(node, "id") else {
            self.fault(node.name.at, "this rule has no number", "write `id=…` behind its name");
            return None;
        };
        match written.value {
            Value::Number(number @ 1..=9_999_999_999) => u64::try_from(number).ok(),
            _ => {
                self.fault(written.at, "this is not a rule's number", "allowed: 1 to 9999999999");
                None
            }
        }
    }

    fn complain_about_repeats(&self, parts: &[RulePart]) {
        let mut ids = HashMap::new();
        let mut names = HashMap::new();
        for RulePart { at, rule, cases: _ } in parts {
            if let Some(line) = ids.insert(rule.id, rule.place.line) {
                let help = format!("the rule in line {line} has it already");
                self.fault(*at, format!("the number {} is taken", rule.id), help);
            }
            if let Some(line) = names.insert(rule.name.clone(), rule.place.line) {
                let help = format!("the rule in line {line} has it already");
                self.fault(*at, "this name is taken", help);
            }
        }
    }
}

/// Conditions in their order and the phase in which all can be asked.
struct Links {
    links: Vec<Link>,
    phase: Phase,
}

/// For logs, which speak of severities: what SecLang's levels count.
fn severity(points: u32) -> Severity {
    match points {
        25.. => Severity::Critical,
        20..25 => Severity::Error,
        15..20 => Severity::Warning,
        _ => Severity::Notice,
    }
}

fn is_lower(text: &[Transformation]) -> bool {
    text.iter().any(|step| matches!(step, Transformation::Lowercase | Transformation::Decode))
}

/// What any node may ask of its text.
impl Reading {
    fn fault(&self, at: usize, message: impl Into<String>, help: impl Into<String>) {
        self.faults.borrow_mut().push(Fault::new(at, message, help));
    }

    fn unknown<'c>(
        &self,
        what: &str,
        written: &str,
        at: usize,
        known: impl IntoIterator<Item = &'c str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match words::nearest(written, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are `{}`", known.join("`, `")),
        };
        self.fault(at, format!("unknown {what} `{written}`"), help);
    }

    /// Complains about nodes that are none of `known` and no condition.
    fn complain_about_unknown(&self, children: &[Node], known: &[&[&'static str]]) {
        let conditions = CONDITIONS.iter().map(|(word, _)| *word);
        let known: Vec<&str> = known.concat().into_iter().chain(conditions).collect();
        for At { value: name, at } in children.iter().map(|child| &child.name) {
            if !known.contains(&name.as_str()) {
                self.unknown("node", name, *at, known.iter().copied());
            }
        }
    }

    fn block<'n>(&self, node: &'n Node) -> Option<&'n [Node]> {
        if node.block.is_none() {
            let message = format!("`{}` has no block", node.name.value);
            self.fault(node.name.at, message, "put what belongs to it between `{` and `}`");
        }
        node.block.as_deref()
    }

    /// Finds the node of this name; a second one is a mistake.
    fn only<'n>(&self, children: &'n [Node], name: &str) -> Option<&'n Node> {
        let mut found = named(children, name);
        let first = found.next()?;
        if let Some(second) = found.next() {
            self.fault(second.name.at, format!("a second `{name}`"), "keep one of them");
        }
        Some(first)
    }

    fn required<'n>(&self, parent: &Node, found: Option<&'n Node>, name: &str) -> Option<&'n Node> {
        if found.is_none() {
            let message = format!("`{name}` is missing in this `{}`", parent.name.value);
            self.fault(parent.name.at, message, format!("add `{name} …` to its block"));
        }
        found
    }

    /// Checks that there are no more arguments, no other properties, and no block where none belongs.
    fn complain_about_entries(&self, node: &Node, arguments: usize, properties: &[&str]) {
        if node.block.is_some() && !["rule", "and"].contains(&node.name.value.as_str()) {
            self.fault(node.name.at, format!("`{}` takes no block", node.name.value), "remove it");
        }
        if let Some(surplus) = node.arguments.get(arguments) {
            let help = match arguments {
                0 => format!("`{}` takes none", node.name.value),
                _ => format!("`{}` takes {arguments}", node.name.value),
            };
            self.fault(surplus.at, "a surplus argument", help);
        }
        for (index, (name, _)) in node.properties.iter().enumerate() {
            if !properties.contains(&name.value.as_str()) {
                self.unknown("property", &name.value, name.at, properties.iter().copied());
            } else if node.properties[..index].iter().any(|(before, _)| before.value == name.value)
            {
                self.fault(name.at, format!("a second `{}=`", name.value), "keep one of them");
            }
        }
    }

    fn one_argument<'n>(&self, node: &'n Node, properties: &[&str]) -> Option<&'n At<Value>> {
        self.complain_about_entries(node, 1, properties);
        self.complain_about_missing_argument(node);
        node.arguments.first()
    }

    fn complain_about_missing_argument(&self, node: &Node) {
        if node.arguments.is_empty() {
            let help = "write it behind the name, on the same line";
            self.fault(node.name.at, format!("`{}` has no argument", node.name.value), help);
        }
    }

    fn one_text<'n>(&self, node: &'n Node, properties: &[&str]) -> Option<At<&'n String>> {
        self.as_text(self.one_argument(node, properties)?)
    }

    /// At least one text.
    fn texts<'n>(&self, node: &'n Node, properties: &[&str]) -> Option<Vec<At<&'n String>>> {
        self.complain_about_entries(node, usize::MAX, properties);
        self.complain_about_missing_argument(node);
        let texts: Option<Vec<_>> =
            node.arguments.iter().map(|value| self.as_text(value)).collect();
        texts.filter(|texts| !texts.is_empty())
    }

    fn as_text<'n>(&self, value: &'n At<Value>) -> Option<At<&'n String>> {
        match &value.value {
            Value::Text(text) => Some(At { value: text, at: value.at }),
            Value::Number(_) | Value::Flag(_) | Value::Null => {
                self.fault(value.at, "text is expected here", "put it in quotes");
                None
            }
        }
    }

    fn number(&self, node: &Node, properties: &[&str], range: RangeInclusive<u64>) -> Option<u64> {
        self.as_number(self.one_argument(node, properties)?, range)
    }

    fn as_number(&self, written: &At<Value>, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match written.value {
            Value::Number(number) => u64::try_from(number).ok(),
            Value::Text(_) | Value::Flag(_) | Value::Null => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let help = format!("allowed: {} to {}", range.start(), range.end());
            self.fault(written.at, "a whole number is expected here", help);
        }
        number
    }

    fn place(&self, at: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= at);
        Place { file: self.name.clone(), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }

    fn error(&self, text: &str, fault: Fault) -> NativeError {
        let Fault { at, message, help } = fault;
        let Place { file, line } = self.place(at);
        let start = self.lines[line as usize - 1];
        let before = text.as_bytes().get(start..at).unwrap_or_default();
        let column = 1 + String::from_utf8_lossy(before).chars().count();
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        NativeError { file, line, column, message, help }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    let behind_ends = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(behind_ends).collect()
}

fn named<'n>(children: &'n [Node], name: &str) -> impl Iterator<Item = &'n Node> {
    children.iter().filter(move |child| child.name.value == name)
}

fn property<'n>(node: &'n Node, name: &str) -> Option<&'n At<Value>> {
    node.properties.iter().find(|(known, _)| known.value == name).map(|(_, value)| value)
}
