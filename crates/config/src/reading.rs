//! One load under way: the texts, what was found wrong, where bounds are written.

use std::{
    cell::{Cell, RefCell},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{
    Code, Diagnostic, Environment, Origin, Origins, Severity,
    source::{FileId, Place, Source, Span, Spanned},
};

/// Errors kept, and as many warnings; a text that is wrong throughout is not worth more.
const DIAGNOSTICS_MAX: usize = 500;

/// One load under way.
pub(crate) struct Reading<'e> {
    pub(crate) env: &'e dyn Environment,
    sources: RefCell<Vec<Source>>,
    found: RefCell<Vec<(Option<Span>, Diagnostic)>>,
    origins: RefCell<Origins>,
    errors: Cell<usize>,
    warnings: Cell<usize>,
}

/// What a load found, whether it came to a config or not.
pub(crate) struct Findings {
    /// File by file, top to bottom.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// How many more there were.
    pub(crate) omitted: usize,
    pub(crate) origins: Origins,
}

/// What is wrong, before it has a place.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    message: String,
    help: Option<String>,
    note: Option<(String, Span)>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, note: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn note(mut self, message: &str, span: Span) -> Self {
        self.note = Some((message.to_owned(), span));
        self
    }

    /// The same problem without a word of the value that came from `source`.
    pub(crate) fn redacted(self, source: &str) -> Self {
        let message = format!("the value that {source} holds: {}", self.code.title());
        Self::new(self.code, message).help("the value itself is not shown, it may be a secret")
    }
}

impl<'e> Reading<'e> {
    pub(crate) fn new(env: &'e dyn Environment) -> Self {
        Self {
            env,
            sources: RefCell::default(),
            found: RefCell::default(),
            origins: RefCell::default(),
            errors: Cell::new(0),
            warnings: Cell::new(0),
        }
    }

    pub(crate) fn add_source(&self, source: Source) -> FileId {
        let mut sources = self.sources.borrow_mut();
        sources.push(source);
        FileId(sources.len() - 1)
    }

    pub(crate) fn text(&self, file: FileId) -> Arc<str> {
        self.sources.borrow()[file.0].text.clone()
    }

    /// Every file read, the main file first.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.sources.borrow().iter().map(|source| source.path.clone()).collect()
    }

    pub(crate) fn error(&self, span: Span, problem: Problem) {
        self.found(Severity::Error, Some(span), problem);
    }

    pub(crate) fn warning(&self, span: Option<Span>, problem: Problem) {
        self.found(Severity::Warning, span, problem);
    }

    /// An error without a place, such as a main file that cannot be read.
    pub(crate) fn error_at_large(&self, problem: Problem) {
        self.found(Severity::Error, None, problem);
    }

    pub(crate) fn failed(&self) -> bool {
        self.errors.get() > 0
    }

    fn found(&self, severity: Severity, span: Option<Span>, problem: Problem) {
        let count = if severity == Severity::Error { &self.errors } else { &self.warnings };
        count.set(count.get() + 1);
        if count.get() > DIAGNOSTICS_MAX {
            return;
        }
        let Problem { code, message, help, note } = problem;
        let place = span.map(|span| self.place(span));
        let note = note.map(|(message, span)| (message, self.place(span)));
        self.found
            .borrow_mut()
            .push((span, Diagnostic { severity, code, message, place, help, note }));
    }

    fn place(&self, span: Span) -> Place {
        self.sources.borrow()[span.file.0].place(span)
    }

    pub(crate) fn origin(&self, span: Span) -> Origin {
        let sources = self.sources.borrow();
        let source = &sources[span.file.0];
        Origin { file: source.name.clone(), line: source.line(span.start) }
    }

    /// Keeps in mind that `span` names `path`.
    pub(crate) fn names_path(&self, path: PathBuf, span: Span) {
        self.origins.borrow_mut().insert_path(path, self.place(span));
    }

    /// The written value, whose origin is kept under `scope` and `name`, or the default.
    pub(crate) fn settle<T>(
        &self,
        scope: &str,
        name: &'static str,
        written: Option<Spanned<T>>,
        default: T,
    ) -> T {
        let Some(Spanned { value, span }) = written else { return default };
        self.origins.borrow_mut().insert(scope, name, self.origin(span));
        value
    }

    /// As [`Self::settle`], where nothing written means no bound.
    pub(crate) fn settle_optional<T>(
        &self,
        scope: &str,
        name: &'static str,
        written: Option<Spanned<T>>,
    ) -> Option<T> {
        let written = written.map(|Spanned { value, span }| Spanned::new(Some(value), span));
        self.settle(scope, name, written, None)
    }

    /// A path written in `file`, made absolute against the file's folder.
    pub(crate) fn resolve(&self, file: FileId, path: &str) -> PathBuf {
        let sources = self.sources.borrow();
        let folder = sources[file.0].path.parent().unwrap_or(Path::new("/"));
        folder.join(path).components().collect()
    }

    pub(crate) fn name(&self, file: FileId) -> Arc<str> {
        self.sources.borrow()[file.0].name.clone()
    }

    pub(crate) fn path(&self, file: FileId) -> PathBuf {
        self.sources.borrow()[file.0].path.clone()
    }

    pub(crate) fn into_findings(self) -> Findings {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(span, _)| *span);
        let omitted = self.errors.get() + self.warnings.get() - found.len();
        let diagnostics = found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        Findings { diagnostics, omitted, origins: self.origins.into_inner() }
    }
}

/// `path` without `.` and `..`, as far as its text says; to compare, not to open.
pub(crate) fn normalized(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    out
}

/// ``did you mean `x`?`` for the nearest of `choices`, when one is near.
pub(crate) fn did_you_mean<'c>(
    written: &str,
    choices: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    nearest(written, choices).map(|choice| format!("did you mean `{choice}`?"))
}

pub(crate) fn nearest<'c>(
    written: &str,
    choices: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if written.len() > 64 {
        return None;
    }
    let written = written.to_lowercase().replace('_', "-");
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let near = |choice: &'c str| {
        let distance = strsim::damerau_levenshtein(&written, &choice.to_lowercase());
        (distance <= allowed).then_some((distance, choice))
    };
    choices.into_iter().filter_map(near).min().map(|(_, choice)| choice)
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of<'c>(choices: impl IntoIterator<Item = &'c str>) -> String {
    let quoted: Vec<String> = choices.into_iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
