//! The Core Rule Set loads as it is published, and what of it has no effect is named.

use std::{collections::BTreeMap, path::Path};

use expect_test::{Expect, expect};
use selvedge_waf::{
    rule::{Item, Operator, Rule},
    seclang::{Loaded, load},
};

use super::{Disk, vectors};

/// What was read, and how often which construct is noted.
#[track_caller]
fn check(loaded: &Loaded, expected: Expect) {
    let report = &loaded.report;
    let mut text = format!("{:?}\n", report.counts);
    for (kind, construct, times) in report.by_construct() {
        text += &format!("{times} × {kind} {construct}\n");
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn loaded(folder: &Path, entry: &[&str]) -> Loaded {
    let loaded = load(&mut Disk(folder.to_owned()), entry);
    loaded.unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

fn rules(loaded: &Loaded) -> Vec<&Rule> {
    let rules = loaded.rules.items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(&**rule),
        Item::Marker(_) => None,
    });
    rules.collect()
}

/// How many of the rules fall under each name.
fn tally(rules: &[&Rule], name: impl Fn(&Rule) -> Option<String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for name in rules.iter().filter_map(|rule| name(rule)) {
        *tally.entry(name).or_default() += 1;
    }
    tally
}

fn has_level(rule: &Rule) -> bool {
    rule.tags.iter().any(|tag| tag.starts_with("paranoia-level/"))
}

#[test]
fn version_4() {
    let Some(folder) = vectors("crs") else { return };
    let entry = ["crs-setup.conf.example", "rules/*.conf", "plugins/*.conf"];
    let loaded = loaded(&folder, &entry);
    check(
        &loaded,
        expect![[r#"
            Counts { files: 31, data_files: 21, rules: 622, links: 73, actions: 8, markers: 30, exceptions: 55, removed: 0 }
            6 × inert auditlog
            2 × inert ctl:auditEngine
            5 × inert noauditlog
        "#]],
    );
    let rules = rules(&loaded);
    let levels = tally(&rules, |rule| has_level(rule).then(|| rule.paranoia.to_string()));
    let categories = tally(&rules, |rule| Some(format!("{:?}", rule.category?)));
    expect![[r#"
        {"1": 214, "2": 90, "3": 32, "4": 9}
        {"Code": 24, "Command": 67, "Ldap": 1, "Leak": 33, "Protocol": 82, "Scanner": 1, "SessionFixation": 3, "Sql": 60, "Ssrf": 4, "Template": 2, "Traversal": 11, "WebShell": 28, "Xss": 33}
    "#]]
    .assert_eq(&format!("{levels:?}\n{categories:?}\n"));
    let phrases = rules.iter().flat_map(|rule| &rule.links).map(|link| match &link.operator {
        Operator::Pm(phrases) => phrases.len(),
        _ => 0,
    });
    assert_eq!(phrases.sum::<usize>(), 8_015);
    assert_eq!(loaded.rules.settings.signatures, ["OWASP_CRS/4.29.0-dev"]);
}

#[test]
fn version_3_of_debian() {
    let list = "/usr/share/modsecurity-crs/owasp-crs.load";
    if !Path::new(list).exists() {
        println!("skipped: {list} is missing; `cargo xtask setup` installs it");
        return;
    }
    check(
        &loaded(Path::new("/"), &[list]),
        expect![[r#"
            Counts { files: 36, data_files: 19, rules: 624, links: 166, actions: 10, markers: 40, exceptions: 0, removed: 0 }
            1 × inert SecCollectionTimeout
            3 × inert auditlog
            2 × inert ctl:auditEngine
            110 × inert ctl:auditLogParts
            15 × inert noauditlog
            1 × unsupported @geoLookup
            1 × unsupported @rbl
            1 × unsupported @rx
            1 × unsupported DURATION
            1 × unsupported GEO
        "#]],
    );
}
