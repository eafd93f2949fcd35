//! Everything that is to be said about a config file: what its text says wrong, and what its routes
//! cannot mean.

use std::{
    collections::HashMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use selvedge_config::{
    AgentSettings, Code, Config, Diagnostic, Report, Severity, SystemEnvironment,
};
use selvedge_edge::PlanError;
use selvedge_routing::{Lint, lint};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure, chain},
    terminal::Paint,
};

/// A config that may run, and what somebody should look at.
pub(crate) struct Checked {
    pub(crate) config: Config,
    pub(crate) warnings: Findings,
}

/// Mistakes and doubts about one config.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    diagnostics: Vec<Diagnostic>,
    lints: Vec<Lint>,
}

/// Reads `file` and looks at its routes. What it names need not be readable for the one who asks.
pub(crate) fn load(file: &Path) -> Result<Checked, Findings> {
    let (config, findings) = read(file)?;
    settle(config, findings)
}

/// As [`load`], and tries all that the config names: certificates, keys, folders. Nothing runs that
/// did not come through here.
pub(crate) fn load_to_run(file: &Path) -> Result<Checked, Findings> {
    let (config, mut findings) = read(file)?;
    let faults = selvedge_edge::preflight(&config);
    findings.diagnostics.extend(faults.iter().map(|fault| unusable(fault, &config)));
    findings.diagnostics.extend(rules_of_firewalls(&config));
    findings.diagnostics.extend(queries_of_views(&config));
    findings.diagnostics.extend(parts_not_built_in(&config));
    settle(config, findings)
}

fn read(file: &Path) -> Result<(Config, Findings), Findings> {
    let loaded = selvedge_config::load(file, &SystemEnvironment).map_err(Findings::from)?;
    let findings = Findings { diagnostics: loaded.warnings, lints: lint(&loaded.config) };
    Ok((loaded.config, findings))
}

fn settle(config: Config, findings: Findings) -> Result<Checked, Findings> {
    if findings.errors() > 0 {
        return Err(findings);
    }
    Ok(Checked { config, warnings: findings })
}

/// What cannot be run, at the place where the config names it.
fn unusable(fault: &PlanError, config: &Config) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::Unusable,
        message: chain(fault),
        place: fault.path().and_then(|path| config.origins.of_path(path)).cloned(),
        help: None,
        note: None,
    }
}

/// Views in SQL that cannot be kept up.
fn queries_of_views(config: &Config) -> Vec<Diagnostic> {
    let process = config.core.as_ref().and_then(|core| core.process());
    let views = process.iter().flat_map(|process| &process.views);
    let refused = views.filter_map(|view| Some((&view.name, selvedge_jobs::refused(view)?)));
    let diagnostic = |(name, reason): (&String, String)| Diagnostic {
        severity: Severity::Error,
        code: Code::Text,
        message: format!("the query of view `{name}` cannot be kept up: {reason}"),
        place: None,
        help: Some("docs/guide/views.md has queries that can".to_owned()),
        note: None,
    };
    refused.map(diagnostic).collect()
}

/// What a program that was built without it cannot do.
fn parts_not_built_in(config: &Config) -> Option<Diagnostic> {
    let process = config.core.as_ref().and_then(|core| core.process())?;
    (process.nats.is_some() && !cfg!(feature = "nats")).then(|| Diagnostic {
        severity: Severity::Error,
        code: Code::Unusable,
        message: crate::core::NOT_BUILT_IN.to_owned(),
        place: None,
        help: Some("docs/guide/at-scale.md says how".to_owned()),
        note: None,
    })
}

/// What is wrong with files of rules.
fn rules_of_firewalls(config: &Config) -> Vec<Diagnostic> {
    let settings = config.agents.values().filter_map(|agent| match &agent.settings {
        AgentSettings::Waf(settings) => Some(settings),
        _ => None,
    });
    let faults = settings.filter_map(|settings| selvedge_agents::waf::check(settings).err());
    let diagnostic = |fault: selvedge_agents::waf::Fault| Diagnostic {
        severity: Severity::Error,
        code: Code::Unusable,
        message: fault.message,
        place: fault.file.and_then(|file| config.origins.of_path(&file)).cloned(),
        help: None,
        note: None,
    };
    faults.flatten().map(diagnostic).collect()
}

impl From<Report> for Findings {
    fn from(report: Report) -> Self {
        Self { diagnostics: report.diagnostics().to_vec(), lints: Vec::new() }
    }
}

impl Findings {
    /// How many of them forbid to run.
    pub(crate) fn errors(&self) -> usize {
        self.entries().filter(|entry| entry.is_error).count()
    }

    /// How many of them only ask for a look.
    pub(crate) fn warnings(&self) -> usize {
        self.entries().filter(|entry| !entry.is_error).count()
    }

    /// One entry for each, mistakes in the text first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let written = self.diagnostics.iter().map(Entry::of_diagnostic);
        written.chain(self.lints.iter().map(Entry::of_lint))
    }

    /// All of them with their places and carets, and a line that counts.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&diagnostic.render(paint.on));
            out.push('\n');
        }
        let mut lines = Lines::default();
        for lint in &self.lints {
            render_lint(&mut out, lint, (paint, &mut lines));
            out.push('\n');
        }
        out.push_str(&self.summary());
        out
    }

    /// `1 error, 2 warnings; …` with a hint where to read on; ends with a newline.
    fn summary(&self) -> String {
        let counts = [(self.errors(), "error"), (self.warnings(), "warning")];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, noun)| counted(count, noun))
            .collect();
        let counts = counts.join(", ");
        let mut by_weight: Vec<_> = self.entries().collect();
        by_weight.sort_by_key(|entry| !entry.is_error);
        match by_weight.first() {
            Some(first) => format!("{counts}; `selvedge explain {}` says more\n", first.code),
            None => String::new(),
        }
    }

    /// The first mistake in one line.
    pub(crate) fn headline(&self) -> String {
        let Some(first) = self.entries().find(|entry| entry.is_error) else { return String::new() };
        let text = format!("{}: {} ({})", first.at(), first.message, first.code);
        match self.errors() - 1 {
            0 => text,
            more => format!("{text}, and {}", counted(more, "more error")),
        }
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        self.entries().map(|entry| entry.to_json()).collect()
    }

    /// As the reason why a command cannot go on.
    pub(crate) fn into_failure(self, paint: Paint) -> Failure {
        Failure { exit: Exit::Config, text: self.render(paint) }
    }
}

/// One finding, whoever found it.
pub(crate) struct Entry<'f> {
    pub(crate) is_error: bool,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// File, line and, where it is known, column.
    pub(crate) place: Option<(&'f str, usize, Option<usize>)>,
    pub(crate) help: Option<&'f str>,
}

impl<'f> Entry<'f> {
    fn of_diagnostic(diagnostic: &'f Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        Self {
            is_error: diagnostic.severity == Severity::Error,
            code: diagnostic.code.as_str(),
            message: diagnostic.message.clone(),
            place: place.map(|place| (&*place.file, place.line, Some(place.column))),
            help: diagnostic.help.as_deref(),
        }
    }

    fn of_lint(lint: &'f Lint) -> Self {
        Self {
            is_error: is_error(lint),
            code: lint.code.name(),
            message: message(lint),
            place: Some((&lint.origin.file, lint.origin.line, None)),
            help: None,
        }
    }

    /// `selvedge.kdl:3:5`, or the config as a whole.
    pub(crate) fn at(&self) -> String {
        match self.place {
            Some((file, line, Some(column))) => format!("{file}:{line}:{column}"),
            Some((file, line, None)) => format!("{file}:{line}"),
            None => "the config".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let (file, line, column) = match self.place {
            Some((file, line, column)) => (Some(file), Some(line), column),
            None => (None, None, None),
        };
        json!({
            "severity": if self.is_error { "error" } else { "warning" },
            "code": self.code,
            "message": self.message,
            "file": file,
            "line": line,
            "column": column,
            "help": self.help,
        })
    }
}

fn is_error(lint: &Lint) -> bool {
    lint.code.severity() == selvedge_routing::Severity::Error
}

fn message(lint: &Lint) -> String {
    format!("route {:?} {}", lint.route, lint.message)
}

fn render_lint(out: &mut String, lint: &Lint, (paint, lines): (Paint, &mut Lines)) {
    let (label, hue) = if is_error(lint) { ("error", "1;31") } else { ("warning", "1;33") };
    let label = paint.with(hue, &format!("{label}[{}]", lint.code.name()));
    let (file, line) = (&lint.origin.file, lint.origin.line);
    let gutter = " ".repeat(line.to_string().len());
    let blue = |text: &str| paint.with("1;34", text);
    let mut push = |text: String| writeln!(out, "{text}").expect("a String takes every write");
    push(format!("{label}: {}", paint.bold(&message(lint))));
    push(format!("{gutter}{} {}:{line}", blue("-->"), file.escape_debug()));
    let Some(text) = lines.get(file, line) else { return };
    let indent = text.len() - text.trim_start().len();
    let width = text.trim().trim_end_matches('{').trim_end().chars().count().max(1);
    push(format!("{gutter} {}", blue("|")));
    push(format!("{} {} {text}", blue(&line.to_string()), blue("|")));
    let carets = paint.with(hue, &"^".repeat(width));
    push(format!("{gutter} {} {}{carets}", blue("|"), " ".repeat(indent)));
}

/// Lines of the files that were read, for showing.
#[derive(Default)]
struct Lines(HashMap<PathBuf, String>);

impl Lines {
    /// The line without anything that a terminal would obey; `None` when the file has changed since.
    fn get(&mut self, file: &str, line: usize) -> Option<String> {
        let path = PathBuf::from(file);
        let text = self
            .0
            .entry(path)
            .or_insert_with_key(|path| fs::read_to_string(path).unwrap_or_default());
        let shown = text.lines().nth(line - 1)?.replace('\t', "    ");
        Some(shown.chars().filter(|c| !c.is_control()).take(160).collect())
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
