//! The results as Markdown.

use std::fmt::Write as _;

use super::{report::Tally, suites::Suite};

const PREFACE: &str = "\
# Conformance

Other people's tests against a running Selvedge; `cargo xtask conformance` runs them all, and
`--write` writes this page. Before a suite's result is believed, it must find fault with a subject
that is wrong on purpose. A case that fails without an explanation below fails the command.

";

/// The whole page: table, what each suite is, deviations, what was skipped.
pub fn whole(tallies: &[(&Suite, Tally)]) -> String {
    let mut page = format!("{PREFACE}{}", table(tallies));
    for (suite, tally) in tallies {
        page.push_str(&section(suite, tally));
    }
    page
}

/// One line per suite.
pub fn table(tallies: &[(&Suite, Tally)]) -> String {
    let mut table = String::from(
        "| suite | version | passed | deviations | failed | skipped |\n|---|---|---|---|---|---|\n",
    );
    for (suite, tally) in tallies {
        let Tally { version, passed, deviations, failed, skipped, stale: _ } = tally;
        let counts = [*passed, deviations.len(), failed.len(), skipped.len()];
        let counts = counts.map(|count| count.to_string()).join(" | ");
        push(&mut table, format_args!("| {} | {version} | {counts} |", suite.name));
    }
    table
}

fn section(suite: &Suite, tally: &Tally) -> String {
    let mut section = format!("\n## {}\n\n{}\n", suite.name, suite.about);
    list(&mut section, "Deviations", &tally.deviations);
    list(&mut section, "Failed", &tally.failed);
    list(&mut section, "Skipped", &tally.skipped);
    section
}

/// Cases with the same text share a line.
fn list(page: &mut String, title: &str, cases: &[(String, String)]) {
    if cases.is_empty() {
        return;
    }
    push(page, format_args!("\n{title}:\n"));
    let mut texts: Vec<&str> = Vec::new();
    for (_, text) in cases {
        if !texts.contains(&text.as_str()) {
            texts.push(text);
        }
    }
    for text in texts {
        let names = cases.iter().filter(|(_, t)| t == text).map(|(name, _)| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(", ");
        push(page, format_args!("- {names}: {text}"));
    }
}

fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a String takes everything");
}
