use std::collections::BTreeSet;

use selvedge_waf::{
    native::{Case, NativeError, parse},
    rule::{Item, Place, RuleSet},
};

/// A text is rules, the same ones when read again, or a list of mistakes; each at a place that exists.
pub fn native(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match parse("own.kdl", text) {
        Ok((rules, cases)) => {
            is_right(&rules, &cases, text);
            let (again, cases_again) = parse("own.kdl", text).expect("it was right before");
            assert_eq!(format!("{:?}", again.items), format!("{:?}", rules.items));
            assert_eq!(cases_again, cases);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| is_in(error, text));
        }
    }
}

fn is_right(rules: &RuleSet, cases: &[Case], text: &str) {
    let lines = text.split('\n').count();
    let exists = |place: &Place| assert!((1..=lines).contains(&(place.line as usize)), "{place}");
    let mut ids = BTreeSet::new();
    for item in &rules.items {
        let Item::Rule(rule) = item else { panic!("native rules lead nowhere") };
        assert!(ids.insert(rule.id) && rule.id > 0, "{} comes again", rule.id);
        assert!(!rule.links.is_empty() && rule.links.len() <= 5);
        assert!((1..=4).contains(&rule.paranoia) && (1..=100).contains(&rule.points));
        assert!(rule.category.is_some() && rule.name.is_some() && rule.message.is_some());
        rule.links.iter().for_each(|link| exists(&link.place));
    }
    for case in cases {
        exists(&case.place);
        assert!(ids.contains(&case.rule), "a case of no rule");
    }
}

fn is_in(error: &NativeError, text: &str) {
    let line = text.split('\n').nth(error.line as usize - 1);
    let columns = line.map(|line| line.chars().count() + 1).expect("the line exists");
    assert!((1..=columns).contains(&(error.column as usize)), "{error} of {columns} columns");
    assert!(!error.message.is_empty() && !error.help.is_empty(), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}
