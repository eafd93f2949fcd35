//! What a text must have for an expression to find anything in it.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

use crate::transform::ByteSet;

/// So many texts, in lower case, are followed at once before a clause is made of them.
const SET_LEN_MAX: usize = 48;
/// So many may be one clause.
const CLAUSE_LEN_MAX: usize = 4096;
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

/// Texts of which one must occur, whatever the case of its letters: in lower case.
pub(super) type Clause = BTreeSet<Vec<u8>>;

/// What a text must have. Nothing of it suffices; without any of it no match is possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gate {
    /// Bytes.
    pub len_min: usize,
    /// One text of each clause; texts have two bytes or more.
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
        gate.clauses.sort_by_key(|clause| std::cmp::Reverse(quality(clause)));
        gate.clauses.dedup();
        Some(gate)
    }

    /// One of these texts must occur, of those that are made of these bytes. `None`: none is.
    fn of_texts<'a>(texts: impl IntoIterator<Item = &'a [u8]>, alphabet: &ByteSet) -> Option<Self> {
        let texts = texts.into_iter().map(<[u8]>::to_ascii_lowercase);
        let texts: Clause =
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

/// How much a clause keeps out: its shortest text counts, then how few there are.
fn quality(clause: &Clause) -> (usize, usize) {
    let shortest = clause.iter().map(Vec::len).min().unwrap_or(0);
    (shortest.min(6), usize::MAX - clause.len())
}

/// What a part of an expression needs.
struct Needs {
    /// All it can match, if that is a small finite set: what comes next can still be appended.
    exact: Option<Clause>,
    /// What it needs beside that.
    gate: Gate,
}

impl Needs {
    fn exact(texts: Clause) -> Self {
        Self { exact: Some(texts), gate: Gate::default() }
    }

    fn empty() -> Self {
        Self::exact(Clause::from([Vec::new()]))
    }

    /// Anything may be there, and nothing need be.
    fn unknown() -> Self {
        Self { exact: None, gate: Gate::default() }
    }

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::empty(),
            HirKind::Literal(literal) => {
                Self::exact(Clause::from([literal.0.to_ascii_lowercase()]))
            }
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
        if lower.len() <= 6 {
            return Self::exact(lower.into_iter().map(|byte| vec![byte]).collect());
        }
        let mut needs = Self::unknown();
        needs.gate.bytes.push(ByteSet::from_bytes(&bytes));
        needs
    }

    fn of_repetition(repetition: &Repetition) -> Self {
        let once = Self::of(&repetition.sub);
        match (repetition.min, repetition.max) {
            (0, Some(1)) => match once.exact {
                Some(mut texts) => {
                    texts.insert(Vec::new());
                    Self::exact(texts)
                }
                None => Self::unknown(),
            },
            (0, _) => Self::unknown(),
            (1, Some(1)) => once,
            (least, most) => {
                let times = least.min(4) as usize;
                let parts = (0..times).map(|_| Self::of(&repetition.sub));
                let open = most != Some(times as u32);
                Self::of_sequence(parts.chain(open.then(Self::unknown)))
            }
        }
    }

    fn of_sequence(parts: impl Iterator<Item = Self>) -> Self {
        let mut done = Gate::default();
        let mut running = Clause::from([Vec::new()]);
        let mut whole = true;
        for part in parts {
            let Some(texts) = part.exact else {
                whole = false;
                done.take_one_of(std::mem::replace(&mut running, Clause::from([Vec::new()])));
                done.take(part.gate);
                continue;
            };
            if fits(&running, &texts) {
                running = product(&running, &texts);
            } else {
                whole = false;
                done.take_one_of(std::mem::replace(&mut running, texts));
            }
        }
        if whole {
            return Self::exact(running);
        }
        done.take_one_of(running);
        Self { exact: None, gate: done }
    }

    fn of_branches(branches: &[Hir]) -> Self {
        let branches: Vec<Self> = branches.iter().map(Self::of).collect();
        let len: usize = branches
            .iter()
            .map(|branch| branch.exact.as_ref().map_or(CLAUSE_LEN_MAX, BTreeSet::len))
            .sum();
        if len <= CLAUSE_LEN_MAX {
            return Self::exact(
                branches.into_iter().flat_map(|branch| branch.exact.unwrap_or_default()).collect(),
            );
        }
        let gates: Vec<Gate> = branches.into_iter().map(Self::spend).collect();
        Self { exact: None, gate: any_of(&gates) }
    }

    /// What is needed, now that nothing more is appended.
    fn spend(self) -> Gate {
        let mut gate = self.gate;
        if let Some(texts) = self.exact {
            gate.take_one_of(texts);
        }
        gate
    }
}

impl Gate {
    fn take(&mut self, other: Self) {
        self.clauses.extend(other.clauses);
        self.bytes.extend(other.bytes);
    }

    /// One of these texts must occur. With one so short that it occurs everywhere, one byte of each must.
    fn take_one_of(&mut self, texts: Clause) {
        let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
        if shortest == 0 {
            return;
        }
        let says_little = |text: &Vec<u8>| match text.as_slice() {
            [_] => true,
            [first, second] => first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric(),
            _ => false,
        };
        if texts.iter().any(says_little) {
            let bytes: Vec<u8> = texts.iter().map(|text| rarest(text)).collect();
            self.bytes.push(either_case(&bytes));
            return;
        }
        self.clauses.push(texts);
    }
}

/// What one of these needs, whichever it is.
fn any_of(gates: &[Gate]) -> Gate {
    let best = |gate: &Gate| gate.clauses.iter().max_by_key(|clause| quality(clause)).cloned();
    let clauses: Option<Vec<Clause>> = gates.iter().map(best).collect();
    if let Some(clauses) = clauses
        && clauses.iter().map(BTreeSet::len).sum::<usize>() <= CLAUSE_LEN_MAX
    {
        return Gate { clauses: vec![clauses.into_iter().flatten().collect()], ..Gate::default() };
    }
    let bytes: Option<Vec<ByteSet>> = gates.iter().map(byte_need).collect();
    let bytes = bytes.and_then(|sets| sets.into_iter().reduce(|a, b| a.union(b)));
    Gate { bytes: bytes.into_iter().collect(), ..Gate::default() }
}

/// Bytes of which a gate needs one.
fn byte_need(gate: &Gate) -> Option<ByteSet> {
    let of_clause =
        |clause: &Clause| either_case(&clause.iter().map(|text| rarest(text)).collect::<Vec<_>>());
    gate.bytes.first().copied().or_else(|| gate.clauses.first().map(of_clause))
}

/// The byte of a text that benign values have least often: anything but letters, digits and space, if there is one.
fn rarest(text: &[u8]) -> u8 {
    let common = |byte: &&u8| !byte.is_ascii_alphanumeric() && **byte != b' ';
    *text.iter().find(common).unwrap_or(&text[0])
}

fn either_case(bytes: &[u8]) -> ByteSet {
    let both: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()])
        .collect();
    ByteSet::from_bytes(&both)
}

fn fits(left: &Clause, right: &Clause) -> bool {
    let longest = |texts: &Clause| texts.iter().map(Vec::len).max().unwrap_or(0);
    (left.len() == 1 && left.contains(&Vec::new()) && longest(right) <= CLAUSE_LEN_MAX)
        || (left.len() * right.len() <= SET_LEN_MAX
            && longest(left) + longest(right) <= TEXT_BYTES_MAX)
}

fn product(left: &Clause, right: &Clause) -> Clause {
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
        Gate::of_pattern(&pattern::compile(pcre).expect("a good pattern").hir, alphabet)
    }

    #[track_caller]
    fn check(pcre: &str, expect: Expect) {
        let gate = of(pcre, &ByteSet::ALL).expect("it matches something");
        let clause = |clause: &Clause| {
            clause.iter().map(|text| text.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
        };
        let bytes = |set: &ByteSet| {
            (0..=255u8)
                .filter(|&byte| set.contains(byte))
                .map(|byte| byte.escape_ascii().to_string())
                .collect::<String>()
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
            expect![[r#"12 | select & union | \t\n\x0b\x0c\r "#]],
        );
        check(r"<script[^>]*>", expect!["8 | <script | >"]);
        check(r"a(?:bc|de)f", expect!["4 | abcf adef | "]);
        check(r"(?:\[|\.)x", expect!["2 | .x [x | "]);
    }

    #[test]
    fn a_branch_without_literals_leaves_bytes() {
        check(r"(?:abc|[0-9]+x)", expect!["2 |  | 0123456789Aa"]);
        check(r"(?:foo.*bar|ba[zt])", expect!["3 | bar bat baz | "]);
        check(r"(?:foo)?bar*", expect!["2 |  | BFbf"]);
        check(r".*", expect!["0 |  | "]);
    }

    #[test]
    fn repetitions_are_needed_as_often_as_they_must_occur() {
        check(r"(?:ab){3}", expect!["6 | ababab | "]);
        check(r"(?:\.\./){2,}etc", expect!["9 | ../../ & etc | "]);
        check(r"x+y", expect!["2 |  | Xx & Yy"]);
    }
}
