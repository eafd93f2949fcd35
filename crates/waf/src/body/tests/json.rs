use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn read(input: &[u8], limits: &Limits) -> (Result<(), Problem>, Vec<Found>) {
    run(input, limits, json)
}

#[track_caller]
fn check(input: &str, expected: &str) {
    let (outcome, found) = read(input.as_bytes(), &Limits::default());
    assert_eq!(outcome, Ok(()), "{input}");
    assert_eq!(show(&found), expected, "{input}");
}

#[track_caller]
fn check_wrong(input: &[u8], offset: usize, message: &str, expected: &str) {
    let (outcome, found) = read(input, &Limits::default());
    let problem = outcome.expect_err("the text is wrong");
    assert_eq!((problem.offset, problem.message), (offset, message), "{}", input.escape_ascii());
    assert_eq!(show(&found), expected, "{}", input.escape_ascii());
}

#[test]
fn leaves_have_the_names_that_rules_expect() {
    let cases = [
        (r#"{"a":1,"b":"x"}"#, "json.a=1 | json.b=x"),
        (r#"{"a":{"b":{"c":"x"}}}"#, "json.a.b.c=x"),
        (r#"{"a":["x","y"]}"#, "json.a.array_0=x | json.a.array_1=y"),
        (r#"["x",["y"],{"a":"z"}]"#, "json.array_0=x | json.array_1.array_0=y | json.array_2.a=z"),
        (r#"[[1],[2]]"#, "json.array_0.array_0=1 | json.array_1.array_0=2"),
        (r#"{"a":[{"b":1},{"b":2}],"c":3}"#, "json.a.array_0.b=1 | json.a.array_1.b=2 | json.c=3"),
        (r#"{"a":true,"b":false,"c":null}"#, "json.a=true | json.b=false | json.c="),
        (r#"{"a":1,"a":2}"#, "json.a=1 | json.a=2"),
        (r#"{"":1,"a":{"":2}}"#, "json.empty-key=1 | json.a.empty-key=2"),
        (r#"{"a.b":1}"#, "json.a.b=1"),
        (r#"{"a":{},"b":[]}"#, "json.a= | json.b="),
        ("{}", ""),
        (" [ ] ", ""),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn a_value_that_is_no_container_is_named_json() {
    let cases = [
        (r#""x""#, "json=x"),
        ("1", "json=1"),
        ("true", "json=true"),
        ("null", "json="),
        ("\u{FEFF}\r\n\t \"x\" ", "json=x"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn numbers_stay_as_written() {
    for number in ["0", "-0", "1.50", "1e5", "-1.5E+10", "1e-7", "123456789012345678901234567890"] {
        check(&format!("[{number}]"), &format!("json.array_0={number}"));
    }
}

#[test]
fn strings_lose_their_escapes() {
    let cases = [
        (r#"["\"\\\/"]"#, r#"json.array_0="\\/"#),
        (r#"["\b\f\n\r\t"]"#, r"json.array_0=\x08\x0c\n\r\t"),
        (r#"["\u0041\u00e9"]"#, r"json.array_0=A\xc3\xa9"),
        (r#"["\ud83d\ude00"]"#, r"json.array_0=\xf0\x9f\x98\x80"),
        (r#"["\ud83d","\ude00"]"#, r"json.array_0=\xef\xbf\xbd | json.array_1=\xef\xbf\xbd"),
        (r#"["\ud83dx\u0041"]"#, r"json.array_0=\xef\xbf\xbdxA"),
        (r#"["\ud83d\ud83d\ude00"]"#, r"json.array_0=\xef\xbf\xbd\xf0\x9f\x98\x80"),
        (r#"["\u0000"]"#, r"json.array_0=\x00"),
        (r#"{"\u0061\"":1}"#, r#"json.a"=1"#),
        (r#"{"sel\u0065ct":"\u003cscript\u003e"}"#, "json.select=<script>"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn what_does_not_end_the_reading() {
    let cases: [(&[u8], usize, &str, &str); 5] = [
        (b"[\"\xFFx\",1]", 2, "a string is not UTF-8", r"json.array_0=\xffx | json.array_1=1"),
        (
            b"[\"a\tb\",1]",
            3,
            "a control character is in a string",
            r"json.array_0=a\tb | json.array_1=1",
        ),
        (
            br#"["\x41",1]"#,
            2,
            "an escape is none of JSON's",
            r"json.array_0=\\x41 | json.array_1=1",
        ),
        (br#"["\u12g4"]"#, 2, "an escape is none of JSON's", r"json.array_0=\\u12g4"),
        (br#"{"\'":1}"#, 2, "an escape is none of JSON's", r"json.\\\'=1"),
    ];
    for (input, offset, message, expected) in cases {
        check_wrong(input, offset, message, expected);
    }
}

#[test]
fn what_ends_it_and_what_was_seen_before() {
    let cases: [(&str, usize, &str, &str); 24] = [
        ("", 0, "a value is missing", ""),
        ("   ", 3, "a value is missing", ""),
        ("[", 1, "a container is not closed", ""),
        (r#"{"a":1"#, 6, "a container is not closed", "json.a=1"),
        (r#"{"a":"x"#, 7, "a string is not closed", "json.a=x"),
        (r#"{"a":"x\"#, 7, "an escape is none of JSON's", r"json.a=x\\"),
        (r#"{"a"#, 3, "a colon is missing", "json.a="),
        (r#"{"a" 1}"#, 5, "a colon is missing", "json.a="),
        ("{a:1}", 1, "a name in quotes is missing", ""),
        ("{'a':1}", 1, "a name in quotes is missing", ""),
        (r#"{"a":1,}"#, 7, "a name in quotes is missing", "json.a=1"),
        ("[1,]", 3, "no value begins like this", "json.array_0=1"),
        ("[,1]", 1, "no value begins like this", ""),
        ("[1 2]", 3, "a comma or the end of the container is missing", "json.array_0=1"),
        ("[1}", 2, "a comma or the end of the container is missing", "json.array_0=1"),
        ("[01]", 2, "a comma or the end of the container is missing", "json.array_0=0"),
        ("[1.]", 3, "a number lacks a digit", ""),
        ("[-]", 2, "a number lacks a digit", ""),
        ("[1e]", 3, "a number lacks a digit", ""),
        ("[tru]", 1, "no value begins like this", ""),
        ("[NaN]", 1, "no value begins like this", ""),
        ("[/* */1]", 1, "no value begins like this", ""),
        ("{} {}", 3, "something follows the value", ""),
        ("1\n2", 2, "something follows the value", "json=1"),
    ];
    for (input, offset, message, expected) in cases {
        check_wrong(input.as_bytes(), offset, message, expected);
    }
}

#[test]
fn nesting_is_bounded() {
    let limits = Limits { depth_max: 3, ..Limits::default() };
    assert_eq!(read(b"[[[1]]]", &limits).0, Ok(()));
    let problem = read(b"[[[[1]]]]", &limits).0.unwrap_err();
    assert_eq!((problem.kind, problem.offset), (Fault::TooDeep, 3));
    let deep = "[".repeat(1 << 20);
    assert_eq!(read(deep.as_bytes(), &Limits::default()).0.unwrap_err().kind, Fault::TooDeep);
}

#[test]
fn names_are_bounded() {
    let limits = Limits { name_bytes_max: 9, ..Limits::default() };
    let (outcome, found) = read(br#"{"abcdefgh":{"i":[1]},"j":2}"#, &limits);
    assert_eq!(outcome.unwrap_err().kind, Fault::TooLong);
    assert_eq!(show(&found), "json.abcd=1 | json.j=2");

    let limits = Limits { names_bytes_max: 30, ..Limits::default() };
    let (outcome, found) = read(br#"[1,2,3]"#, &limits);
    assert_eq!(outcome.unwrap_err().kind, Fault::TooLong);
    assert_eq!(found.len(), 2);
}

#[test]
fn a_long_name_before_many_values_multiplies_nothing() {
    let body = format!(r#"{{"{}":[{}0]}}"#, "n".repeat(500_000), "0,".repeat(250_000));
    let limits = Limits { fields_max: usize::MAX, ..Limits::default() };
    let (outcome, found) = read(body.as_bytes(), &limits);
    assert!(outcome.is_err());
    let bytes: usize = found.iter().map(|field| field.name.len()).sum();
    assert!(bytes <= limits.names_bytes_max, "{bytes}");
}

/// What serde_json's tree says the leaves are.
fn flatten(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let is_empty = |length: usize| length == 0 && name != "json";
    let leaf = match value {
        Value::Object(members) => {
            for (key, value) in members {
                let key = if key.is_empty() { "empty-key" } else { key };
                flatten(&format!("{name}.{key}"), value, out);
            }
            if !is_empty(members.len()) {
                return;
            }
            String::new()
        }
        Value::Array(members) => {
            for (index, value) in members.iter().enumerate() {
                flatten(&format!("{name}.array_{index}"), value, out);
            }
            if !is_empty(members.len()) {
                return;
            }
            String::new()
        }
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    out.push((name.to_owned(), leaf));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"\\\\é.]{0,3}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn leaves_are_those_of_another_reader(value in any_json(), pretty: bool) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let (outcome, found) = read(text.as_bytes(), &Limits::default());
        prop_assert_eq!(outcome, Ok(()));
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found: Vec<_> =
            found.iter().map(|field| (lossy(&field.name), lossy(&field.value))).collect();
        let mut expected = Vec::new();
        flatten("json", &value, &mut expected);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_json_is_agreed_on(text in r#"[\[\]{}",:01.eE+\-\\u d8cntrufalse\t]{0,24}"#) {
        let ours = read(text.as_bytes(), &Limits::default()).0;
        let theirs = serde_json::from_str::<Value>(&text);
        if let Err(error) = &theirs {
            let text = error.to_string();
            let of_taste = ["surrogate", "out of range", "end of hex escape"];
            prop_assume!(!of_taste.iter().any(|reason| text.contains(reason)));
        }
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", text, ours, theirs);
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        if let Err(problem) = read(&bytes, &Limits::default()).0 {
            prop_assert!(problem.offset <= bytes.len());
        }
    }

    #[test]
    fn a_text_that_breaks_off_shows_what_came(value in any_json(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let whole = read(text.as_bytes(), &Limits::default()).1;
        let cut = &text.as_bytes()[..cut.index(text.len())];
        let seen = read(cut, &Limits::default()).1;
        let complete = seen.len().saturating_sub(1);
        prop_assert!(seen.len() <= whole.len() + 1);
        prop_assert_eq!(&seen[..complete], &whole[..complete]);
    }
}
