use proptest::prelude::*;

use super::*;

fn read(input: &str) -> (GraphQl, Vec<Found>) {
    run(input.as_bytes(), &Limits::default(), graphql)
}

#[track_caller]
fn check(input: &str, expected: &str) -> GraphQl {
    let (outcome, found) = read(input);
    assert_eq!(outcome.problem, None, "{input}");
    assert_eq!(show(&found), expected, "{input}");
    outcome
}

#[track_caller]
fn check_wrong(input: &str, offset: usize, message: &str, expected: &str) {
    let (outcome, found) = read(input);
    let problem = outcome.problem.map(|problem| (problem.offset, problem.message));
    assert_eq!(problem, Some((offset, message)), "{input}");
    assert_eq!(show(&found), expected, "{input}");
}

#[test]
fn values_stand_under_the_names_of_their_arguments() {
    let cases = [
        ("{ user(id: \"x\") { name } }", "id=x"),
        (
            "{ a(b: 1, c: -2.5e+3, d: true, e: RED, f: null) }",
            "b=1 | c=-2.5e+3 | d=true | e=RED | f=null",
        ),
        ("{ a(b: [\"x\", \"y\"]) }", "b=x | b=y"),
        ("{ a(b: {c: \"x\", d: {e: \"y\"}}) }", "c=x | e=y"),
        ("{ a(b: $c) }", "b=$c"),
        ("query Q($a: Int = 1, $b: [String!]! = [\"x\"]) { c(d: $a) }", "a=1 | b=x | d=$a"),
        ("{ a @include(if: $b) { c } }", "if=$b"),
        ("mutation { a(b: \"\\\" \\u0041 \\n\") }", "b=\" A \\n"),
        ("{ a(b: \"\"\"x \"y\" \\\"\"\" z\"\"\") }", "b=x \"y\" \"\"\" z"),
        ("{ a(b: \"\"\"\"\"\", c: \"\") }", "b= | c="),
        ("{ a(b # c: \"no\"\n : \"x\") }", "b=x"),
        ("\u{FEFF}{ a }", ""),
        ("\"a description\" { a }", "=a description"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn a_document_says_what_it_asks_for() {
    let outcome = check(
        "query A { x: user { y: name ...F ... on T { z } ... @skip(if: true) { w } } me }
         mutation B @live { c }
         fragment F on User { f g { h } }",
        "if=true",
    );
    let expected = GraphQl {
        problem: None,
        depth: 3,
        aliases: 2,
        root_fields: 3,
        directives: 2,
        operations: 2,
        fragments: 1,
        introspection: false,
    };
    assert_eq!(outcome, expected);
    assert!(check("{ __schema { types { name } } }", "").introspection);
    assert!(check("{ s: __type(name: \"x\") { name } }", "name=x").introspection);
    assert!(!check("{ __typename }", "").introspection);
    assert_eq!(check("query query { a }", "").operations, 1);
}

#[test]
fn what_is_wrong_is_passed_over() {
    let cases = [
        ("{ a(b: \"x) }", 7, "a string is not closed", "b=x) }"),
        ("{ a(b: \"x\ny\") }", 7, "a string is not closed", "b=x | b=y | b=) }"),
        ("{ a(b: \"\"\"x", 7, "a string is not closed", "b=x"),
        ("{ a(b: \"\\x41\") }", 8, "an escape is none of GraphQL's", r"b=\\x41"),
        ("{ a(b: 'x') }", 7, "no token begins like this", "b=x"),
        ("{ a .. b }", 4, "no token begins like this", ""),
        ("{ a(b: 1}", 8, "a bracket closes another than is open", "b=1"),
        ("}", 0, "a bracket closes another than is open", ""),
        ("{ a", 3, "a bracket is not closed", ""),
    ];
    for (input, offset, message, expected) in cases {
        check_wrong(input, offset, message, expected);
    }
}

#[test]
fn nesting_is_bounded() {
    for open in ["{a", "(a:[", "{a(b:{c:"] {
        let problem = read(&open.repeat(10_000)).0.problem.unwrap();
        assert_eq!(problem.kind, Fault::TooDeep, "{open}");
    }
}

#[test]
fn a_long_name_before_many_values_multiplies_nothing() {
    let text = format!("{{ a({}: [{}]) }}", "n".repeat(500_000), "1 ".repeat(1_000));
    let (outcome, found) = read(&text);
    assert_eq!(outcome.problem.map(|problem| problem.kind), Some(Fault::TooLong));
    assert_eq!(found.len(), 2);
}

const PIECES: &[&str] = &[
    "{", "}", "(", ")", "[", "]", "a", ":", "\"", "\"\"\"", "\\", "$", "@", "...", "on", "#", "\n",
    " ", "query", "fragment", "1", "-", "é", "=", "!",
];

proptest! {
    #[test]
    fn any_text_is_taken(text in made_of(PIECES)) {
        if let Some(problem) = read(&text).0.problem {
            prop_assert!(problem.offset <= text.len());
        }
    }
}
