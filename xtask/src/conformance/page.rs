//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    report::Tally,
    suites::{Page, Suite},
};

/// The whole page: table, what each suite is, what it says, deviations, what was skipped. Suites that were not run today keep
/// what the page `before` says of them.
pub fn whole(page: &Page, tallies: &[(&Suite, Tally)], (before, today): (&str, &str)) -> String {
    let (mut table, mut sections) = (head(), String::new());
    for suite in page.suites {
        match tallies.iter().find(|(run, _)| run.name == suite.name) {
            Some((_, tally)) => {
                push(&mut table, format_args!("{} {today} |", row(suite, tally)));
                sections += &section(suite, tally);
            }
            None => {
                let Some((row, section)) = last(before, suite) else { continue };
                push(&mut table, format_args!("{row}"));
                sections += section;
            }
        }
    }
    format!("{}\n\n{table}{sections}", page.preface)
}

/// What a page says of a suite: its row and its section.
fn last<'p>(page: &'p str, suite: &Suite) -> Option<(&'p str, &'p str)> {
    let row = page.lines().find(|line| line.starts_with(&format!("| {} |", suite.name)))?;
    let at = page.find(&format!("\n## {}\n", suite.name))?;
    let end = page[at + 1..].find("\n## ").map_or(page.len(), |end| at + 1 + end);
    Some((row, &page[at..end]))
}

/// One line per suite.
pub fn table(tallies: &[(&Suite, Tally)]) -> String {
    let rows = tallies.iter().map(|(suite, tally)| format!("{}\n", row(suite, tally)));
    let head = head().replace(" run |", "").replace("---|---|\n", "---|\n");
    head + &rows.collect::<String>()
}

fn head() -> String {
    "| suite | version | passed | deviations | failed | skipped | run |\n|---|---|---|---|---|---|---|\n"
        .to_owned()
}

fn row(suite: &Suite, tally: &Tally) -> String {
    let Tally { version, passed, deviations, failed, skipped, stale: _, notes: _ } = tally;
    let counts = [*passed, deviations.len(), failed.len(), skipped.len()];
    let counts = counts.map(|count| count.to_string()).join(" | ");
    format!("| {} | {version} | {counts} |", suite.name)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::suites::PAGES;

    fn tally(passed: usize) -> Tally {
        Tally { version: "v1".to_owned(), passed, ..Tally::default() }
    }

    #[test]
    fn suites_that_were_not_run_keep_what_is_said_of_them() {
        let page = &PAGES[0];
        let [first, second, third, ..] = page.suites else { panic!("three suites") };
        let before = whole(page, &[(first, tally(1)), (third, tally(3))], ("", "2026-01-01"));
        assert_eq!(last(&before, second), None);
        let (row, section) = last(&before, third).unwrap();
        assert_eq!(row, format!("| {} | v1 | 3 | 0 | 0 | 0 | 2026-01-01 |", third.name));
        assert_eq!(section, format!("\n## {}\n\n{}\n", third.name, third.about));

        let all = [(first, tally(1)), (second, tally(2)), (third, tally(3))];
        let after = whole(page, &[(second, tally(2))], (&before, "2026-02-02"));
        let expected = whole(page, &all, ("", "2026-01-01"));
        let old = format!("| {} | v1 | 2 | 0 | 0 | 0 | 2026-01-01 |", second.name);
        assert_eq!(after, expected.replace(&old, &old.replace("01-01", "02-02")));
        assert_eq!(whole(page, &[], (&after, "2026-03-03")), after);
    }

    #[test]
    fn what_is_printed_has_no_day() {
        let first = &PAGES[0].suites[0];
        let head = "| suite | version | passed | deviations | failed | skipped |\n|---|---|---|---|---|---|\n";
        let row = format!("| {} | v1 | 7 | 0 | 0 | 0 |\n", first.name);
        assert_eq!(table(&[(first, tally(7))]), format!("{head}{row}"));
    }
}
