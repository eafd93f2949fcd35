//! The way from text to a config: includes, sections, references.

use std::path::Path;

use crate::{
    Code, Config, Core, Diagnostic, Environment, Report,
    config_part::ConfigPart,
    cursor::Cursor,
    include,
    reading::{Findings, Problem, Reading},
    source::{FileId, Source, Span},
};

/// A config that can be used, and what somebody should look at.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Doubts that do not stop it; all of severity warning, the first 500.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a config file with its includes.
pub fn load(path: &Path, env: &dyn Environment) -> Result<Loaded, Report> {
    let reading = Reading::new(env);
    let absolute = env.current_dir().join(path);
    let text = match env.read(&absolute) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("{} cannot be read: {error}", path.display());
            let problem = Problem::new(Code::Unreadable, message);
            reading.error_at_large(problem.help("check the name, or `selvedge init` writes one"));
            return Err(Report::new(reading.into_findings()));
        }
    };
    let source = Source::new(&path.display().to_string(), absolute, &text);
    read(reading, source)
}

/// As [`load`], from text; relative paths in it start at the folder of `file_name`.
pub fn parse_str(file_name: &str, text: &str, env: &dyn Environment) -> Result<Loaded, Report> {
    let absolute = env.current_dir().join(file_name);
    read(Reading::new(env), Source::new(file_name, absolute, text))
}

fn read(reading: Reading<'_>, main: Source) -> Result<Loaded, Report> {
    let main = reading.add_source(main);
    let config = read_config(&reading, main);
    let failed = reading.failed();
    let is_deaf = config.as_ref().is_some_and(is_deaf);
    if is_deaf && !failed {
        warn_of_no_listener(&reading);
    }
    let findings = reading.into_findings();
    match config {
        Some(config) if !failed => {
            let Findings { diagnostics: warnings, omitted: _, origins } = findings;
            Ok(Loaded { config: Config { origins, ..config }, warnings })
        }
        _ => Err(Report::new(findings)),
    }
}

fn read_config(reading: &Reading<'_>, main: FileId) -> Option<Config> {
    let nodes = include::gather(reading, main);
    // A block with broken syntax is missing from here on: references to it would seem wrong.
    let is_whole = !reading.failed();
    let start = Span { file: main, start: 0, end: 0 };
    let part = Cursor::read_document(reading, (&nodes, start), ConfigPart::read);
    if is_whole {
        part.check_references(reading);
    }
    part.settle(reading)
}

/// Whether nobody can connect: neither clients to a listener, nor edges to the core.
fn is_deaf(config: &Config) -> bool {
    let core = config.core.as_ref().and_then(Core::process);
    config.listeners.is_empty() && core.is_none_or(|core| core.listen.is_none())
}

fn warn_of_no_listener(reading: &Reading<'_>) {
    let problem = Problem::new(Code::NoListener, "nobody can reach this: no `listener`");
    reading.warning(None, problem.help("add `listener \"http\" { address \"127.0.0.1:8080\" }`"));
}
