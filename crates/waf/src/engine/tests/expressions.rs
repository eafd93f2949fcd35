//! Whatever a random expression finds, its gates and its sketch let through.

use proptest::prelude::*;

use super::{gate::ALPHABETS, pattern::build, pattern::parse, *};
use crate::{
    engine::{
        expression::{self, Expression},
        gate::{Gate, Need},
    },
    transform::ByteSet,
};

/// An expression over a small alphabet, with what evasions put between letters.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[abkQ]{1,3}",
        1 => Just(r#"(?:\[|\.)"#.to_owned()),
        1 => Just(r#"["'\\(]*"#.to_owned()),
        1 => Just(r"\s+".to_owned()),
        1 => Just(r"[a-c]".to_owned()),
        1 => Just(r"[^a'\x00]".to_owned()),
        1 => Just(r"\x00".to_owned()),
        1 => Just(r"\b".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(r"[\x80-\xff]".to_owned()),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => inner.clone().prop_map(|part| format!("(?:{part})?")),
            1 => inner.clone().prop_map(|part| format!("(?:{part})+")),
            1 => (inner.clone(), 0..3u8, 0..4u8).prop_map(|(part, least, more)| format!("(?:{part}){{{least},{}}}", least + more)),
            1 => (inner.clone(), 0..12u8, 9..12u8).prop_map(|(part, least, more)| format!("(?:{part}){{{least},{}}}", least + more)),
            1 => (inner.clone(), 1..6u8).prop_map(|(part, least)| format!("(?:{part}){{{least},}}")),
            1 => inner.prop_map(|part| format!("({part})")),
        ]
    });
    (any::<bool>(), tree).prop_map(|(fold, tree)| if fold { format!("(?i){tree}") } else { tree })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(&b"abkcABKQq.[]'\"\\( \t\n\x00\x80\xff"[..]);
    prop::collection::vec(byte, 0..16)
}

/// Whether a text has what a gate asks for.
fn accepts(gate: &Gate, text: &[u8]) -> bool {
    let bytes = ByteSet::from_bytes(text);
    let lower = text.to_ascii_lowercase();
    let occurs = |needle: &Vec<u8>| memchr::memmem::find(&lower, needle).is_some();
    text.len() >= gate.len_min
        && gate.bytes.iter().all(|set| set.intersects(&bytes))
        && gate
            .clauses
            .iter()
            .all(|clause| clause.texts.iter().any(occurs) || clause.bytes.intersects(&bytes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gates_let_through_what_matches(pcre in expression(), texts in prop::collection::vec(text(), 24)) {
        let hir = parse(&pcre).expect("the grammar makes expressions");
        let regex = Expression::new(pcre.as_str().into(), &hir).expect("it is small");
        let (mut cache, whole) = (expression::Cache::default(), build(&hir).expect("it is small"));
        let need = Need::Pattern(Box::new(hir.clone()));
        let (sketches, chosen) = pattern::sketches(&hir, &ALPHABETS);
        for (tier, alphabet) in ALPHABETS.iter().enumerate() {
            let gate = need.gate(alphabet);
            let plain = gate::restricted(&hir, alphabet).map(|hir| build(&hir).expect("it is small"));
            for text in texts.iter().filter(|text| ByteSet::from_bytes(text).is_subset_of(alphabet)) {
                let matches = regex.is_match(&mut cache, text);
                let found = whole.find(text.as_slice()).map(|found| (found.start(), found.end()));
                prop_assert_eq!(regex.find(&mut cache, text, 0), found, "{}", pcre);
                prop_assert_eq!(matches, found.is_some(), "{}", pcre);
                let passes = gate.as_ref().is_some_and(|gate| accepts(gate, text));
                prop_assert!(passes || !matches, "{pcre} {:?} {gate:?}", text.escape_ascii().to_string());
                let of_plain = plain.as_ref().is_some_and(|plain| plain.is_match(text.as_slice()));
                prop_assert_eq!(of_plain, matches, "{}", pcre);
                let sketch = chosen[tier].map(|at| &sketches[at]);
                let may_match = sketch.is_none_or(|sketch| sketch.may_match(&mut sketch.cache(), text));
                prop_assert!(may_match || !matches, "{}", pcre);
            }
        }
    }
}
