//! Whatever the text is: rules or errors, each at a place that exists, and the same ones again.

use proptest::prelude::*;

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

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES);
    let pieces = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    prop_oneof![9 => pieces, 1 => any::<String>()]
}

proptest! {
    #[test]
    fn text_is_rules_or_errors(text in text()) {
        let lines = text.split('\n').count();
        match read(&text) {
            Ok(loaded) => {
                let again = read(&text).unwrap();
                prop_assert_eq!(format!("{:?}", again.rules), format!("{:?}", loaded.rules));
                for note in &loaded.report.notes {
                    prop_assert!((1..=lines).contains(&(note.place.line as usize)), "{note}");
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!((1..=lines).contains(&(error.place.line as usize)), "{error}");
                    prop_assert!(!error.message.is_empty() && !error.remedy.is_empty());
                }
            }
        }
    }
}
