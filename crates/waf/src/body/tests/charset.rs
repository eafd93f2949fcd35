use encoding_rs::Encoding;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(input: &[u8], declared: &str, expected: Charset, text: &str) {
    let mut out = b"rest of another text".to_vec();
    let declared = Some(declared.as_bytes()).filter(|declared| !declared.is_empty());
    let charset = decode_charset(input, declared, &mut out);
    assert_eq!(charset, expected, "{declared:?} {}", input.escape_ascii());
    assert_eq!(String::from_utf8_lossy(&out), text, "{declared:?} {}", input.escape_ascii());
}

fn decoded(name: &'static str) -> Charset {
    Charset::Decoded { name, has_errors: false }
}

#[test]
fn what_reads_as_it_stands_is_not_copied() {
    for declared in ["", "utf-8", "UTF8", "us-ascii", "ASCII", "latin1", "ISO-8859-1", " utf-8 "] {
        check(b"a=\xE9", declared, Charset::Plain, "");
    }
    check(b"\xEF\xBB\xBFa", "utf-16", Charset::Plain, "");
    check(b"", "", Charset::Plain, "");
}

#[test]
fn other_charsets_become_utf_8() {
    let cases: [(&[u8], &str, &str, &str); 14] = [
        (b"\xFF\xFEa\0\xAC\x20", "", "UTF-16LE", "a€"),
        (b"\xFE\xFF\0a\x20\xAC", "", "UTF-16BE", "a€"),
        (b"\xFE\xFF\0a", "utf-8", "UTF-16BE", "a"),
        (b"a\0b\0", "utf-16", "UTF-16LE", "ab"),
        (b"\0a\0b", "utf-16be", "UTF-16BE", "ab"),
        (b"{\0\"\0", "", "UTF-16LE", "{\""),
        (b"\0{\0\"", "", "UTF-16BE", "{\""),
        (b"\xFF\xFE\0\0a\0\0\0", "", "UTF-32", "a"),
        (b"\0\0\0a\0\x01\xF6\x00", "utf-32", "UTF-32", "a😀"),
        (b"\x80", "windows-1252", "windows-1252", "€"),
        (b"\xCF\xF0", "windows-1251", "windows-1251", "Пр"),
        (b"\x82\xA0", "shift_jis", "Shift_JIS", "あ"),
        (b"\xA4", "ISO-8859-15", "ISO-8859-15", "€"),
        (
            b"<?xml version='1.0' encoding='windows-1252'?>\x80",
            "",
            "windows-1252",
            "<?xml version='1.0' encoding='windows-1252'?>€",
        ),
    ];
    for (input, declared, name, text) in cases {
        check(input, declared, decoded(name), text);
    }
}

#[test]
fn what_servers_decode_and_browsers_do_not() {
    let cases: [(&[u8], &str, &str, &str); 8] = [
        (b"+ADw-script+AD4-", "utf-7", "UTF-7", "<script>"),
        (b"1 +- 1 +2D3eAA-", "UTF-7", "UTF-7", "1 + 1 😀"),
        (b"+ADwAcw-cript", "utf-7", "UTF-7", "<script"),
        (b"\x81\x7E\xF1\x50\x82\x7E\x7D\xA7\x7D", "ibm037", "IBM037", "a=1&b='x'"),
        (b"\x81\x7E\xF1\x50\x82\x7E\x7D\xA7\x7D", "CP037", "IBM037", "a=1&b='x'"),
        (b"\x4C\xA2\x6E\x4F", "IBM500", "IBM500", "<s>!"),
        (b"\x4C\xA2\x6E", "cp875", "IBM875", "<s>"),
        (b"\x4C\xA2\x6E", "IBM1026", "IBM1026", "<s>"),
    ];
    for (input, declared, name, text) in cases {
        check(input, declared, decoded(name), text);
    }
}

#[test]
fn what_stands_for_nothing_is_told() {
    let cases: [(&[u8], &str, &'static str, &str); 4] = [
        (b"a\0\0\xD8", "utf-16le", "UTF-16LE", "a\u{FFFD}"),
        (b"\x82", "shift_jis", "Shift_JIS", "\u{FFFD}"),
        (b"\0\0\0a\0", "utf-32", "UTF-32", "a\u{FFFD}"),
        (b"+2D0-", "utf-7", "UTF-7", "\u{FFFD}"),
    ];
    for (input, declared, name, text) in cases {
        check(input, declared, Charset::Decoded { name, has_errors: true }, text);
    }
    for declared in ["x-unknown", "utf-9", "iso-2022-kr", "hz-gb-2312"] {
        check(b"a", declared, Charset::Unknown, "");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        declared in prop::sample::select(vec!["utf-7", "utf-16", "utf-32", "ibm500", "gbk", "iso-2022-jp", ""]),
    ) {
        let mut out = Vec::new();
        if let Charset::Decoded { .. } = decode_charset(&bytes, Some(declared.as_bytes()), &mut out) {
            prop_assert!(declared == "utf-7" || std::str::from_utf8(&out).is_ok());
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(text in "[ -~а-я]{0,20}") {
        let (encoded, _, _) = Encoding::for_label(b"koi8-r").unwrap().encode(&text);
        let mut out = Vec::new();
        decode_charset(&encoded, Some(b"koi8-r"), &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
