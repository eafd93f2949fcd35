//! Answers of libinjection 3.9.2 to texts of ours. `cargo xtask conformance libinjection` asks it itself.

use proptest::prelude::*;

use super::*;
use crate::transform::ByteSet;

mod text;

/// Texts and their fingerprints; empty where nothing is detected.
const SQL: &[(&[u8], &str)] = &[
    (b"1' OR '1'='1", "s&sos"),
    (b"admin\" or \"a\"=\"a", "s&sos"),
    (b"-1 UNION ALL SELECT 1,user(),3-- -", "1UE1("),
    (b"1/**/union/**/select/**/a/**/from/**/b", "1UEnk"),
    (b"1; DROP TABLE users--", "1;Tnn"),
    (b"1;IF(1=1) WAITFOR DELAY '0:0:5'", "1;T(1"),
    (b"1 /*!50000union*/ select 1", "X"),
    (b"1 /* a /* b */ c */ or 1=1", "X"),
    (b"x' or 1=1#", "s&1c"),
    (b"x' or 1=1--x", "s&1c"),
    (b"1) or ((1))=((1))", "1)&(1"),
    (b"select {``.``.id}", "X"),
    (b"x' or nq'[a]'=q'(b)", "s&sos"),
    (b"1 and sleep(5)", "1&f(1"),
    (b"1 or \\N is \\N", "1&1"),
    (b"1 or @@version like 'a'", "1&vos"),
    (b"1 order by 5", "1B1"),
    (b"1' and extractvalue(1,concat(0x7e,version()))-- ", "s&f(1"),
    (b"1234--", "1c"),
    (b"1234 --", "1c"),
    (b"1234-abc--", "1c"),
    (b"1/*", "1c"),
    (b"a/*", "nc"),
    (b"a--", ""),
    (b"1 union", ""),
    (b"1-1 union", "1U"),
    (b"1 or 1 or 1", "1&1"),
    (b"1 or 1", ""),
    (b"foo' + 'bar", "sos"),
    (b"'foo' + 'bar'", ""),
    (b"x into outfile 'y'", "nks"),
    (b"x from y", ""),
    (b"a' --sp_password", "sc"),
    (b"1;if(1)", "1;T(1"),
    (b"1 and not - + ~ !! 1", "1&1"),
    (b"1 collate utf8_bin like 'a' or 1=1", "1Atos"),
    (b"1::int or 'a'::text='a'", "1&sos"),
    (b"1 and a not in (1,2)", "1&no("),
    (b"1,-1,-2 union select 1", "1UE1"),
    (b"user(1) or 1=1", ""),
    (b"user() or 1=1", "f()&1"),
    (b"1 or `a`=`", ""),
    (b"1fUNION select 1", "1UE1"),
    (b"1e1union select 1", "1UE1"),
    (b"0x1Funion select 1", "1UE1"),
    (b"1.e(1) or 1", ""),
    (b"union.1select.1", ""),
    (b"select`a`from`b`", ""),
    (b"$a$b$a$ or 1=1", "s&1"),
    (b"\\%1 or 1=1", "1&1"),
    (b"1<=>2 or 3<>4", "1&1"),
    (b"U&'a' or 1=1", "s&1"),
    (b"It's ok, and that's fine; isn't it?", ""),
    (b"O'Brien", ""),
    (b"Tom O'Brien and Rose d'Arc", ""),
    (b"Select your country from the list", ""),
    (b"drop me a line", ""),
    (b"the union of workers", ""),
    (b"2024-01-01T10:00:00+01:00", ""),
    (b"550e8400-e29b-41d4-a716-446655440000", ""),
    (b"/a/b/c.html?x=1", ""),
    (b"a@example.com", ""),
    (b"Mozilla/5.0 (X11; Linux x86_64)", ""),
    (b"onZ3JlZW4gZWdncw==", ""),
    (b"1\xa0union\xa0select\xa01", "1UE1"),
    (b"1\0or\0 1=1", "1&1"),
    (b"$1\x002 or 1=1", "1&1"),
];

/// Texts, and whether they are detected.
const HTML: &[(&[u8], bool)] = &[
    (b"<script>alert(1)</script>", true),
    (b"<SCRIPT", true),
    (b"</script>", false),
    (b"</script x>", true),
    (b"<scr\0ipt>", true),
    (b"'><img src=x onerror=alert(1)>", true),
    (b"<img src=x>", false),
    (b"<svg/onload=alert(1)>", true),
    (b"<svgxyz>", true),
    (b"<xsl:x>", true),
    (b"<a href=\" \x01j&#97;va&#x73;cript:alert(1)\">", true),
    (b"<a href=&#x14A;AVA&#10;:>", true),
    (b"<a href=&#x1000FFF;java>", false),
    (b"<a href=\x80\xffdata:>", true),
    (b"<a href=http://a.b>", false),
    (b"x\" onmouseover=alert(1) y=\"", true),
    (b"`onclick=x", true),
    (b"x' onclick=x", true),
    (b"onclick=x", true),
    (b"onclick", false),
    (b"onab=x", false),
    (b"onZ3JlZW4gZWdncw==", true),
    (b"style=a", true),
    (b"<set attributeName=onxyz to=y>", true),
    (b"<set attributeName=x to=y>", false),
    (b"<a xlink:href=x>", true),
    (b"<!DOCTYPE html>", true),
    (b"<!ENTITY x>", true),
    (b"<!entity>", true),
    (b"<!--[if IE]>", true),
    (b"<!-- ` -->", true),
    (b"<!-- -\0->`", false),
    (b"<!-- a -!><base>", true),
    (b"<![CDATA[ ]] ]]><base>", true),
    (b"<% a %><base>", true),
    (b"<?import x>", true),
    (b"<?importx", true),
    (b"</a ></b><base>", true),
    (b"</a ><base>", true),
    (b"<base\xffx>", false),
    (b"<a \xffonload=x>", false),
    (b"<a / / // =/onload=x>", true),
    (b"I <3 HTML", false),
    (b"a < b && c > d", false),
    (b"1 <= 2", false),
    (b"a=b&c=d", false),
    (b"<b>bold</b>", false),
    (b"<p class=\"x\">text</p>", false),
];

/// Pieces of texts: what SQL and HTML are made of.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "`",
    "(",
    ")",
    ",",
    ";",
    "--",
    "#",
    "/*",
    "*/",
    "=",
    "<",
    ">",
    "/",
    "!",
    "$",
    "@",
    "{",
    "}",
    "&#",
    ":",
    " ",
    "\n",
    "1",
    "0x",
    "1e",
    "a",
    "or",
    "and",
    "union",
    "select",
    "from",
    "into outfile",
    "limit",
    "if",
    "null",
    "sleep",
    "like",
    "in",
    "true",
    "int",
    "collate",
    "drop",
    "svg",
    "script",
    "on",
    "src",
    "java",
    "style",
    "[if",
    "doctype",
    "x",
];

#[test]
fn sql_is_told_as_libinjection_tells_it() {
    for (text, expected) in SQL {
        let found = sqli(text).map(|fingerprint| fingerprint.to_string());
        assert_eq!(found.unwrap_or_default(), *expected, "{}", text.escape_ascii());
    }
}

#[test]
fn html_is_told_as_libinjection_tells_it() {
    for (text, expected) in HTML {
        assert_eq!(xss(text), *expected, "{}", text.escape_ascii());
    }
}

#[test]
fn gates_let_pass_what_is_detected() {
    for (text, expected) in SQL {
        assert!(
            expected.is_empty() || may_be_sqli(&ByteSet::from_bytes(text)),
            "{}",
            text.escape_ascii()
        );
    }
    for (text, expected) in HTML {
        assert!(!expected || may_be_xss(&ByteSet::from_bytes(text)), "{}", text.escape_ascii());
    }
}

#[test]
fn gates_keep_out_what_cannot_be_detected() {
    for text in ["hello", "42", "user_id", "3.14159", "john doe", "a1b2c3", "2024:01", "Zürich"] {
        assert!(!may_be_sqli(&ByteSet::from_bytes(text.as_bytes())), "{text}");
    }
    for text in
        ["I love you", "it's (fine); really?", "a, b & c", "x = 1", "1 < 2", "{\"a\": [1, 2]}"]
    {
        assert!(!may_be_xss(&ByteSet::from_bytes(text.as_bytes())), "{text}");
    }
}

/// Forms that could make a tokenizer read a text again and again; each takes seconds if it does.
#[test]
fn long_texts_are_read_once() {
    for piece in [
        "'", "\\'", "''", "/", "/*", "$a", "$$", "b'0", "q'", "a.", "`", "(", "-", "1,", "@'", "<",
        "</", "<!--", "<!---", "<a ", "<a/", "a=", "=\0",
    ] {
        let text = piece.repeat(1 << 15);
        let text = text.as_bytes();
        let _ = (sqli(text), sqli_text(text), xss(text), xss_text(text));
    }
}

proptest! {
    #[test]
    fn gates_are_sound(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..14)) {
        let text = pieces.concat();
        let set = ByteSet::from_bytes(text.as_bytes());
        prop_assert!(sqli(text.as_bytes()).is_none() || may_be_sqli(&set));
        prop_assert!(!xss(text.as_bytes()) || may_be_xss(&set));
        prop_assert!(sqli_text(text.as_bytes()).is_none() || sqli(text.as_bytes()).is_some());
        prop_assert!(!xss_text(text.as_bytes()) || may_be_xss(&set));
    }

    #[test]
    fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let set = ByteSet::from_bytes(&text);
        prop_assert!(sqli(&text).is_none_or(|found| may_be_sqli(&set) && !found.as_str().is_empty()));
        prop_assert!(!xss(&text) || may_be_xss(&set));
    }
}
