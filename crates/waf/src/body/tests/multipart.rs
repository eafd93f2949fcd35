use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=B";

fn read(content_type: &str, body: &[u8]) -> (Multipart, Vec<Found>) {
    run(body, &Limits::default(), |input, intake| multipart(input, content_type.as_bytes(), intake))
}

/// Shows all that was found but header lines.
fn contents(found: &[Found]) -> String {
    let found = found.iter().filter(|field| field.kind != Kind::PartHeader);
    show(&found.cloned().collect::<Vec<_>>())
}

fn part(head: &str, content: &str) -> String {
    format!("--B\r\n{head}\r\n\r\n{content}\r\n--B--\r\n")
}

/// Checks a body that nobody disagrees about.
#[track_caller]
fn check(head: &str, content: &str, expected: &str) {
    let (outcome, found) = read(TYPE, part(head, content).as_bytes());
    assert_eq!(outcome.problem, None, "{head}");
    assert!(!outcome.is_strict_error(), "{head} {outcome:?}");
    assert_eq!(contents(&found), expected, "{head}");
}

/// Checks a part that has a problem, and what is seen of it all the same.
#[track_caller]
fn check_wrong(head: &str, message: &str, expected: &str) {
    let (outcome, found) = read(TYPE, part(head, "x").as_bytes());
    assert_eq!(outcome.problem.map(|problem| problem.message), Some(message), "{head}");
    assert!(outcome.is_strict_error());
    assert_eq!(contents(&found), expected, "{head}");
}

#[test]
fn parts_are_arguments_or_files() {
    let cases = [
        (r#"Content-Disposition: form-data; name="a\"\x""#, "x", r#"a"\\x=x"#),
        (r#"Content-Disposition: form-data; name="a""#, "x", "a=x"),
        (r#"content-disposition: Form-Data; NAME="a""#, "x", "a=x"),
        (r#"Content-Disposition:form-data;name=a"#, "x", "a=x"),
        (r#"Content-Disposition: form-data; name="a";"#, "", "a="),
        (r#"Content-Disposition: form-data; name = "a" ; x=y"#, "1\r\n2", r"a=1\r\n2"),
        (
            r#"Content-Disposition: form-data; name="a"; filename="f.php""#,
            "<?php",
            "a=f.php | a=<?php",
        ),
        (r#"Content-Disposition: form-data; name="a"; filename="""#, "", "a="),
        (r#"Content-Disposition: form-data; name="a"; filename=f.txt"#, "x", "a=f.txt | a=x"),
        (
            r#"Content-Disposition: form-data; name="a;b"; filename="c;d=e""#,
            "x",
            "a;b=c;d=e | a;b=x",
        ),
        (r#"Content-Disposition: form-data; name="a\"b\\c""#, "x", r#"a"b\\c=x"#),
        (
            r#"Content-Disposition: form-data; name="a"; filename="C:\dir\f.txt""#,
            "x",
            r"a=C:\\dir\\f.txt | a=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; filename*=UTF-8''%e2%82%ac.php"#,
            "x",
            r"a=\xe2\x82\xac.php | a=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; filename="b"; filename*=UTF-8'en'c%zz"#,
            "x",
            "a=b | a=c%zz | a=x",
        ),
        ("Content-Disposition: form-data; name=\"é\"", "ü", r"\xc3\xa9=\xc3\xbc"),
    ];
    for (head, content, expected) in cases {
        check(head, content, expected);
    }
}

#[test]
fn several_parts_follow_each_other() {
    let body = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n\
        Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain\r\n\r\n2\r\n--B--";
    let (outcome, found) = read(TYPE, body.as_bytes());
    assert!(!outcome.is_strict_error(), "{outcome:?}");
    assert_eq!(
        show(&found),
        "a=Content-Disposition: form-data; name=\"a\" | a=1 | \
         a=Content-Disposition: form-data; name=\"a\" | a=Content-Type: text/plain | a=2"
    );
    let kinds: Vec<_> = found.iter().map(|field| field.kind).collect();
    assert_eq!(kinds[..2], [Kind::PartHeader, Kind::Argument]);
}

#[test]
fn what_a_part_says_wrongly() {
    let cases = [
        ("Content-Type: text/plain", "a part does not say what it is", "=x"),
        ("Content-Disposition: form-data", "a part has no name", "=x"),
        (r#"Content-Disposition: form-data; name="""#, "a part has no name", "=x"),
        (
            r#"Content-Disposition: attachment; name="a""#,
            "a part is not said to be form data",
            "a=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; name="b""#,
            "a name is said twice",
            "a=x | b=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; name="b"; name="a"; name="c""#,
            "a name is said twice",
            "a=x | c=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; filename="f"; filename="g""#,
            "a name is said twice",
            "a=f | a=g | a=x",
        ),
        (r#"Content-Disposition: form-data; name="a"#, "a quote is not closed", "a=x"),
        (
            r#"Content-Disposition: form-data; name="a"b"#,
            "something follows a closing quote",
            "a=x",
        ),
        (r#"Content-Disposition: form-data; name=a b"#, "a value should be in quotes", "a b=x"),
        (r#"Content-Disposition: form-data; name"#, "a parameter has no value", "=x"),
        (r#"Content-Disposition: form-data; x; name="a""#, "a parameter has no value", "a=x"),
        (
            r#"Content-Disposition: form-data; name="a"; filename*0="f.p"; filename*1="hp""#,
            "a name is in pieces",
            "a=f.php | a=x",
        ),
        (
            r#"Content-Disposition: form-data; name="a"; filename*="f.php""#,
            "an extended name has no charset",
            "a=f.php | a=x",
        ),
        (
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
            "a header is said twice",
            "a=x | b=x",
        ),
        (
            "Content-Disposition : form-data; name=\"a\"",
            "a header's name has a character that no name has",
            "a=x",
        ),
        (
            "\u{E}Content-Disposition: form-data; name=\"a\"",
            "a header's name has a character that no name has",
            "=x",
        ),
        ("Content-Disposition: form-data; name=\"a\"\r\nnonsense", "a header has no colon", "a=x"),
        ("Content-Disposition: form-data; name=\"a\0b\"", "a header has a null byte", r"a\x00b=x"),
        (" Content-Disposition: form-data; name=\"a\"", "a header goes on that never began", "=x"),
    ];
    for (head, message, expected) in cases {
        check_wrong(head, message, expected);
    }
}

#[test]
fn no_file_name_hides() {
    const A: &str = r#"Content-Disposition: form-data; name="a"; "#;
    let cases = [
        (r#"filename*1="hp"; filename*0="f.p"; filename="g""#, "a name is in pieces", "g | f.php"),
        ("filename*0*=utf-8'en'f%2e; filename*1=php", "a name is in pieces", "f.php"),
        (
            "filename*0*=utf-7''f.+AHAA; filename*1*=aABw-",
            "a name is in pieces",
            "f.+AHAAaABw- | f.php",
        ),
        ("filename*x=f.php", "a name is in pieces", "f.php"),
        (
            "filename*=utf-16be''%00p%00h; filename*=a''g",
            "a name is said twice",
            r"\x00p\x00h | ph | g",
        ),
        (
            r#"filename="=?utf-8?B?Zi5waHA=?=""#,
            "a name is encoded as names in mail are",
            "=?utf-8?B?Zi5waHA=?= | f.php",
        ),
        (
            "filename=g\r\ncontent-disposition: form-data; filename=f.php",
            "a header is said twice",
            "g | f.php",
        ),
    ];
    for (parameters, message, names) in cases {
        let names: String = names.split(" | ").map(|name| format!("a={name} | ")).collect();
        check_wrong(&format!("{A}{parameters}"), message, &format!("{names}a=x"));
    }
    let many: String = (0..100).map(|number| format!("; filename=f{number}")).collect();
    let found = read(TYPE, part(&format!("{A}x=y{many}; filename=f.php"), "").as_bytes()).1;
    let files: Vec<_> = found.iter().filter(|field| field.kind == Kind::File).collect();
    assert_eq!((files.len(), &*files[0].value, &*files[15].value), (16, &b"f0"[..], &b"f.php"[..]));
}

#[test]
fn a_field_may_have_its_name_in_another_form() {
    check_wrong(
        "Content-Disposition: form-data; name*0=a; name*1=b",
        "a name is in pieces",
        "ab=x",
    );
    check("Content-Disposition: form-data; name=a; name*=utf-8''b", "x", "a=x | b=x");
}

/// Checks what a part is besides how it stands; `name=` and the escaped content are before that.
#[track_caller]
fn check_decoded(headers: &str, content: &[u8], expected: &str) {
    let head = format!("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n{headers}\r\n\r\n");
    let body = [head.as_bytes(), content, b"\r\n--B--\r\n"].concat();
    let (outcome, found) = read(TYPE, &body);
    assert_eq!(outcome.problem, None, "{headers}");
    let expected: String = expected
        .split(" | ")
        .filter(|text| !text.is_empty())
        .map(|text| format!(" | a={text}"))
        .collect();
    assert_eq!(contents(&found), format!("a={}{expected}", content.escape_ascii()), "{headers}");
}

#[test]
fn what_a_part_says_is_judged_decoded_too() {
    check_decoded("Content-Type: text/plain; charset=utf-16le", b"<\0b\0", "<b");
    check_decoded("Content-Type: text/plain; charset=\"UTF-7\"", b"+ADw-b", "<b");
    check_decoded("Content-Type: text/plain; charset=ibm037", b"\x4c\x82", "<b");
    check_decoded("Content-Type: text/plain; charset=utf-8", b"\xc3\xa9", "");
    check_decoded("X: y", b"\xff\xfe<\0b\0", "<b");
    check_decoded("Content-Transfer-Encoding: base64", b"PGI+", "<b>");
    check_decoded("Content-Transfer-Encoding: Quoted-Printable", b"=3Cb=\r\n>", "<b>");
    check_decoded("Content-Transfer-Encoding: binary", b"=3C", "");
    check_decoded(
        "Content-Type: text/plain; charset=utf-16be\r\nContent-Transfer-Encoding: base64",
        b"ADwAYg==",
        r"\x00<\x00b | <b",
    );
}

#[test]
fn what_cannot_be_decoded_is_a_problem() {
    let a = r#"Content-Disposition: form-data; name="a""#;
    let coding = "a part's content is not encoded as it says, or as nobody here can read";
    check_wrong(&format!("{a}\r\nContent-Transfer-Encoding: x-uuencode"), coding, "a=x");
    check_wrong(
        &format!("{a}\r\nContent-Type: text/plain; charset=klingon"),
        "a part is in a charset that nobody here knows",
        "a=x",
    );
    let body = part(&format!("{a}\r\nContent-Transfer-Encoding: base64"), "PGI+!");
    let (outcome, found) = read(TYPE, body.as_bytes());
    assert_eq!(outcome.problem.map(|problem| problem.message), Some(coding));
    assert_eq!(contents(&found), "a=PGI+! | a=<b>");
}

#[test]
fn a_charset_may_be_that_of_all_parts() {
    let typed = format!("{TYPE}; charset=utf-7");
    let body = part(r#"Content-Disposition: form-data; name="a""#, "+ADw-b");
    assert_eq!(contents(&read(&typed, body.as_bytes()).1), "a=+ADw-b | a=<b");

    let field = |name: &str, more: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name={name}{more}\r\n\r\n{value}\r\n")
    };
    let own = "\r\nContent-Type: text/plain; charset=utf-8";
    let body = [
        field("a", "", "+ADw-b"),
        field("_charset_", "", "utf-7"),
        field("b", own, "+ADw-"),
        field("c", "; filename=f", "+ADw-"),
        "--B--".to_owned(),
    ]
    .concat();
    let (outcome, found) = read(TYPE, body.as_bytes());
    assert_eq!((outcome.problem, outcome.files), (None, 1));
    let first = "a=+ADw-b | _charset_=utf-7 | b=+ADw- | c=f | c=+ADw-";
    assert_eq!(contents(&found), format!("{first} | a=<b | c=<"));

    let twice = field("_charset_", "", "utf-8") + &field("_charset_", "", "utf-7") + "--B--";
    let problem = read(TYPE, twice.as_bytes()).0.problem;
    assert_eq!(
        problem.map(|problem| problem.message),
        Some("the charset of all parts is said twice")
    );
    let unknown = field("_charset_", "", "klingon") + "--B--";
    let problem = read(TYPE, unknown.as_bytes()).0.problem;
    assert_eq!(
        problem.map(|problem| problem.message),
        Some("a part is in a charset that nobody here knows")
    );
}

type Flag = fn(&Multipart) -> bool;

/// Checks that a flag is set, and that nothing else is wrong.
#[track_caller]
fn check_flag(content_type: &str, body: &str, flag: Flag, expected: &str) {
    let (outcome, found) = read(content_type, body.as_bytes());
    assert!(flag(&outcome), "{body:?} {outcome:?}");
    assert_eq!(outcome.problem, None, "{body:?}");
    assert_eq!(contents(&found), expected, "{body:?}");
}

#[test]
fn readers_disagree_about_the_content_type() {
    let body = part(r#"Content-Disposition: form-data; name="a""#, "x");
    let cases: [(&str, Flag); 6] = [
        ("multipart/form-data; boundary=\"B\"", |outcome| outcome.boundary_quoted),
        ("multipart/form-data; boundary =B", |outcome| outcome.boundary_whitespace),
        ("multipart/form-data; boundary= B", |outcome| outcome.boundary_whitespace),
        ("multipart/form-data boundary=B", |outcome| outcome.missing_semicolon),
        ("multipart/form-data; charset=utf-8; Boundary=B", |outcome| !outcome.is_strict_error()),
        ("multipart/form-data; boundary=B; charset=utf-8", |outcome| !outcome.is_strict_error()),
    ];
    for (content_type, flag) in cases {
        check_flag(content_type, &body, flag, "a=x");
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(1_024));
    let wrong = [
        ("multipart/form-data", "the content type has no boundary", ""),
        ("multipart/form-data; boundary=", "the boundary is empty", ""),
        (
            "multipart/form-data; boundary=B; boundary=C",
            "the content type has two boundaries",
            "a=x",
        ),
        ("multipart/form-data; boundary=\"B", "the boundary is in one quote", "a=x"),
        ("multipart/form-data; boundary=B\u{7}", "the boundary has a character that none has", ""),
        (&long, "the content type is too long", ""),
    ];
    for (content_type, message, expected) in wrong {
        let (outcome, found) = read(content_type, body.as_bytes());
        assert_eq!(outcome.problem.map(|problem| problem.message), Some(message), "{content_type}");
        assert_eq!(contents(&found), expected, "{content_type}");
    }
}

#[test]
fn readers_disagree_about_lines() {
    const HEAD: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n";
    let cases: [(String, Flag, &str); 10] = [
        (format!("hello\r\n{HEAD}\r\nx\r\n--B--\r\n"), |outcome| outcome.data_before, "a=x"),
        (format!("{HEAD}\r\nx\r\n--B--\r\n\r\n"), |outcome| outcome.data_after, "a=x"),
        (format!("{HEAD}X: y\r\n z\r\n\r\nx\r\n--B--"), |outcome| outcome.header_folding, "a=x"),
        (
            "--B\r\nContent-Disposition: form-data;\r\n\u{B}name=\"a\"\r\n\r\nx\r\n--B--"
                .to_owned(),
            |outcome| outcome.invalid_header_folding,
            "a=x",
        ),
        (format!("{HEAD}\nx\r\n--B--"), |outcome| outcome.lf_line && outcome.crlf_line, "a=x"),
        (
            format!("{HEAD}\r\nx\n--B--\r\n").replace("\r\n", "\n"),
            |outcome| outcome.lf_line && !outcome.crlf_line,
            "a=x",
        ),
        (
            "--B\r\nContent-Disposition: form-data; name='a'\r\n\r\nx\r\n--B--".to_owned(),
            |outcome| outcome.invalid_quoting,
            "a=x",
        ),
        (
            "--B\r\nContent-Disposition: form-data; name=\"O'Brien\"\r\n\r\nx\r\n--B--".to_owned(),
            |outcome| !outcome.invalid_quoting,
            r"O\'Brien=x",
        ),
        (
            "--B\r\nContent-Disposition: form-data; name=O'Brien\r\n\r\nx\r\n--B--".to_owned(),
            |outcome| outcome.invalid_quoting,
            r"O\'Brien=x",
        ),
        (
            format!("{HEAD}Content-Transfer-Encoding: base64\r\n\r\nx\r\n--B--"),
            |outcome| outcome.transfer_encoding && !outcome.is_strict_error(),
            "a=x",
        ),
    ];
    for (body, flag, expected) in &cases {
        check_flag(TYPE, body, *flag, expected);
    }
}

#[test]
fn readers_disagree_about_boundaries() {
    let body = |content: &str| part(r#"Content-Disposition: form-data; name="a""#, content);
    let cases = [
        ("x", Unmatched::No, "a=x"),
        ("--C", Unmatched::Closed, "a=--C"),
        ("x--B", Unmatched::Closed, "a=x--B"),
        ("x-B", Unmatched::No, "a=x-B"),
    ];
    for (content, unmatched, expected) in cases {
        let (outcome, found) = read(TYPE, body(content).as_bytes());
        assert_eq!(outcome.unmatched_boundary, unmatched, "{content}");
        assert_eq!((outcome.problem, contents(&found)), (None, expected.to_owned()));
    }
    let wrong = [
        ("--Bx", "something follows a boundary in its line", "a=--Bx"),
        ("-- B", "a boundary is not as announced", "a=-- B"),
        ("--\"B\"", "a boundary is not as announced", "a=--\"B\""),
        ("x\r\n--B ", "white space follows a boundary", "a=x | ="),
    ];
    for (content, message, expected) in wrong {
        let (outcome, found) = read(TYPE, body(content).as_bytes());
        assert_eq!(outcome.problem.map(|problem| problem.message), Some(message), "{content}");
        assert_eq!(contents(&found), expected, "{content}");
    }
}

#[test]
fn a_body_that_ends_early_shows_what_came() {
    let cases = [
        ("", "no boundary is in the body", ""),
        ("hello", "no boundary is in the body", ""),
        ("--B\r\n", "the last boundary is missing", "="),
        ("--B\r\nContent-Disposition: form-data; name=\"a\"", "the last boundary is missing", "a="),
        (
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n",
            "the last boundary is missing",
            r"a=x\r\n",
        ),
        (
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n--B\r\n\r\nx",
            "a part ends before its content",
            "a= | =x",
        ),
    ];
    for (body, message, expected) in cases {
        let (outcome, found) = read(TYPE, body.as_bytes());
        assert_eq!(outcome.problem.map(|problem| problem.message), Some(message), "{body:?}");
        assert_eq!(contents(&found), expected, "{body:?}");
    }
}

#[test]
fn the_charset_of_other_parts_is_told() {
    let body = part(r#"Content-Disposition: form-data; name="_charset_""#, "utf-7");
    let outcome = read(TYPE, body.as_bytes()).0;
    assert_eq!(&body[outcome.charset.unwrap()], "utf-7");
}

#[test]
fn parts_and_files_are_counted() {
    let file = "--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\nx\r\n";
    let body = format!("{}--B--", file.repeat(3));
    let limits = Limits { files_max: 2, ..Limits::default() };
    let read = |limits: &Limits| {
        run(body.as_bytes(), limits, |input, intake| multipart(input, TYPE.as_bytes(), intake))
    };
    let (outcome, found) = read(&limits);
    assert_eq!((outcome.files, outcome.file_limit_exceeded, found.len()), (3, true, 9));
    let (outcome, found) = read(&Limits { fields_max: 4, ..Limits::default() });
    assert_eq!(outcome.problem.map(|problem| problem.kind), Some(Fault::TooMany));
    assert_eq!(found.len(), 4);
}

#[test]
fn headers_are_counted() {
    let headers: String = (0..65).map(|number| format!("h{number}: x\r\n")).collect();
    let (outcome, _) = read(TYPE, format!("--B\r\n{headers}\r\n").as_bytes());
    assert_eq!(outcome.problem.map(|problem| problem.kind), Some(Fault::TooMany));
    let long = format!("Content-Disposition: form-data; name=\"a\"\r\n{}: x", "h".repeat(65));
    check_wrong(&long, "a header's name is too long", "a=x");
}

const PIECES: &[&str] = &[
    "--B",
    "--",
    "\r\n",
    "\n",
    " ",
    "\"",
    "Content-Disposition: form-data",
    "; name=",
    "; filename=",
    "; filename*=",
    "'",
    "\\",
    "a",
    "\0",
    "%41",
    "=",
];

proptest! {
    #[test]
    fn any_text_is_taken(body in made_of(PIECES)) {
        if let Some(problem) = read(TYPE, body.as_bytes()).0.problem {
            prop_assert!(problem.offset <= body.len());
        }
    }

    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec(("[a-z\"\\\\é]{1,6}", "[a-z\r\né<>]{0,20}"), 1..5)) {
        let mut body = String::new();
        for (name, value) in &parts {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            body += &format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += "--B--\r\n";
        let (outcome, found) = read(TYPE, body.as_bytes());
        prop_assert_eq!(outcome.problem, None);
        let found: Vec<_> = found
            .into_iter()
            .filter(|field| field.kind == Kind::Argument)
            .map(|field| (String::from_utf8(field.name).unwrap(), String::from_utf8(field.value).unwrap()))
            .collect();
        prop_assert_eq!(found, parts);
    }
}
