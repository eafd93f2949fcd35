//! The reader against the `kdl` crate, and on texts that are no KDL.

use expect_test::{Expect, expect};
use kdl::{KdlDocument, KdlNode, KdlValue};
use proptest::prelude::*;

use crate::native::{
    bundled::FILES,
    syntax::{Node, Value, read},
};

/// A node as the `kdl` crate sees it.
fn theirs(node: &KdlNode) -> String {
    let value = |value: &KdlValue| match value {
        KdlValue::String(text) => format!("{text:?}"),
        KdlValue::Integer(number) => number.to_string(),
        KdlValue::Bool(flag) => flag.to_string(),
        KdlValue::Null => "null".to_owned(),
        KdlValue::Float(_) => "float".to_owned(),
    };
    let arguments = node.entries().iter().filter(|entry| entry.name().is_none());
    let properties = node.entries().iter().filter_map(|entry| Some((entry.name()?, entry.value())));
    written(
        node.name().value(),
        arguments.map(|entry| value(entry.value())).collect(),
        properties.map(|(name, it)| format!("{:?}={}", name.value(), value(it))).collect(),
        node.children().map(|block| block.nodes().iter().map(theirs).collect()),
    )
}

/// The same as we see it.
fn ours(node: &Node) -> String {
    let value = |value: &Value| match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Null => "null".to_owned(),
    };
    let property = |name: &str, it: &Value| format!("{name:?}={}", value(it));
    written(
        &node.name.value,
        node.arguments.iter().map(|it| value(&it.value)).collect(),
        node.properties.iter().map(|(name, it)| property(&name.value, &it.value)).collect(),
        node.block.as_ref().map(|block| block.iter().map(ours).collect()),
    )
}

fn written(
    name: &str,
    arguments: Vec<String>,
    properties: Vec<String>,
    block: Option<Vec<String>>,
) -> String {
    format!("{name:?} {arguments:?} {properties:?} {block:?}")
}

#[track_caller]
fn check_same(text: &str) {
    let (nodes, faults) = read(text);
    assert_eq!(faults, [], "{text}");
    let document = KdlDocument::parse_v2(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let theirs: Vec<String> = document.nodes().iter().map(theirs).collect();
    assert_eq!(nodes.iter().map(ours).collect::<Vec<_>>(), theirs, "{text}");
}

#[test]
fn bundled_files_are_read_as_the_kdl_crate_reads_them() {
    for (_, text) in FILES {
        check_same(text);
    }
}

#[test]
fn syntax_is_read_as_the_kdl_crate_reads_it() {
    check_same("a 1 -2 +3 1_000 b=\"c\" #true #false #null { d; e { } }; f");
    check_same("a \"\\\"\\\\\\n\\t\\s\\u{e9} \\\n   b\" #\"\\n\"# ##\"\"#\"## \"é\"");
    check_same("a \"\"\"\n    x\n      y \"q\"\n\n    z\n    \"\"\" #\"\"\"\n  \\n\n  \"\"\"#");
    check_same("// c\na /* b /* c */ { */ 1 // d\n/- b { c }\nd /- 1 2 /- e=3 /- { f }\n");
    check_same("a 1 \\\n  2 \\ // c\n  3\n\u{feff}".trim_end_matches('\u{feff}'));
    check_same("\u{feff}a\r\nb c=1 d=-x\r\n  e -f");
    check_same("\"a b\" \"c d\"=1 e-f_g.h");
}

#[track_caller]
fn check_faults(text: &str, expected: Expect) {
    let (nodes, faults) = read(text);
    let names: Vec<&str> = nodes.iter().map(|node| node.name.value.as_str()).collect();
    let faults: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {}; {}", fault.at, fault.message, fault.help))
        .collect();
    expected.assert_eq(&format!("{names:?}\n{}\n", faults.join("\n")));
}

#[test]
fn mistakes_are_named_and_the_next_rule_is_read() {
    check_faults(
        "a {\nb 1.5\n}\nc 1",
        expect![[r#"
        ["c"]
        6: `1.5` is not a whole number; write decimal digits, or put text in quotes
    "#]],
    );
    check_faults(
        "a \"x\nb 1",
        expect![[r#"
        ["b"]
        2: this text has no end on its line; add the closing quote; text of several lines stands between `"""`
    "#]],
    );
    check_faults(
        "a #\"x\nb 1",
        expect![[r#"
        ["b"]
        3: this text has no end on its line; add the closing quote; text of several lines stands between `"""`
    "#]],
    );
    check_faults(
        "a { b {\nc",
        expect![[r#"
        []
        6: this block has no end; add the `}` that closes it
    "#]],
    );
    check_faults(
        "}\na (t)1\nb true\nc #yes\nd \"\\q\"\ne \"a\"\"b\"\nf {}1\ng {} {}\nh",
        expect![[r##"
            ["h"]
            0: this `}` closes nothing; remove it
            4: rules know no types; remove the `(…)`
            11: `true` is no value; write `#true`
            18: `#` begins nothing known; known are `#true`, `#false`, `#null` and raw text as in #"…"#
            26: an unknown escape; known are \" \\ \n \r \t \b \f \s and \u{…}; raw text as in #"…"# knows none
            35: two values touch; put a space between them
            43: something stands behind a block; begin a new line, or put a `;` between
            52: a second block of one node; put all into one
        "##]],
    );
    check_faults(
        "a \"\"\"x\"\"\"\nb /* c",
        expect![[r#"
        []
        2: this text of several lines is not well-formed; both `"""` stand alone on their lines, and no line begins further left than the last
        12: this comment has no end; add `*/`
    "#]],
    );
    check_faults(
        "a{b{c{d{e{}}}}}\nf 99999999999999999999999999999999999999999",
        expect![[r#"
        []
        9: blocks nest deeper than 4; no rule nests that deep; look for a `}` that is missing above
        18: `99999999999999999999999999999999999999999` is not a whole number; write decimal digits, or put text in quotes
    "#]],
    );
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in r##"(?:[ab"'#{}/\\*=;\-(1 \n\u{e9}]|""")*"##) {
        let (_, faults) = read(&text);
        prop_assert!(faults.iter().all(|fault| fault.at <= text.len()));
        let _ = crate::native::parse("x.kdl", &text);
    }

    #[test]
    fn what_both_read_is_the_same(text in r##"(?:[ab]|[ab] |"c\\n?d" |#"e"# |/-|/\*x\*/|[1-9]|=|\{|\}|;|\n| |\\\n)*"##) {
        let (nodes, faults) = read(&text);
        if faults.is_empty() && !text.contains("/-") {
            let document = KdlDocument::parse_v2(&text);
            let theirs = document.map(|document| document.nodes().iter().map(theirs).collect::<Vec<_>>());
            prop_assert_eq!(Ok(nodes.iter().map(ours).collect::<Vec<_>>()), theirs);
        }
    }
}
