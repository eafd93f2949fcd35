//! Attacks are found under encodings that servers take off, as they are found without.

use std::fmt::Write as _;

use crate::{
    engine::{Profile, Transaction},
    native::{
        self, Expectation,
        case::{Case, Part},
        tests::cases,
    },
};
use std::sync::Arc;

/// An encoding of a value, before the query's own.
struct Encoding {
    name: &'static str,
    apply: fn(&str) -> String,
}

const ENCODINGS: &[Encoding] = &[
    Encoding {
        name: "percent, twice",
        apply: |text| escaped(text, |out, byte| write!(out, "%{byte:02x}")),
    },
    Encoding {
        name: "percent, three times",
        apply: |text| escaped(text, |out, byte| write!(out, "%25{byte:02X}")),
    },
    Encoding { name: "%u", apply: |text| escaped(text, |out, byte| write!(out, "%u00{byte:02x}")) },
    Encoding {
        name: "overlong UTF-8",
        apply: |text| {
            escaped(text, |out, byte| {
                write!(out, "%{:02x}%{:02x}", 0xc0 | byte >> 6, 0x80 | byte & 0x3f)
            })
        },
    },
    Encoding {
        name: "HTML, decimal",
        apply: |text| escaped(text, |out, byte| write!(out, "&#{byte};")),
    },
    Encoding {
        name: "HTML, hexadecimal",
        apply: |text| escaped(text, |out, byte| write!(out, "&#x{byte:x};")),
    },
    Encoding {
        name: "JSON or JavaScript",
        apply: |text| escaped(text, |out, byte| write!(out, "\\u00{byte:02x}")),
    },
    Encoding { name: "changing case", apply: changing_case },
];

/// Encodes every ASCII byte that is neither a letter nor a digit.
fn escaped(text: &str, write: fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match u8::try_from(char) {
            Ok(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() => {
                write(&mut out, byte).expect("a String takes all that is written");
            }
            _ => out.push(char),
        }
    }
    out
}

fn changing_case(text: &str) -> String {
    let change = |(index, char): (usize, char)| match index % 2 {
        0 => char.to_ascii_uppercase(),
        _ => char.to_ascii_lowercase(),
    };
    text.chars().enumerate().map(change).collect()
}

/// How many of the cases are refused at the default level.
fn refused<'c>(profile: &Arc<Profile>, cases: impl Iterator<Item = &'c Case>) -> usize {
    let mut transaction = Transaction::new();
    let is_refused = |case: &&Case| {
        let found = cases::matches(&mut transaction, profile, &case.exchange());
        found.iter().map(|one| one.points).sum::<u32>() >= 25
    };
    cases.filter(is_refused).count()
}

#[test]
fn encodings_hide_less_than_a_tenth() {
    let profile = cases::profile(1);
    let is_plain = |case: &Case| {
        let is_argument = case.expectation == Expectation::Match && case.part == Part::Argument;
        // What is encoded already would be changed in its meaning.
        is_argument && !case.text.contains(['%', '\\']) && !case.text.contains("&#")
    };
    let attacks: Vec<Case> = native::cases().into_iter().filter(is_plain).collect();
    let base = refused(&profile, attacks.iter());
    assert!(base > 300, "{base} of {} attacks are refused", attacks.len());
    for Encoding { name, apply } in ENCODINGS {
        let encoded: Vec<Case> = attacks
            .iter()
            .map(|case| Case { text: apply(&case.text).into(), ..case.clone() })
            .collect();
        let kept = refused(&profile, encoded.iter());
        assert!(kept * 10 >= base * 9, "{name}: {kept} of {base} are refused");
    }
}
