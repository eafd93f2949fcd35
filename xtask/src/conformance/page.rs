//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    report::Tally,
    suites::{Page, Suite},
};

/// The whole page: table, what each suite is, what it says, deviations, what was skipped.
pub fn whole(page: &Page, tallies: &[(&Suite, Tally)]) -> String {
    let mut text = format!("{}\n\n{}", page.preface, table(tallies));
    for (suite, tally) in tallies {
        text.push_str(&section(suite, tally));
    }
    text
}

/// One line per suite.
pub fn table(tallies: &[(&Suite, Tally)]) -> String {
    let mut table = String::from(
        "| suite | version | passed | deviations | failed | skipped |\n|---|---|---|---|---|---|\n",
    );
    for (suite, tally) in tallies {
        let Tally { version, passed, deviations, failed, skipped, stale: _, notes: _ } = tally;
        let counts = [*passed, deviations.len(), failed.len(), skipped.len()];
        let counts = counts.map(|count| count.to_string()).join(" | ");
        push(&mut table, format_args!("| {} | {version} | {counts} |", suite.name));
    }
    table
}

fn section(suite: &Suite, tally: &Tally) -> String {
    let mut section = format!("\n## {}\n\n{}\n", suite.name, suite.about);
    for note in &tally.notes {
        push(&mut section, format_args!("\n{}", note.trim_end()));
    }
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
