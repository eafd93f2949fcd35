//! The page that lists all rules is current. `UPDATE_EXPECT=1 cargo test` writes it.

use std::collections::BTreeMap;

use expect_test::expect_file;

use crate::{
    native::{self, Expectation},
    rule::{Item, Rule},
};

const HEAD: &str = "\
# Rules that come with Selvedge

Written by a test from the rule files in `crates/waf/rules`; [waf-rules.md](waf-rules.md) describes their language. *PL* is the level of
paranoia from which a rule is asked. 25 points are decisive alone.
";

#[test]
fn the_catalogue_is_current() {
    let set = native::bundled();
    let rules: Vec<&Rule> = set.items.iter().filter_map(as_rule).collect();
    let attacks = first_attacks();
    let mut by_category: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in &rules {
        by_category.entry(&rule.tags[0]).or_default().push(rule);
    }
    let mut page = format!("{HEAD}\n{} rules in {} categories.\n", rules.len(), by_category.len());
    for (category, rules) in by_category {
        page += &format!(
            "\n## {category}\n\n| rule | number | PL | points | finds | such as |\n|---|---|---|---|---|---|\n"
        );
        page.extend(rules.iter().map(|rule| row(rule, &attacks[&rule.id])));
    }
    expect_file!["../../../../../docs/reference/waf-catalogue.md"].assert_eq(&page);
}

fn as_rule(item: &Item) -> Option<&Rule> {
    match item {
        Item::Rule(rule) => Some(rule),
        Item::Marker(_) => None,
    }
}

fn first_attacks() -> BTreeMap<u64, String> {
    let mut attacks = BTreeMap::new();
    for case in native::cases() {
        if case.expectation == Expectation::Match {
            attacks.entry(case.rule).or_insert(case.text.to_string());
        }
    }
    attacks
}

fn row(rule: &Rule, attack: &str) -> String {
    let Rule { name, id, paranoia, points, message, .. } = rule;
    let name = name.as_deref().expect("every native rule has a name");
    let about = message.as_ref().and_then(|text| text.literal()).unwrap_or_default();
    let about = about.replace('|', "\\|").replace('<', "&lt;");
    format!("| `{name}` | {id} | {paranoia} | {points} | {about} | {} |\n", code(attack))
}

/// A text as code within a table: cut, on one line, and whatever quotes are in it.
fn code(text: &str) -> String {
    let line: String = text.chars().take(70).collect::<String>().escape_debug().collect();
    let line = line.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\");
    let cut = if text.chars().count() > 70 { "…" } else { "" };
    format!("`` {}{cut} ``", line.replace('|', "\\|").replace("``", "` `"))
}
