//! What a text must have for an expression to find anything in it.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

use super::ordinary;
use crate::transform::ByteSet;

/// So many texts, in lower case, are followed at once before a clause is made of them …
const SET_LEN_MAX: usize = 48;
/// … and so many of short ones: `cat` occurs in ordinary words, `cat ` hardly does.
const SHORT_SET_LEN_MAX: usize = 256;
/// Texts of fewer bytes are short.
const SHORT_BYTES: usize = 4;
/// So many may be one clause.
const CLAUSE_LEN_MAX: usize = 4096;
/// A class of so many bytes, either case counting once, is followed as texts.
const CLASS_TEXTS_MAX: usize = 10;
/// Texts are followed up to this length; a longer one begins with what was followed.
const TEXT_BYTES_MAX: usize = 24;
/// A class of more bytes than this says nothing.
const CLASS_LEN_MAX: usize = 128;

/// Alphabets of texts, each part of the next. What most values are made of comes first: most rules match nothing at all there.
/// The second lacks what shells read past between the letters of a command: there, commands are literals.
pub(super) const ALPHABETS: [ByteSet; 3] = [
    ByteSet::from_bytes(
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,:/@+%=~",
    ),
    ByteSet::from_bytes(b"\"'`()[]$\\").complement(),
    ByteSet::ALL,
];

/// What an operator looks for.
pub(super) enum Need {
    /// Nothing that can be told.
    Unknown,
    Pattern(Box<Hir>),
    /// One of these texts.
    Texts(Vec<Box<[u8]>>),
    /// One of these bytes.
    Bytes(ByteSet),
}

impl Need {
    /// What a text made of these bytes must have. `None`: the operator finds nothing in any of those.
    pub fn gate(&self, alphabet: &ByteSet) -> Option<Gate> {
        match self {
            Self::Unknown => Some(Gate::default()),
            Self::Pattern(hir) => Gate::of_pattern(hir, alphabet),
            Self::Texts(texts) => Gate::of_texts(texts.iter().map(|text| &**text), alphabet),
            Self::Bytes(bytes) => {
                let gate = Gate { bytes: vec![*bytes], len_min: 1, ..Gate::default() };
                bytes.intersects(alphabet).then_some(gate)
            }
        }
    }

    /// Whether there is anything to look for.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

/// Texts in lower case.
pub(super) type Texts = BTreeSet<Vec<u8>>;

/// Texts of which one must occur, whatever the case of its letters, or one of these bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Clause {
    /// Of two bytes or more.
    pub texts: Texts,
    /// Letters are here in either case.
    pub bytes: ByteSet,
}

/// What a text must have. Nothing of it suffices; without any of it no match is possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gate {
    /// Bytes.
    pub len_min: usize,
    /// One text or byte of each clause, the rarest clause first.
    pub clauses: Vec<Clause>,
    /// One byte of each set.
    pub bytes: Vec<ByteSet>,
}

impl Gate {
    /// What an expression needs of a text made of these bytes. `None`: it matches none of those.
    fn of_pattern(hir: &Hir, alphabet: &ByteSet) -> Option<Self> {
        let hir = &restricted(hir, alphabet)?;
        let mut gate = Needs::of(hir).spend();
        gate.len_min = hir.properties().minimum_len().unwrap_or(0);
        gate.clauses.sort_by_cached_key(Clause::weight);
        gate.clauses.dedup();
        let mut first = true;
        gate.clauses.retain(|clause| std::mem::take(&mut first) || clause.is_selective());
        Some(gate)
    }

    /// One of these texts must occur, of those that are made of these bytes. `None`: none is.
    fn of_texts<'a>(texts: impl IntoIterator<Item = &'a [u8]>, alphabet: &ByteSet) -> Option<Self> {
        let texts = texts.into_iter().map(<[u8]>::to_ascii_lowercase);
        let texts: Texts =
            texts.filter(|text| ByteSet::from_bytes(text).is_subset_of(alphabet)).collect();
        if texts.is_empty() {
            return None;
        }
        let len_min = texts.iter().map(Vec::len).min().unwrap_or(0);
        let mut gate = Needs::exact(texts).spend();
        gate.len_min = len_min;
        Some(gate)
    }
}

/// What is left of an expression for texts made of these bytes. `None`: nothing, it cannot match. What evasions put between
/// the letters of a command cannot be there in a plain text, so that the command itself must be.
pub(super) fn restricted(hir: &Hir, alphabet: &ByteSet) -> Option<Hir> {
    Some(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => hir.clone(),
        HirKind::Literal(literal) => {
            let whole = ByteSet::from_bytes(&literal.0).is_subset_of(alphabet);
            return whole.then(|| hir.clone());
        }
        HirKind::Class(class) => {
            let Some(bytes) = class_bytes(class) else { return Some(hir.clone()) };
            let bytes = bytes.into_iter().filter(|byte| alphabet.contains(*byte));
            let ranges: Vec<_> = bytes.map(|byte| ClassBytesRange::new(byte, byte)).collect();
            if ranges.is_empty() {
                return None;
            }
            Hir::class(Class::Bytes(ClassBytes::new(ranges)))
        }
        HirKind::Repetition(repetition) => match restricted(&repetition.sub, alphabet) {
            Some(sub) => Hir::repetition(Repetition { sub: Box::new(sub), ..repetition.clone() }),
            None if repetition.min == 0 => Hir::empty(),
            None => return None,
        },
        HirKind::Capture(capture) => return restricted(&capture.sub, alphabet),
        HirKind::Concat(parts) => {
            let parts: Option<Vec<_>> =
                parts.iter().map(|part| restricted(part, alphabet)).collect();
            Hir::concat(parts?)
        }
        HirKind::Alternation(branches) => {
            let left: Vec<_> =
                branches.iter().filter_map(|branch| restricted(branch, alphabet)).collect();
            if left.is_empty() {
                return None;
            }
            Hir::alternation(left)
        }
    })
}

/// The bytes of a class; `None`: it has characters of several. Alternatives of single characters are read as such a class
/// even where expressions are of bytes.
fn class_bytes(class: &Class) -> Option<Vec<u8>> {
    match class {
        Class::Bytes(class) => {
            Some(class.iter().flat_map(|range| range.start()..=range.end()).collect())
        }
        Class::Unicode(class) if class.is_ascii() => {
            let chars = class.iter().flat_map(|range| range.start()..=range.end());
            Some(chars.map(|c| c as u8).collect())
        }
        Class::Unicode(_) => None,
    }
}

impl Clause {
    /// How often it holds in ordinary values, on a scale of its own.
    fn weight(&self) -> u64 {
        let texts: u64 = self.texts.iter().map(|text| ordinary::weight(text)).sum();
        let bytes: u64 = self.bytes.iter().map(|byte| ordinary::weight(&[byte])).sum();
        texts + bytes
    }

    /// Whether it is worth looking for beside a rarer one: few texts, none of them ordinary. Each text that is looked for costs
    /// at every place of every value.
    fn is_selective(&self) -> bool {
        self.texts.len() <= SET_LEN_MAX
            && self.texts.iter().all(|text| text.len() > 2)
            && self.weight() < ordinary::WEIGHT
    }
}

/// What a part of an expression needs.
struct Needs {
    /// Whether `begins` is all that it can match: what comes next can still be appended.
    exact: bool,
    /// One of these is how it begins; an empty text: nobody knows.
    begins: Texts,
    /// One of these is how it ends.
    ends: Texts,
    /// What it needs beside that.
    gate: Gate,
}

impl Needs {
    fn exact(texts: Texts) -> Self {
        Self { exact: true, begins: texts.clone(), ends: texts, gate: Gate::default() }
    }

    fn empty() -> Self {
        Self::exact(Texts::from([Vec::new()]))
    }

    fn unknown() -> Self {
        Self { exact: false, ..Self::empty() }
    }

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::empty(),
            HirKind::Literal(literal) => Self::exact(Texts::from([literal.0.to_ascii_lowercase()])),
            HirKind::Class(class) => Self::of_class(class),
            HirKind::Repetition(repetition) => Self::of_repetition(repetition),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => Self::of_sequence(parts.iter().map(Self::of)),
            HirKind::Alternation(branches) => Self::of_branches(branches),
        }
    }

    fn of_class(class: &Class) -> Self {
        let Some(bytes) = class_bytes(class) else { return Self::unknown() };
        let lower: BTreeSet<u8> = bytes.iter().map(u8::to_ascii_lowercase).collect();
        if lower.is_empty() || bytes.len() > CLASS_LEN_MAX {
            return Self::unknown();
        }
        if lower.len() <= CLASS_TEXTS_MAX {
            return Self::exact(lower.into_iter().map(|byte| vec![byte]).collect());
        }
        let mut needs = Self::unknown();
        needs.gate.bytes.push(ByteSet::from_bytes(&bytes));
        needs
    }

    fn of_repetition(repetition: &Repetition) -> Self {
        let once = Self::of(&repetition.sub);
        match (repetition.min, repetition.max) {
            (0, Some(1)) if once.exact => {
                let mut texts = once.begins;
                texts.insert(Vec::new());
                Self::exact(texts)
            }
            (0, _) => Self::unknown(),
            (1, Some(1)) => once,
            (least, most) => {
                let times = least.min(4);
                let whole = Self::of_sequence((0..times).map(|_| Self::of(&repetition.sub)));
                if most == Some(times) { whole } else { whole.opened() }
            }
        }
    }

    /// It begins and ends as before, and something may lie between.
    fn opened(self) -> Self {
        let (begins, ends) = (self.begins.clone(), self.ends.clone());
        Self { exact: false, begins, ends, gate: self.spend() }
    }

    fn of_sequence(parts: impl Iterator<Item = Self>) -> Self {
        let mut gate = Gate::default();
        let mut begins = None;
        // How what was read so far ends.
        let mut running = Texts::from([Vec::new()]);
        for part in parts {
            let joined = fits(&running, &part.begins).then(|| product(&running, &part.begins));
            let here = match joined {
                Some(joined) if part.exact => {
                    running = joined;
                    continue;
                }
                joined => joined.unwrap_or(running),
            };
            begins.get_or_insert_with(|| here.clone());
            gate.take_one_of(here);
            gate.take(part.gate);
            running = part.ends;
        }
        let Some(begins) = begins else { return Self::exact(running) };
        gate.take_one_of(running.clone());
        Self { exact: false, begins, ends: running, gate }
    }

    fn of_branches(branches: &[Hir]) -> Self {
        let branches: Vec<Self> = branches.iter().map(Self::of).collect();
        let exact = branches.iter().all(|branch| branch.exact);
        let begins = union(branches.iter().map(|branch| &branch.begins));
        if exact && begins.len() <= CLAUSE_LEN_MAX {
            return Self::exact(begins);
        }
        let ends = union(branches.iter().map(|branch| &branch.ends));
        let gates: Vec<Gate> = branches.into_iter().map(Self::spend).collect();
        Self { exact: false, begins: known(begins), ends: known(ends), gate: any_of(&gates) }
    }

    /// What is needed, now that nothing more is appended.
    fn spend(self) -> Gate {
        let mut gate = self.gate;
        if self.exact {
            gate.take_one_of(self.begins);
        }
        gate
    }
}

fn union<'a>(sets: impl Iterator<Item = &'a Texts>) -> Texts {
    sets.flatten().cloned().collect()
}

/// The same texts, if there are few and all of them say something.
fn known(texts: Texts) -> Texts {
    let open = texts.len() > SHORT_SET_LEN_MAX || texts.contains(&Vec::new());
    if open { Texts::from([Vec::new()]) } else { texts }
}

impl Gate {
    fn take(&mut self, other: Self) {
        self.clauses.extend(other.clauses);
        self.bytes.extend(other.bytes);
    }

    /// One of these texts must occur. Of one so short that it would be found everywhere, a byte must; if that is a letter
    /// or a digit, looking for the others would be in vain, and one byte of each is what is needed.
    fn take_one_of(&mut self, texts: Texts) {
        if texts.contains(&Vec::new()) {
            return;
        }
        let says_little = |text: &Vec<u8>| match text.as_slice() {
            [_] => true,
            [first, second] => first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric(),
            _ => false,
        };
        let (short, long): (Texts, Texts) = texts.into_iter().partition(says_little);
        let common = |text: &Vec<u8>| rarest(text).is_ascii_alphanumeric();
        if long.is_empty() || short.iter().any(common) {
            self.bytes.push(either_case(short.iter().chain(&long).map(|text| rarest(text))));
            return;
        }
        let bytes = either_case(short.iter().map(|text| rarest(text)));
        self.clauses.push(Clause { texts: long, bytes });
    }

    /// The rarest clause, or the bytes if there is none.
    fn best(&self) -> Option<Clause> {
        let of_bytes = |bytes: &ByteSet| Clause { texts: Texts::new(), bytes: *bytes };
        let clauses = self.clauses.iter().cloned().chain(self.bytes.iter().map(of_bytes));
        clauses.min_by_key(Clause::weight)
    }
}

/// What one of these needs, whichever it is.
fn any_of(gates: &[Gate]) -> Gate {
    let best: Option<Vec<Clause>> = gates.iter().map(Gate::best).collect();
    let bytes: Option<Vec<ByteSet>> = gates.iter().map(byte_need).collect();
    let bytes = bytes.and_then(|sets| sets.into_iter().reduce(|a, b| a.union(b)));
    let clause = best.map(|clauses| Clause {
        bytes: clauses.iter().fold(ByteSet::EMPTY, |bytes, clause| bytes.union(clause.bytes)),
        texts: clauses.into_iter().flat_map(|clause| clause.texts).collect(),
    });
    let clause = clause.filter(|clause| (1..=CLAUSE_LEN_MAX).contains(&clause.texts.len()));
    Gate {
        clauses: clause.into_iter().collect(),
        bytes: bytes.into_iter().collect(),
        ..Gate::default()
    }
}

/// Bytes of which a gate needs one.
fn byte_need(gate: &Gate) -> Option<ByteSet> {
    let of_clause = |clause: &Clause| {
        either_case(clause.texts.iter().map(|text| rarest(text))).union(clause.bytes)
    };
    let weight = |set: &ByteSet| set.iter().map(|byte| ordinary::weight(&[byte])).sum::<u64>();
    gate.bytes.iter().copied().chain(gate.clauses.iter().map(of_clause)).min_by_key(weight)
}

/// The byte of a text that benign values have least often: anything but letters, digits and space, if there is one.
fn rarest(text: &[u8]) -> u8 {
    let common = |byte: &&u8| !byte.is_ascii_alphanumeric() && **byte != b' ';
    *text.iter().find(common).unwrap_or(&text[0])
}

fn either_case(bytes: impl Iterator<Item = u8>) -> ByteSet {
    bytes.flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]).collect()
}

fn fits(left: &Texts, right: &Texts) -> bool {
    let longest = |texts: &Texts| texts.iter().map(Vec::len).max().unwrap_or(0);
    if left.len() == 1 && left.contains(&Vec::new()) {
        return longest(right) <= CLAUSE_LEN_MAX;
    }
    let short = left.iter().any(|text| text.len() < SHORT_BYTES);
    let len_max = if short { SHORT_SET_LEN_MAX } else { SET_LEN_MAX };
    left.len() * right.len() <= len_max && longest(left) + longest(right) <= TEXT_BYTES_MAX
}

fn product(left: &Texts, right: &Texts) -> Texts {
    let each = |start: &Vec<u8>| {
        right.iter().map(|end| [start.as_slice(), end].concat()).collect::<Vec<_>>()
    };
    left.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::engine::pattern;

    fn of(pcre: &str, alphabet: &ByteSet) -> Option<Gate> {
        Gate::of_pattern(&pattern::parse(pcre).expect("a good pattern"), alphabet)
    }

    #[track_caller]
    fn check(pcre: &str, expect: Expect) {
        let gate = of(pcre, &ByteSet::ALL).expect("it matches something");
        let texts = |clause: &Clause| {
            clause
                .texts
                .iter()
                .map(|text| text.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let bytes = |set: &ByteSet| {
            (0..=255u8)
                .filter(|&byte| set.contains(byte))
                .map(|byte| byte.escape_ascii().to_string())
                .collect::<String>()
        };
        let clause = |clause: &Clause| match clause.bytes.is_empty() {
            true => texts(clause),
            false => format!("{} or {}", texts(clause), bytes(&clause.bytes)),
        };
        let clauses: Vec<_> = gate.clauses.iter().map(clause).collect();
        let sets: Vec<_> = gate.bytes.iter().map(bytes).collect();
        expect.assert_eq(&format!(
            "{} | {} | {}",
            gate.len_min,
            clauses.join(" & "),
            sets.join(" & ")
        ));
    }

    #[test]
    fn literals_are_needed_whatever_their_case() {
        check(r"(?i)\bunion\b", expect!["5 | union | "]);
        check(
            r"(?i)\bunion\s+(?:all\s+|distinct\s+)?select\b",
            expect![[
                r#"12 | select & union\t union\n union\x0b union\x0c union\r union  | \t\n\x0b\x0c\r  & \t\n\x0b\x0c\r "#
            ]],
        );
        check(r"<script[^>]*>", expect!["8 | <script | >"]);
        check(r"a(?:bc|de)f", expect!["4 | abcf adef | "]);
        check(r"(?:\[|\.)x", expect!["2 | .x [x | "]);
    }

    #[test]
    fn a_branch_without_literals_leaves_bytes() {
        check(r"(?:abc|[0-9]+x)", expect!["2 | abc or 0123456789 | 0123456789Aa"]);
        check(r"(?:foo.*bar|ba[zt])", expect!["3 | bat baz foo | Bb"]);
        check(r"(?:foo)?bar*", expect!["2 |  | BFbf"]);
        check(r".*", expect!["0 |  | "]);
    }

    #[test]
    fn repetitions_are_needed_as_often_as_they_must_occur() {
        check(r"(?:ab){3}", expect!["6 | ababab | "]);
        check(r"(?:\.\./){2,}etc", expect!["9 | ../../ & ../../etc | "]);
        check(r"x+y", expect!["2 |  | Xx & Xx & Xx"]);
    }
}
