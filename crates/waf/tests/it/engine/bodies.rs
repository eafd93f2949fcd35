//! What is seen of bodies, however they are written.

use super::*;

const EVIL: &str = r##"
    category "sql"
    rule "sql/evil" id=1 {
        about "Evil."
        points 30
        on "args" "args-names" "files" "files-content"
        text "raw"
        matches #"evil"#
    }
"##;

/// Checks a multipart body of one part: whether what it says is seen.
#[track_caller]
fn check_part(headers: &str, content: &[u8], is_seen: bool) {
    let head = format!("--B\r\nContent-Disposition: form-data; {headers}\r\n\r\n");
    let body = [head.as_bytes(), content, b"\r\n--B--\r\n"].concat();
    let exchange = post("multipart/form-data; boundary=B", body);
    let profile = profile(&native(EVIL), Policy::default());
    let decision = judge(&mut Transaction::new(), &profile, &exchange);
    assert_eq!(decision != Decision::Pass, is_seen, "{headers}");
}

#[test]
fn parts_are_judged_as_they_stand_and_decoded() {
    let text = |charset: &str| format!("name=a\r\nContent-Type: text/plain; charset={charset}");
    check_part("name=a", b"evil", true);
    check_part("name=a", b"good", false);
    check_part(&text("utf-16le"), b"e\0v\0i\0l\0", true);
    check_part(&text("utf-16be"), b"\0e\0v\0i\0l", true);
    check_part(&text("utf-7"), b"+AGU-vil", true);
    check_part(&text("utf-8"), b"+AGU-vil", false);
    check_part(&text("utf-16le"), b"evil", true);
    check_part("name=a\r\nContent-Transfer-Encoding: base64", b"ZXZpbA==", true);
    check_part("name=a\r\nContent-Transfer-Encoding: quoted-printable", b"=65vil", true);
    check_part("name=a; filename=f\r\nContent-Transfer-Encoding: base64", b"ZXZpbA==", true);
}

#[test]
fn no_name_of_a_file_or_a_field_hides() {
    let cases = [
        "name=a; filename=evil",
        "name=a; filename=f; filename=evil",
        "name=a; filename=evil; filename=f",
        "name=a; filename=f; filename*=utf-8''%65vil",
        "name=a; filename=f; filename*0=ev; filename*1=il",
        "name=a; filename=f; filename*1*=%69l; filename*0*=utf-8''ev",
        "name=a; filename=\"=?utf-8?q?=65vil?=\"",
        "name=a; name=evil",
        "name=evil; name=a",
        "name*=utf-8''%65vil",
    ];
    for headers in cases {
        check_part(headers, b"good", true);
    }
    check_part("name=a; filename=f", b"good", false);
}
