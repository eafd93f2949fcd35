//! What is wrong, where, and what helps.

use std::fmt::{self, Write};

use crate::{Code, reading::Findings, source::Place};

/// Whether a config can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; somebody should look.
    Warning,
}

/// One mistake or doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the config can be used all the same.
    pub severity: Severity,
    /// Stable code with a page in `docs/errors`.
    pub code: Code,
    /// One sentence without full stop.
    pub message: String,
    /// Where. `None`: the config as a whole.
    pub place: Option<Place>,
    /// Remedy.
    pub help: Option<String>,
    /// Another place that matters, such as the first of two.
    pub note: Option<(String, Place)>,
}

impl Diagnostic {
    /// Renders it for a terminal, in colour if wanted; ends with a newline.
    pub fn render(&self, color: bool) -> String {
        let paint = Paint { on: color };
        let mut out = String::new();
        let (label, hue) = match self.severity {
            Severity::Error => ("error", Paint::RED),
            Severity::Warning => ("warning", Paint::YELLOW),
        };
        let label = paint.with(hue, &format!("{label}[{}]", self.code));
        push_line(&mut out, &format!("{label}: {}", paint.with(Paint::BOLD, &self.message)));
        if let Some(place) = &self.place {
            render_place(&mut out, &paint, place, hue);
        }
        if let Some((message, place)) = &self.note {
            push_line(&mut out, &format!("{}: {message}", paint.with(Paint::BLUE, "note")));
            render_place(&mut out, &paint, place, Paint::BLUE);
        }
        if let Some(help) = &self.help {
            push_line(&mut out, &format!("{}: {help}", paint.with(Paint::GREEN, "help")));
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Everything that is wrong with a config: every error, and the warnings found on the way.
///
/// It holds at most 500 of each; the last line of its text says how many more there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    omitted: usize,
}

impl Report {
    pub(crate) fn new(findings: Findings) -> Self {
        let Findings { diagnostics, omitted, origins: _ } = findings;
        Self { diagnostics, omitted }
    }

    /// All of it, file by file, top to bottom.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Renders all of it and a last line that counts; in colour if wanted.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&diagnostic.render(color));
            out.push('\n');
        }
        push_line(&mut out, &self.summary());
        out
    }

    fn summary(&self) -> String {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let warnings = self.diagnostics.len() - errors;
        let first = self.diagnostics.iter().find(|d| d.severity == Severity::Error);
        let code = first.map_or(Code::Syntax, |diagnostic| diagnostic.code);
        let more = format!("`selvedge explain {code}` says more");
        let mut summary = counted(errors, "error");
        if warnings > 0 {
            summary += &format!(", {}", counted(warnings, "warning"));
        }
        if self.omitted > 0 {
            summary += &format!(", {} more not shown", self.omitted);
        }
        format!("{summary}; {more}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn render_place(out: &mut String, paint: &Paint, place: &Place, hue: &'static str) {
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = paint.with(Paint::BLUE, "|");
    let (text, column, width) = printable(place);
    let location = format!("{}:{}:{}", place.file.escape_debug(), place.line, place.column);
    push_line(out, &format!("{gutter}{} {location}", paint.with(Paint::BLUE, "-->")));
    push_line(out, &format!("{gutter} {bar}"));
    push_line(out, &format!("{} {bar} {text}", paint.with(Paint::BLUE, &number)));
    let carets = paint.with(hue, &"^".repeat(width));
    push_line(out, &format!("{gutter} {bar} {}{carets}", " ".repeat(column)));
}

/// The line with tabs as four blanks and nothing that a terminal obeys, then the caret's column
/// (from 0) and width in it. A line of more than 160 characters is shown around the caret only.
fn printable(place: &Place) -> (String, usize, usize) {
    const SHOWN: usize = 160;
    let before = place.column - 1;
    let skipped = if place.text.chars().count() > SHOWN { before.saturating_sub(40) } else { 0 };
    let (mut text, mut column, mut width) = (String::new(), 0, 0);
    for (index, c) in place.text.chars().enumerate().skip(skipped).take(SHOWN) {
        let cells = push_printable(&mut text, c);
        if index < before {
            column += cells;
        } else if index < before + place.width {
            width += cells;
        }
    }
    (text.trim_end().to_owned(), column, width.max(1))
}

fn push_printable(text: &mut String, c: char) -> usize {
    match c {
        '\t' => {
            text.push_str("    ");
            4
        }
        c if c.is_control() => {
            text.push('\u{fffd}');
            1
        }
        c => {
            text.push(c);
            1
        }
    }
}

fn push_line(out: &mut String, line: &str) {
    writeln!(out, "{}", line.trim_end()).expect("a String takes every write");
}

struct Paint {
    on: bool,
}

impl Paint {
    const RED: &'static str = "1;31";
    const YELLOW: &'static str = "1;33";
    const BLUE: &'static str = "1;34";
    const GREEN: &'static str = "1;32";
    const BOLD: &'static str = "1";

    fn with(&self, hue: &str, text: &str) -> String {
        if self.on { format!("\x1b[{hue}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, column: usize, width: usize, color: bool, expected: Expect) {
        let place = Place { file: "a.kdl".into(), line: 12, column, width, text: text.to_owned() };
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: Code::BadUnit,
            message: "the unit is missing".to_owned(),
            place: Some(place),
            help: Some("write `10s`".to_owned()),
            note: None,
        };
        expected.assert_eq(&diagnostic.render(color).replace('\x1b', "␛"));
    }

    #[test]
    fn carets_stand_below_what_is_meant() {
        check(
            "\tidle \"10\"",
            7,
            4,
            false,
            expect![[r#"
                error[E0108]: the unit is missing
                  --> a.kdl:12:7
                   |
                12 |     idle "10"
                   |          ^^^^
                help: write `10s`
            "#]],
        );
    }

    #[test]
    fn terminals_are_not_driven_by_a_config() {
        let rendered = |text: &str| {
            let mut out = String::new();
            let place =
                Place { file: "\x1b".into(), line: 1, column: 1, width: 1, text: text.to_owned() };
            render_place(&mut out, &Paint { on: false }, &place, Paint::RED);
            out
        };
        assert!(!rendered("\x1b[2J").contains('\x1b'));
        assert!(rendered(&"x".repeat(5_000)).len() < 400);
    }

    #[test]
    fn colour_is_only_paint() {
        check(
            "idle 1",
            6,
            1,
            true,
            expect![[r#"
                ␛[1;31merror[E0108]␛[0m: ␛[1mthe unit is missing␛[0m
                  ␛[1;34m-->␛[0m a.kdl:12:6
                   ␛[1;34m|␛[0m
                ␛[1;34m12␛[0m ␛[1;34m|␛[0m idle 1
                   ␛[1;34m|␛[0m      ␛[1;31m^␛[0m
                ␛[1;32mhelp␛[0m: write `10s`
            "#]],
        );
    }
}
