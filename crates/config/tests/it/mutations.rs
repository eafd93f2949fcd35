//! No text makes the reader panic, and what it refuses it explains.

use proptest::prelude::*;
use selvedge_config::{MemoryEnvironment, Severity, explain, parse_str};

use crate::language::EVERYTHING;

fn check(text: &str) {
    let environment = MemoryEnvironment::default().with_file("site.pem", "").with_var("X", "x");
    if let Err(report) = parse_str("selvedge.kdl", text, &environment) {
        let errors = report.diagnostics().iter().filter(|one| one.severity == Severity::Error);
        assert!(errors.count() > 0);
        for diagnostic in report.diagnostics() {
            assert!(explain(diagnostic.code.as_str()).is_some());
            assert!(!diagnostic.message.is_empty());
        }
        assert!(!report.render(true).is_empty());
    }
}

fn kdl_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "listener ",
        "route ",
        "upstream ",
        "tls ",
        "target ",
        "include ",
        "agent ",
        "agents ",
        "type \"auth\";",
        "type \"rate-limit\";",
        "policy ",
        "issuer ",
        "settings ",
        "after ",
        "\"a\" ",
        "\"",
        "{",
        "}",
        "\n",
        ";",
        "(env)",
        "(",
        ")",
        "=",
        "#true ",
        "#false ",
        "#",
        "/-",
        "/*",
        "*/",
        "//",
        "\\",
        "\"\"\"\n",
        "1 ",
        "1.5 ",
        "-",
        "é",
        "\u{feff}",
        "\u{2028}",
        "\r\n",
        "\t",
        "true ",
        "weight=",
        "\"10s\" ",
        "[",
        "]",
        "'",
        "\0",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..20_usize, "[ -~\n]{0,4}");
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for (at, removed, inserted) in edits {
            let start = at.index(text.len());
            let end = (start + removed).min(text.len());
            text.splice(start..end, inserted.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn text_that_looks_like_kdl(text in kdl_like()) {
        check(&text);
    }

    #[test]
    fn a_config_with_accidents(text in mutated()) {
        check(&text);
    }
}

#[test]
fn mistakes_without_end_are_survived() {
    check(&"= ".repeat(20_000));
    for piece in ["= \n", "}", "{", "a {", "/*", "a /- {", "/- ", "(", "\"\\", "#", "a {\n"] {
        check(&piece.repeat(5_000));
    }
    check(&format!("a {}", "/- 1 ".repeat(5_000)));
}
