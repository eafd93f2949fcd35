//! What the files say that the rules do not.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use crate::rule::Place;

/// Notes beyond this number are counted, not kept.
const NOTES_MAX: usize = 10_000;
/// The loader stops at this number of errors.
pub(super) const ERRORS_MAX: usize = 1_000;

/// What the files say that the rules do not, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each construct and place; at most ten thousand.
    pub notes: Vec<Note>,
    /// How many more there were.
    pub notes_left_out: usize,
    /// What was read.
    pub counts: Counts,
}

/// A construct that does not do here what it does elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is written.
    pub place: Place,
    /// Why it is noted.
    pub kind: NoteKind,
    /// What is noted, as written: `@geoLookup`, `ctl:auditEngine`, `SecAuditLog`.
    pub construct: String,
    /// The rule it stands in, if it has a number.
    pub rule: Option<u64>,
    /// What that means.
    pub message: String,
}

/// Why a construct is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoteKind {
    /// Accepted; what it says is nothing that decides about an exchange, or is said elsewhere.
    Inert,
    /// It would decide something elsewhere, and does not here.
    Unsupported,
    /// It names a rule, a target or a file that is not there.
    Unmatched,
    /// A name that nobody knows, kept as text.
    Unknown,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rule files.
    pub files: usize,
    /// Files that operators name.
    pub data_files: usize,
    /// `SecRule` that is not a later link of a chain.
    pub rules: usize,
    /// Later links of chains.
    pub links: usize,
    /// `SecAction` that is not a later link of a chain.
    pub actions: usize,
    /// `SecMarker`.
    pub markers: usize,
    /// `SecRuleRemoveBy…` and `SecRuleUpdate…`.
    pub exceptions: usize,
    /// Rules and actions that were taken away again.
    pub removed: usize,
}

/// What keeps rules from being loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Where it is written.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Report {
    /// Returns how often each construct is noted, by kind and name.
    pub fn by_construct(&self) -> Vec<(NoteKind, &str, usize)> {
        let mut times: BTreeMap<(NoteKind, &str), usize> = BTreeMap::new();
        for note in &self.notes {
            *times.entry((note.kind, &note.construct)).or_default() += 1;
        }
        times.into_iter().map(|((kind, construct), times)| (kind, construct, times)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        match self.notes_left_out {
            0 => Ok(()),
            more => writeln!(out, "and {more} more"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, kind, construct, rule, message } = self;
        write!(out, "{place}: {kind} {construct}")?;
        if let Some(id) = rule {
            write!(out, " in rule {id}")?;
        }
        write!(out, ": {message}")
    }
}

impl fmt::Display for NoteKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Inert => "inert",
            Self::Unsupported => "unsupported",
            Self::Unmatched => "unmatched",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, message, remedy } = self;
        write!(out, "{place}: {message}; {remedy}")
    }
}

impl std::error::Error for LoadError {}

/// What is wrong with a piece of text, and what to do; its place is known one level up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub message: String,
    pub remedy: String,
}

/// A line stays a line, and a terminal as it is, whatever a file has in its names.
fn printable(text: String) -> String {
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, "\u{FFFD}"),
        false => text,
    }
}

/// An error in the making.
pub(super) fn fault<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { message: message.into(), remedy: remedy.into() })
}

/// A remedy for a misspelt name: the nearest known one, or where all of them are.
pub(super) fn known_names<'a>(
    written: &str,
    prefix: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> String {
    let near = nearest(written, names).map(|name| format!("did you mean `{prefix}{name}`?"));
    near.unwrap_or_else(|| "docs/reference/seclang.md lists what there is".to_owned())
}

fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 64 {
        return None;
    }
    let written = written.to_lowercase();
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let near = |name: &'a str| {
        let distance = strsim::damerau_levenshtein(&written, &name.to_lowercase());
        (distance <= allowed).then_some((distance, name))
    };
    let names = names.into_iter().filter(|name| name.len().abs_diff(written.len()) <= allowed);
    names.filter_map(near).min().map(|(_, name)| name)
}

/// Notes and errors, as they come up; `place` is where reading stands.
#[derive(Debug)]
pub(super) struct Findings {
    pub place: Place,
    notes: Vec<Note>,
    notes_left_out: usize,
    errors: Vec<LoadError>,
    /// Files in the order in which they were first read.
    files: HashMap<Arc<str>, usize>,
}

impl Findings {
    pub(super) fn new() -> Self {
        Self {
            place: Place { file: "".into(), line: 1 },
            notes: Vec::new(),
            notes_left_out: 0,
            errors: Vec::new(),
            files: HashMap::new(),
        }
    }

    /// Goes to the beginning of a file.
    pub(super) fn enter(&mut self, name: &str) -> Arc<str> {
        let file: Arc<str> = name.into();
        let next = self.files.len();
        self.files.entry(file.clone()).or_insert(next);
        self.place = Place { file: file.clone(), line: 1 };
        file
    }

    pub(super) fn note(
        &mut self,
        kind: NoteKind,
        construct: impl Into<String>,
        message: impl Into<String>,
    ) {
        if self.notes.len() >= NOTES_MAX {
            self.notes_left_out += 1;
            return;
        }
        let place = self.place.clone();
        let (construct, message) = (printable(construct.into()), printable(message.into()));
        self.notes.push(Note { place, kind, construct, rule: None, message });
    }

    pub(super) fn inert(&mut self, construct: impl Into<String>, message: impl Into<String>) {
        self.note(NoteKind::Inert, construct, message);
    }

    pub(super) fn unsupported(&mut self, construct: impl Into<String>, message: impl Into<String>) {
        self.note(NoteKind::Unsupported, construct, message);
    }

    /// How many notes there are, to say later whose they are.
    pub(super) fn mark(&self) -> usize {
        self.notes.len()
    }

    /// Says that the notes since `mark` are about this rule.
    pub(super) fn about(&mut self, mark: usize, id: u64) {
        self.notes[mark..].iter_mut().for_each(|note| note.rule = (id != 0).then_some(id));
    }

    pub(super) fn error(&mut self, fault: Fault) {
        if self.is_full() {
            return;
        }
        let (message, remedy) = (printable(fault.message), printable(fault.remedy));
        self.errors.push(LoadError { place: self.place.clone(), message, remedy });
    }

    /// Keeps what is right, and the error of what is not.
    pub(super) fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.error(fault)).ok()
    }

    /// Whether there are so many errors that more would help nobody.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// Returns the report, or the errors if there are any.
    pub(super) fn finish(mut self, counts: Counts) -> Result<Report, Vec<LoadError>> {
        let files = self.files;
        let order = |place: &Place| (files.get(&place.file).copied(), place.line);
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| order(&error.place));
            self.errors.dedup();
            return Err(self.errors);
        }
        self.notes.sort_by_key(|note| order(&note.place));
        Ok(Report { notes: self.notes, notes_left_out: self.notes_left_out, counts })
    }
}
