//! Whatever the text is: rules or errors, each at a place that exists, and the same ones again.

use proptest::prelude::*;
use selvedge_waf::rule::Place;

use super::read;

/// Pieces that rules are made of, right and wrong.
const PIECES: &[&str] = &[
    "SecRule ",
    "SecAction ",
    "SecMarker ",
    "SecDefaultAction ",
    "SecRuleRemoveById ",
    "SecRuleUpdateTargetById ",
    "SecRuleUpdateActionById ",
    "Include ",
    "main.conf",
    "*",
    "ARGS",
    "XML:",
    "REQUEST_HEADERS:",
    "|",
    "!",
    "&",
    ":",
    "/",
    "'",
    "\"",
    "\\",
    "\\\n",
    "\n",
    "#",
    " ",
    ",",
    ";",
    "@rx ",
    "@pm ",
    "@pmFromFile ",
    "@ipMatch ",
    "@eq ",
    "words.data",
    "%{",
    "}",
    "tx.a",
    "id:1",
    "id:2",
    "chain",
    "t:none",
    "t:lowercase",
    "setvar:",
    "ctl:ruleRemoveTargetById=",
    "skipAfter:",
    "phase:2",
    "msg:",
    "1-9",
    "0",
    "é",
    "\u{0}",
    "(",
    "a{1,99}",
];

#[test]
fn errors_of_included_files_are_theirs() {
    let errors = read("Include *").unwrap_err();
    assert!(errors.iter().any(|error| &*error.place.file != "main.conf"), "{errors:?}");
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES);
    let pieces = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    prop_oneof![9 => pieces, 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_is_rules_or_errors(text in text()) {
        let lines = text.split('\n').count();
        // `Include *` leads elsewhere.
        let exists = |place: &Place| {
            place.line >= 1 && (&*place.file != "main.conf" || place.line as usize <= lines)
        };
        match read(&text) {
            Ok(loaded) => {
                let again = read(&text).unwrap();
                prop_assert_eq!(format!("{:?}", again.rules), format!("{:?}", loaded.rules));
                for note in &loaded.report.notes {
                    prop_assert!(exists(&note.place), "{note}");
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(exists(&error.place), "{error}");
                    prop_assert!(!error.message.is_empty() && !error.remedy.is_empty());
                }
            }
        }
    }
}
