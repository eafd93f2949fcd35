use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(input: &str, separator: u8, expected: &str) -> UrlEncoded {
    let (outcome, found) = run(input.as_bytes(), &Limits::default(), |input, intake| {
        urlencoded(input, separator, intake)
    });
    assert_eq!(show(&found), expected, "{input}");
    outcome
}

#[test]
fn pairs_as_libmodsecurity_reads_them() {
    let cases = [
        ("", ""),
        ("a=1", "a=1"),
        ("a=1&b=2", "a=1 | b=2"),
        ("a=1&a=2", "a=1 | a=2"),
        ("a", "a="),
        ("a=", "a="),
        ("=1", "=1"),
        ("=", "="),
        ("a=1&", "a=1"),
        ("&a=1", "= | a=1"),
        ("a=1&&b=2", "a=1 | = | b=2"),
        ("&", "="),
        ("a=b=c", "a=b=c"),
        ("a==", "a=="),
        ("a;b=1;c", "a;b=1;c"),
        ("?a=1", "?a=1"),
        ("a[]=1&a[k]=2", "a[]=1 | a[k]=2"),
    ];
    for (input, expected) in cases {
        assert!(!check(input, b'&', expected).invalid_escapes);
    }
}

#[test]
fn names_and_values_are_decoded_once() {
    let cases = [
        ("a+b=c+d", "a b=c d"),
        ("%61=%62", "a=b"),
        ("a=%2B%2b", "a=++"),
        ("a=%2525", "a=%25"),
        ("a=1%262", "a=1&2"),
        ("a%3D=1", "a==1"),
        ("a=%00x", r"a=\x00x"),
        ("a=%C3%A9", r"a=\xc3\xa9"),
        ("a=%C0%AE", r"a=\xc0\xae"),
        ("a=x%20%27OR+1", r"a=x \'OR 1"),
    ];
    for (input, expected) in cases {
        assert!(!check(input, b'&', expected).invalid_escapes, "{input}");
    }
}

#[test]
fn an_escape_that_is_none_stays_and_is_told() {
    let cases = [
        ("a=%", "a=%"),
        ("a=%4", "a=%4"),
        ("a=%zz", "a=%zz"),
        ("a=%%41", "a=%A"),
        ("a=%4%31", "a=%41"),
        ("a=%u0041", "a=%u0041"),
        ("%=1", "%=1"),
        ("a=100%+off", "a=100% off"),
    ];
    for (input, expected) in cases {
        assert!(check(input, b'&', expected).invalid_escapes, "{input}");
    }
}

#[test]
fn the_separator_is_a_setting() {
    check("a=1;b=2&c", b';', "a=1 | b=2&c");
}

#[test]
fn there_are_so_many_fields_at_most() {
    let limits = Limits { fields_max: 2, ..Limits::default() };
    let (outcome, found) =
        run(b"a&b&c&d", &limits, |input, intake| urlencoded(input, b'&', intake));
    let problem = outcome.problem.unwrap();
    assert_eq!((problem.kind, problem.offset), (Fault::TooMany, 4));
    assert_eq!(show(&found), "a= | b=");
}

#[track_caller]
fn check_cookies(input: &str, expected: &str) {
    let (outcome, found) = run(input.as_bytes(), &Limits::default(), cookies);
    assert_eq!(outcome, Ok(()));
    assert!(found.iter().all(|field| field.kind == Kind::Cookie));
    assert_eq!(show(&found), expected, "{input}");
}

#[test]
fn cookies_as_libmodsecurity_reads_them() {
    let cases = [
        ("", ""),
        ("a=1", "a=1"),
        ("a=1; b=2", "a=1 | b=2"),
        ("a=1;b=2", "a=1 | b=2"),
        ("a", "a="),
        ("a=b=c", "a=b=c"),
        (";;a=1", "a=1"),
        ("   =1; a=2", "a=2"),
        ("a =1", "a =1"),
        ("a= 1 ; b=2 \t", "a= 1  | b=2"),
        ("a=1 ;", "a=1"),
        ("a=1 ;;", "a=1 "),
        ("a=1 ; ", "a=1 "),
        ("a=%27+x", "a=%27+x"),
        (r#"a="x; y"; b=1"#, r#"a="x | y"= | b=1"#),
        (r#"$Version=1; a=1; $Path="/""#, r#"$Version=1 | a=1 | $Path="/""#),
        ("a=1, b=2", "a=1, b=2"),
    ];
    for (input, expected) in cases {
        check_cookies(input, expected);
    }
}

proptest! {
    #[test]
    fn forms_are_read_as_browsers_write_them(pairs in prop::collection::vec((".{1,8}", ".{0,12}"), 0..8)) {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let text = text.extend_pairs(&pairs).finish();
        let (_, found) = run(text.as_bytes(), &Limits::default(), |input, intake| {
            urlencoded(input, b'&', intake)
        });
        let found: Vec<_> = found.into_iter().map(|field| (field.name, field.value)).collect();
        let pairs: Vec<_> =
            pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
        prop_assert_eq!(found, pairs);
    }

    #[test]
    fn any_form_is_read_as_the_url_standard_reads_it(text in "[ab=&%+04fé]{0,24}") {
        let (_, found) = run(text.as_bytes(), &Limits::default(), |input, intake| {
            urlencoded(input, b'&', intake)
        });
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found: Vec<_> = found
            .iter()
            .map(|field| (lossy(&field.name), lossy(&field.value)))
            .filter(|(name, value)| !name.is_empty() || !value.is_empty())
            .collect();
        let standard: Vec<_> = form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .filter(|(name, value)| !name.is_empty() || !value.is_empty())
            .collect();
        prop_assert_eq!(found, standard);
    }

    #[test]
    fn what_needs_no_decoding_is_not_copied(text in "[a-z=&]{0,40}") {
        let mut keep = Keep::new(text.as_bytes());
        let (limits, mut scratch) = (Limits::default(), Scratch::default());
        let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut keep };
        prop_assert_eq!(urlencoded(text.as_bytes(), b'&', intake), UrlEncoded::default());
        prop_assert_eq!(keep.decoded, 0);
    }

    #[test]
    fn cookies_take_anything(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let (outcome, _) = run(&bytes, &Limits::default(), cookies);
        prop_assert_eq!(outcome, Ok(()));
    }
}
