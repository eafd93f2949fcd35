//! A rule set → what exchanges are judged with.

use std::{collections::HashMap, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_syntax::hir::Hir;

use super::{
    Problem, Rules,
    bits::Bits,
    expression::{self, Expression},
    gate::{ALPHABETS, Gate, Need},
    interest::{Interests, classes},
    literals::Literals,
    pattern,
    template::{Key, Names, Slot, Template},
    trie::{Node, Trie},
};
use crate::{
    detect,
    rule::{
        Change, Control, Disruptive, Effect, Item, Link, Network, Operator, Place, Processor, Rule,
        RuleSet, Selector, Skip, Target, Variable,
    },
    transform::{ByteSet, Transformation},
};

/// The number of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegexId(pub u16);

/// A rule, made ready.
pub(super) struct Compiled {
    pub rule: Arc<Rule>,
    pub tags: Arc<[Arc<str>]>,
    pub links: Box<[CompiledLink]>,
    /// The step of its phase to go on with after a match; `None`: the next.
    pub skip_to: Option<usize>,
    /// Its head's number among those that are looked for in every value beforehand.
    pub probe: Option<u16>,
    pub message: Option<Template>,
    pub log_data: Option<Template>,
    pub location: Option<Template>,
}

impl Compiled {
    /// The expressions that may be asked once the rule is.
    pub fn expressions(&self) -> impl Iterator<Item = RegexId> {
        self.links.iter().flat_map(CompiledLink::expressions)
    }
}

pub(super) struct CompiledLink {
    pub targets: Box<[CompiledTarget]>,
    pub excludes: Box<[CompiledTarget]>,
    pub transformations: Box<[Transformation]>,
    pub multi_match: bool,
    pub test: Test,
    pub negated: bool,
    pub capture: bool,
    pub effects: Box<[CompiledEffect]>,
}

impl CompiledLink {
    fn expressions(&self) -> impl Iterator<Item = RegexId> {
        let removed = self.effects.iter().filter_map(|effect| match effect {
            CompiledEffect::RemoveTarget(_, target) => Some(&**target),
            _ => None,
        });
        let targets = self.targets.iter().chain(&self.excludes).chain(removed);
        let selectors = targets.filter_map(|target| match target.selector {
            CompiledSelector::Pattern(regex) => Some(regex),
            _ => None,
        });
        selectors.chain(self.test.expression())
    }
}

#[derive(Clone, Debug)]
pub(super) struct CompiledTarget {
    pub variable: Variable,
    /// The variable itself and what its values are made of, a bit for each.
    pub classes: u128,
    pub selector: CompiledSelector,
    pub count: bool,
}

impl CompiledTarget {
    pub fn new(target: &Target, selector: CompiledSelector) -> Self {
        const { assert!(Variable::ALL.len() <= 128, "each has a bit") };
        let bit = |class: Variable| 1_u128 << class as u32;
        let classes = classes(target.variable).iter().map(|class| bit(*class));
        let classes = classes.fold(bit(target.variable), |all, class| all | class);
        Self { variable: target.variable, classes, selector, count: target.count }
    }
}

#[derive(Clone, Debug)]
pub(super) enum CompiledSelector {
    All,
    /// By name; the name is in lower case.
    Key(Key, Box<[u8]>),
    /// By how its name, or a line of it, begins; in lower case. The Core Rule Set asks so for each variable of each exchange.
    Prefix(Box<[u8]>),
    Pattern(RegexId),
}

/// An operator, made ready.
pub(super) enum Test {
    Rx(RegexId),
    Phrases(Box<AhoCorasick>),
    Contains(Template),
    ContainsWord(Template),
    BeginsWith(Template),
    EndsWith(Template),
    Equals(Template),
    Within(Template),
    Number(Comparison, Template),
    Address(Arc<[Network]>),
    Sqli,
    Xss,
    SqliText,
    XssText,
    /// Whether a byte is not one of these.
    Outside(ByteSet),
    UrlEncoding,
    Utf8,
    CreditCard(RegexId),
    Cpf(RegexId),
    Ssn(RegexId),
    Always,
    Never,
}

impl Test {
    fn expression(&self) -> Option<RegexId> {
        match self {
            Self::Rx(regex) | Self::CreditCard(regex) | Self::Cpf(regex) | Self::Ssn(regex) => {
                Some(*regex)
            }
            _ => None,
        }
    }

    /// The text that it compares with.
    pub fn argument(&self) -> Option<&Template> {
        match self {
            Self::Contains(argument)
            | Self::ContainsWord(argument)
            | Self::BeginsWith(argument)
            | Self::EndsWith(argument)
            | Self::Equals(argument)
            | Self::Within(argument)
            | Self::Number(_, argument) => Some(argument),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Comparison {
    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::AtLeast => left >= right,
            Self::Above => left > right,
            Self::AtMost => left <= right,
            Self::Below => left < right,
        }
    }
}

pub(super) enum CompiledEffect {
    Set(VariableName, CompiledChange),
    Expire(Variable, Template, Template),
    Deprecate(Variable, Template, Template),
    Open(Variable, Template),
    Mode(crate::rule::Mode),
    RequestBody(bool),
    ResponseBody(bool),
    Processor(Processor),
    ForceRequestBody(bool),
    RemoveRules(Bits),
    RemoveTarget(Arc<Bits>, Arc<CompiledTarget>),
}

/// Which variable.
pub(super) enum VariableName {
    /// One of the transaction, whose name the rule says.
    Slot(Slot),
    /// One of a collection.
    Named(Variable, Template),
}

pub(super) enum CompiledChange {
    Set(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}

/// A head that is looked for in every value beforehand.
pub(super) struct Probe {
    pub phase: usize,
    /// Its place in its phase.
    pub step: usize,
    /// For each alphabet, sets of which a text must have a byte each.
    pub bytes: [Box<[ByteSet]>; ALPHABETS.len()],
    pub special: Option<Special>,
}

/// A condition on the bytes of a text.
#[derive(Clone, Copy)]
pub(super) enum Special {
    Sqli,
    Xss,
    /// A byte that is not one of these.
    Outside(ByteSet),
}

impl Special {
    pub fn may_match(&self, bytes: &ByteSet) -> bool {
        match self {
            Self::Sqli => detect::may_be_sqli(bytes),
            Self::Xss => detect::may_be_xss(bytes),
            Self::Outside(allowed) => !bytes.is_subset_of(allowed),
        }
    }
}

/// Compiles a rule set. A rule that cannot be is left out, and is among the problems.
pub(super) fn compile(set: &RuleSet) -> Rules {
    let rules = rules_of(set);
    let mut compiler = Compiler::new(&rules);
    let compiled = rules.iter().map(|rule| compiler.rule(rule)).collect::<Vec<_>>();
    let (phases, skips) = steps(set, &rules);
    compiler.finish(set, compiled, phases, skips)
}

fn rules_of(set: &RuleSet) -> Vec<Arc<Rule>> {
    let rule = |item: &Item| match item {
        Item::Rule(rule) => Some(Arc::new((**rule).clone())),
        Item::Marker(_) => None,
    };
    set.items.iter().filter_map(rule).collect()
}

/// The rules of each phase in order, and where in its phase each rule leads that skips.
fn steps(set: &RuleSet, rules: &[Arc<Rule>]) -> ([Vec<u16>; 5], Vec<Option<usize>>) {
    let mut phases: [Vec<u16>; 5] = Default::default();
    // For each phase, where markers and rules lie: a jump leads behind them.
    let mut behind: [HashMap<String, Vec<usize>>; 5] = Default::default();
    let mut at = 0;
    let mut place = Vec::with_capacity(rules.len());
    for item in &set.items {
        match item {
            Item::Marker(name) => {
                for (phase, marks) in phases.iter().zip(&mut behind) {
                    marks.entry(name.to_string()).or_default().push(phase.len());
                }
            }
            Item::Rule(rule) => {
                let phase = rule.phase as usize;
                place.push(phases[phase].len());
                phases[phase]
                    .push(u16::try_from(at).expect("a rule set has fewer than 65,535 rules"));
                at += 1;
                behind[phase].entry(rule.id.to_string()).or_default().push(phases[phase].len());
            }
        }
    }
    let skip = |(rule, &step): (&Arc<Rule>, &usize)| {
        let phase = rule.phase as usize;
        let end = phases[phase].len();
        Some(match rule.skip.as_ref()? {
            Skip::Rules(count) => (step + 1 + *count as usize).min(end),
            Skip::After(name) => {
                let marks = behind[phase].get(&**name).map(Vec::as_slice).unwrap_or_default();
                marks.iter().copied().find(|&mark| mark > step).unwrap_or(end)
            }
        })
    };
    let skips = rules.iter().zip(&place).map(skip).collect();
    (phases, skips)
}

/// What is looked for beforehand, and at which nodes.
struct Sought {
    /// For each alphabet; `None`: no text of it matches.
    gates: [Option<Gate>; ALPHABETS.len()],
    nodes: Vec<Node>,
    special: Option<Special>,
}

struct Compiler<'a> {
    rules: &'a [Arc<Rule>],
    regexes: Vec<Expression>,
    regex_ids: HashMap<Arc<str>, RegexId>,
    slots: Names,
    keys: Names,
    trie: Trie,
    /// For each rule that is looked for beforehand, what its texts need and at which nodes they are.
    needs: Vec<Option<Sought>>,
    problems: Vec<Problem>,
}

impl<'a> Compiler<'a> {
    fn new(rules: &'a [Arc<Rule>]) -> Self {
        let mut slots = Names::default();
        for digit in b'0'..=b'9' {
            slots.enter(&[digit]);
        }
        Self {
            rules,
            regexes: Vec::new(),
            regex_ids: HashMap::new(),
            slots,
            keys: Names::default(),
            trie: Trie::default(),
            needs: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn rule(&mut self, rule: &Arc<Rule>) -> Compiled {
        let mut need = Need::Unknown;
        let links: Vec<_> = rule
            .links
            .iter()
            .enumerate()
            .map(|(at, link)| {
                let mut of_link = Need::Unknown;
                let compiled = self.link(rule, link, &mut of_link);
                if at == 0 {
                    need = of_link;
                }
                compiled
            })
            .collect();
        self.look_for(&links[0], need);
        let mut template = |text: &crate::rule::Text| Template::new(text, &mut self.slots);
        Compiled {
            rule: rule.clone(),
            tags: rule.tags.clone().into(),
            message: rule.message.as_ref().map(&mut template),
            log_data: rule.log_data.as_ref().map(&mut template),
            location: match &rule.disruptive {
                Disruptive::Redirect(location) => Some(template(location)),
                _ => None,
            },
            links: links.into(),
            skip_to: None,
            probe: None,
        }
    }

    fn link(&mut self, rule: &Rule, link: &Link, need: &mut Need) -> CompiledLink {
        let (excludes, targets): (Vec<_>, Vec<_>) =
            link.targets.iter().partition(|target| target.exclude);
        let mut compiled = |targets: Vec<&Target>| {
            targets
                .into_iter()
                .filter_map(|target| self.target(target, &link.place, rule.id))
                .collect()
        };
        let (excludes, targets) = (compiled(excludes), compiled(targets));
        CompiledLink {
            targets,
            excludes,
            transformations: link.transformations.clone().into(),
            multi_match: link.multi_match,
            test: self.test(rule, link, need),
            negated: link.negated,
            capture: link.capture,
            effects: link
                .effects
                .iter()
                .filter_map(|effect| self.effect(effect, &link.place, rule.id))
                .collect(),
        }
    }

    fn target(&mut self, target: &Target, place: &Place, id: u64) -> Option<CompiledTarget> {
        let selector = match &target.selector {
            Selector::All => CompiledSelector::All,
            Selector::Key(name) => {
                let lower = name.to_ascii_lowercase().into_bytes();
                CompiledSelector::Key(Key(self.keys.enter(&lower)), lower.into())
            }
            Selector::Pattern(pattern) if let Some(prefix) = prefix(pattern) => {
                CompiledSelector::Prefix(prefix)
            }
            Selector::Pattern(pattern) => {
                CompiledSelector::Pattern(self.regex(&format!("(?i){pattern}"), place, id)?.0)
            }
        };
        if let (Variable::Tx, Selector::Key(name)) = (target.variable, &target.selector) {
            self.slots.enter(name.as_bytes());
        }
        Some(CompiledTarget::new(target, selector))
    }

    /// The number of an expression and what it needs. Equal ones are compiled once.
    fn regex(&mut self, text: &str, place: &Place, id: u64) -> Option<(RegexId, Need)> {
        let entered = pattern::parse(text).and_then(|hir| Ok((self.enter(text, &hir)?, hir)));
        match entered {
            Ok((id, hir)) => Some((id, Need::Pattern(Box::new(hir)))),
            Err(message) => {
                self.problems.push(Problem { id, place: place.clone(), message });
                None
            }
        }
    }

    /// Enters an expression, if it is not known yet.
    fn enter(&mut self, text: &str, hir: &Hir) -> Result<RegexId, String> {
        if let Some(id) = self.regex_ids.get(text) {
            return Ok(*id);
        }
        let text: Arc<str> = text.into();
        let regex = Expression::new(text.clone(), hir)?;
        self.regexes.push(regex);
        let id = RegexId(id(self.regexes.len() - 1));
        self.regex_ids.insert(text, id);
        Ok(id)
    }

    fn test(&mut self, rule: &Rule, link: &Link, need: &mut Need) -> Test {
        if link.targets.is_empty() {
            return Test::Always;
        }
        let place = &link.place;
        let mut regex =
            |text: &str, test: fn(RegexId) -> Test| match self.regex(text, place, rule.id) {
                Some((id, of_pattern)) => {
                    *need = of_pattern;
                    test(id)
                }
                None => Test::Never,
            };
        match &link.operator {
            Operator::Rx(text) => regex(text, Test::Rx),
            Operator::VerifyCreditCard(text) => regex(text, Test::CreditCard),
            Operator::VerifyCpf(text) => regex(text, Test::Cpf),
            Operator::VerifySsn(text) => regex(text, Test::Ssn),
            Operator::Pm(phrases) => {
                *need = Need::Texts(phrases.to_vec());
                Test::Phrases(Box::new(phrase_automaton(phrases)))
            }
            Operator::Contains(text) | Operator::StrMatch(text) => {
                self.literal(text, need, Test::Contains)
            }
            Operator::ContainsWord(text) => self.literal(text, need, Test::ContainsWord),
            Operator::BeginsWith(text) => self.literal(text, need, Test::BeginsWith),
            Operator::EndsWith(text) => self.literal(text, need, Test::EndsWith),
            Operator::StrEq(text) => self.literal(text, need, Test::Equals),
            Operator::Within(text) => Test::Within(Template::new(text, &mut self.slots)),
            Operator::Eq(text) => self.number(Comparison::Equal, text),
            Operator::Ge(text) => self.number(Comparison::AtLeast, text),
            Operator::Gt(text) => self.number(Comparison::Above, text),
            Operator::Le(text) => self.number(Comparison::AtMost, text),
            Operator::Lt(text) => self.number(Comparison::Below, text),
            Operator::IpMatch(networks) => Test::Address(networks.clone()),
            Operator::DetectSqli => Test::Sqli,
            Operator::DetectXss => Test::Xss,
            Operator::DetectSqliText => Test::SqliText,
            Operator::DetectXssText => Test::XssText,
            Operator::ValidateByteRange(ranges) => {
                let bytes: Vec<u8> = ranges.iter().cloned().flatten().collect();
                Test::Outside(ByteSet::from_bytes(&bytes))
            }
            Operator::ValidateUrlEncoding => {
                *need = Need::Bytes(ByteSet::from_bytes(b"%"));
                Test::UrlEncoding
            }
            Operator::ValidateUtf8Encoding => {
                *need = Need::Bytes(ByteSet::range(0x80, 0xFF));
                Test::Utf8
            }
            Operator::UnconditionalMatch => Test::Always,
            Operator::NoMatch | Operator::Inert(_) => Test::Never,
        }
    }

    fn literal(
        &mut self,
        text: &crate::rule::Text,
        need: &mut Need,
        test: fn(Template) -> Test,
    ) -> Test {
        if let Some(literal) = text.literal().filter(|literal| !literal.is_empty()) {
            *need = Need::Texts(vec![literal.as_bytes().into()]);
        }
        test(Template::new(text, &mut self.slots))
    }

    fn number(&mut self, comparison: Comparison, text: &crate::rule::Text) -> Test {
        Test::Number(comparison, Template::new(text, &mut self.slots))
    }

    fn effect(&mut self, effect: &Effect, place: &Place, id: u64) -> Option<CompiledEffect> {
        Some(match effect {
            Effect::SetVar { collection, key, change } => {
                CompiledEffect::Set(self.variable(*collection, key), self.change(change))
            }
            Effect::ExpireVar { collection, key, seconds } => {
                let key = Template::new(key, &mut self.slots);
                CompiledEffect::Expire(*collection, key, Template::new(seconds, &mut self.slots))
            }
            Effect::DeprecateVar { collection, key, decay } => {
                let key = Template::new(key, &mut self.slots);
                CompiledEffect::Deprecate(*collection, key, Template::new(decay, &mut self.slots))
            }
            Effect::InitCollection { collection, key } => {
                CompiledEffect::Open(*collection, Template::new(key, &mut self.slots))
            }
            Effect::Control(control) => match control {
                Control::Mode(mode) => CompiledEffect::Mode(*mode),
                Control::RequestBody(on) => CompiledEffect::RequestBody(*on),
                Control::ResponseBody(on) => CompiledEffect::ResponseBody(*on),
                Control::Processor(processor) => CompiledEffect::Processor(*processor),
                Control::ForceRequestBody(on) => CompiledEffect::ForceRequestBody(*on),
                Control::RemoveRules(rules) => {
                    CompiledEffect::RemoveRules(self.named(rules, place, id))
                }
                Control::RemoveTarget(rules, target) => CompiledEffect::RemoveTarget(
                    Arc::new(self.named(rules, place, id)),
                    Arc::new(self.target(target, place, id)?),
                ),
            },
        })
    }

    fn variable(&mut self, collection: Variable, key: &crate::rule::Text) -> VariableName {
        match (collection, key.literal()) {
            (Variable::Tx, Some(name)) => {
                VariableName::Slot(Slot(self.slots.enter(name.as_bytes())))
            }
            _ => VariableName::Named(collection, Template::new(key, &mut self.slots)),
        }
    }

    fn change(&mut self, change: &Change) -> CompiledChange {
        match change {
            Change::Set(text) => CompiledChange::Set(Template::new(text, &mut self.slots)),
            Change::Add(text) => CompiledChange::Add(Template::new(text, &mut self.slots)),
            Change::Subtract(text) => {
                CompiledChange::Subtract(Template::new(text, &mut self.slots))
            }
            Change::Remove => CompiledChange::Remove,
        }
    }

    fn named(&mut self, named: &crate::rule::Rules, place: &Place, id: u64) -> Bits {
        named_rules(self.rules, named).unwrap_or_else(|message| {
            self.problems.push(Problem { id, place: place.clone(), message });
            Bits::new(self.rules.len())
        })
    }

    /// Enters what the head of a rule needs, if it can be looked for beforehand.
    fn look_for(&mut self, head: &CompiledLink, need: Need) {
        let special = match &head.test {
            Test::Sqli | Test::SqliText => Some(Special::Sqli),
            Test::Xss | Test::XssText => Some(Special::Xss),
            Test::Outside(allowed) => Some(Special::Outside(*allowed)),
            _ => None,
        };
        let looks_for = special.is_some() || need.is_known();
        let in_values =
            head.targets.iter().all(|target| !target.count && Interests::is_value(target.variable));
        if head.negated || !looks_for || !in_values || head.targets.is_empty() {
            self.needs.push(None);
            return;
        }
        let nodes = self.trie.enter(&head.transformations, head.multi_match);
        let gates = ALPHABETS.map(|alphabet| need.gate(&alphabet));
        self.needs.push(Some(Sought { gates, nodes, special }));
    }

    fn finish(
        self,
        set: &RuleSet,
        mut compiled: Vec<Compiled>,
        phases: [Vec<u16>; 5],
        skips: Vec<Option<usize>>,
    ) -> Rules {
        let probes_len = self.needs.iter().flatten().count();
        let mut probes = Vec::with_capacity(probes_len);
        let mut literals = ALPHABETS.map(|_| Literals::builder(probes_len));
        let mut nodes = Vec::with_capacity(probes_len);
        let mut steps = vec![0; compiled.len()];
        for phase in &phases {
            phase.iter().enumerate().for_each(|(step, &rule)| steps[usize::from(rule)] = step);
        }
        for (at, (rule, sought)) in compiled.iter_mut().zip(self.needs).enumerate() {
            rule.skip_to = skips[at];
            let Some(Sought { gates, nodes: at_nodes, special }) = sought else { continue };
            let probe = u16::try_from(probes.len()).expect("there are no more probes than rules");
            rule.probe = Some(probe);
            for (literals, gate) in literals.iter_mut().zip(&gates) {
                gate.iter().for_each(|gate| literals.add(probe, gate));
            }
            let bytes = gates.map(|gate| gate.unwrap_or_default().bytes.into());
            nodes.push(at_nodes);
            let phase = rule.rule.phase as usize;
            probes.push(Probe { phase, step: steps[at], bytes, special });
        }
        let interests = Interests::new(&compiled, &nodes, &self.trie);
        Rules {
            rules: compiled,
            phases,
            probes,
            literals: literals.map(super::literals::Builder::build),
            interests,
            trie: self.trie,
            regexes: self.regexes,
            scores: (0..self.slots.len())
                .map(|slot| is_score(self.slots.name(slot as u16)))
                .collect(),
            slots: self.slots,
            keys: self.keys,
            settings: set.settings.clone(),
            problems: self.problems,
        }
    }
}

/// What a pattern says that is nothing but the beginning of a name, in lower case.
fn prefix(pattern: &str) -> Option<Box<[u8]>> {
    let prefix = pattern.strip_prefix('^')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    prefix.bytes().all(plain).then(|| prefix.to_ascii_lowercase().into_bytes().into())
}

/// A number of an expression.
fn id(number: usize) -> u16 {
    u16::try_from(number).expect("a rule set has fewer than 65,535 expressions")
}

/// Whether rules add their points to a variable of this name: `inbound_anomaly_score_pl1` and the like.
fn is_score(name: &[u8]) -> bool {
    let stem = name
        .strip_suffix(b"1")
        .or(name.strip_suffix(b"2"))
        .or(name.strip_suffix(b"3"))
        .or(name.strip_suffix(b"4"));
    stem.is_some_and(|stem| stem.ends_with(b"anomaly_score_pl"))
}

fn phrase_automaton(phrases: &[Box<[u8]>]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(phrases)
        .expect("phrases of rule files stay far below the limits of automata")
}

/// The numbers, in their order, of the rules that an exclusion names.
pub(super) fn named_rules(rules: &[Arc<Rule>], named: &crate::rule::Rules) -> Result<Bits, String> {
    let mut chosen: Box<dyn FnMut(&Rule) -> bool> = match named {
        crate::rule::Rules::Ids(ranges) => {
            Box::new(|rule: &Rule| ranges.iter().any(|range| range.contains(&rule.id)))
        }
        crate::rule::Rules::Tag(text) => {
            let mut is_match = matcher(text)?;
            Box::new(move |rule: &Rule| rule.tags.iter().any(|tag| is_match(tag)))
        }
        crate::rule::Rules::Message(text) => {
            let mut is_match = matcher(text)?;
            Box::new(move |rule: &Rule| {
                rule.message.as_ref().is_some_and(|message| is_match(&written(message)))
            })
        }
    };
    let mut bits = Bits::new(rules.len());
    (0..rules.len()).filter(|&at| chosen(&rules[at])).for_each(|at| bits.insert(at));
    Ok(bits)
}

/// Whether texts match an expression.
fn matcher(text: &str) -> Result<impl FnMut(&str) -> bool + use<>, String> {
    let expression = Expression::new(text.into(), &pattern::parse(text)?)?;
    let mut cache = expression::Cache::default();
    Ok(move |text: &str| expression.is_match(&mut cache, text.as_bytes()))
}

/// A text as it was written, but for its variables.
fn written(text: &crate::rule::Text) -> String {
    text.0
        .iter()
        .map(|piece| if let crate::rule::Piece::Literal(text) = piece { text } else { "" })
        .collect()
}
