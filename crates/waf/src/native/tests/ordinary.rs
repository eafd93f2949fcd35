//! What people and programs send every day is not refused.

use crate::{
    engine::Transaction,
    native::{
        Expectation,
        case::{Case, Part},
        tests::cases,
    },
    rule::Place,
};

/// Names, prose in several languages, source code, addresses, tokens, filters of interfaces; `\n` is a line end.
const VALUES: &str = include_str!("ordinary.txt");

#[test]
fn ordinary_values_are_not_refused() {
    let (profile, mut transaction) = (cases::profile(1), Transaction::new());
    let mut refused = Vec::new();
    for (index, line) in VALUES.lines().enumerate() {
        for part in [Part::Argument, Part::Json] {
            let found =
                cases::matches(&mut transaction, &profile, &case(index, line, part).exchange());
            let points: u32 = found.iter().map(|one| one.points).sum();
            if points >= 25 {
                let names: Vec<_> = found.iter().filter_map(|one| one.name.as_deref()).collect();
                refused.push(format!("{line}: {names:?}"));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn case(index: usize, line: &str, part: Part) -> Case {
    let line_number = u32::try_from(index + 1).expect("the list is short");
    Case {
        rule: 0,
        name: "ordinary".into(),
        place: Place { file: "ordinary.txt".into(), line: line_number },
        expectation: Expectation::NoMatch,
        part,
        text: line.replace("\\n", "\n").into(),
    }
}
