//! What others say transformations make of values, in `testdata/transformations.txt`.

use super::{Transformation, check};

#[test]
fn published_cases_hold() {
    let cases = include_str!("../../../testdata/transformations.txt");
    let cases = cases.lines().filter(|line| !line.starts_with('#'));
    let count = cases.map(published).count();
    assert!(count > 900, "{count}");
}

/// Checks a line such as `urlDecode "a%20b" "a b"`.
#[track_caller]
fn published(line: &str) {
    let (name, values) = line.split_once(' ').expect("a name and values");
    let values = values.strip_prefix('"').and_then(|values| values.strip_suffix('"'));
    let (input, output) = values.and_then(|values| values.split_once("\" \"")).expect("two values");
    let transformation = Transformation::from_name(name).expect("a known name");
    check(transformation, &unescape(input), &unescape(output));
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('\\');
    let mut value = parts.next().unwrap_or_default().as_bytes().to_vec();
    while let Some(part) = parts.next() {
        match part.strip_prefix('x') {
            Some(hex) => {
                value.push(u8::from_str_radix(&hex[..2], 16).unwrap());
                value.extend_from_slice(&hex.as_bytes()[2..]);
            }
            None => {
                assert_eq!(part, "", "an escaped backslash ends a part");
                value.push(b'\\');
                value.extend_from_slice(parts.next().unwrap().as_bytes());
            }
        }
    }
    value
}

#[test]
fn what_later_versions_mend_is_mended() {
    check(Transformation::CssDecode, b"a\0b\\41", b"a\0bA");
    check(Transformation::CssDecode, br"\0<b>\3e", b"\0<b>>");
    check(Transformation::SqlHexDecode, b"select 1", b"select 1");
    check(Transformation::SqlHexDecode, b"x=0x414243 or 0X4a0x4b1 0x4", b"x=ABC or JK1 0x4");
    check(Transformation::Base64DecodeExt, b"QUJD9", b"ABC");
}

#[test]
fn characters_are_written_by_number() {
    check(
        Transformation::Utf8ToUnicode,
        "a\u{e9}\u{20ac}\u{1f600}".as_bytes(),
        b"a%u00e9%u20ac%u1f600",
    );
    check(Transformation::Utf8ToUnicode, b"\xc0\xaf", b"%u002f\xc0");
    check(Transformation::Utf8ToUnicode, b"a\0b\xc3", b"ab");
}

#[test]
fn look_alikes_are_ascii() {
    check(Transformation::UrlDecodeUni, b"%uff1cscript%uFF1E", b"<script>");
    check(Transformation::UrlDecodeUni, b"%u2018%u02bc%u0131%u2122%u3002", b"''iT.");
    check(Transformation::UrlDecodeUni, b"%u4f60%u0041%u1e41", b"\x60A\x41");
}

#[test]
fn digests_and_lengths_are_of_the_empty_value_too() {
    let empty = b"\xd4\x1d\x8c\xd9\x8f\0\xb2\x04\xe9\x80\t\x98\xec\xf8B~";
    check(Transformation::Md5, b"", empty);
    check(Transformation::Length, b"", b"0");
    check(Transformation::Length, b"1", b"1");
}
