use proptest::prelude::*;

use super::*;

/// Shows what is found as `start..end text`.
#[track_caller]
fn check(value: &str, expected: &[&str]) {
    let mut runs = Base64Runs::new(value.as_bytes());
    let mut decoded = Vec::new();
    let mut found = Vec::new();
    while let Some(range) = runs.next(&mut decoded) {
        found.push(format!("{range:?} {}", decoded.escape_ascii()));
    }
    assert_eq!(found, expected, "{value}");
}

#[test]
fn text_is_found_wherever_it_is() {
    let cases: [(&str, &[&str]); 8] = [
        ("MScgT1IgMT0xIC0tIC0t", &["0..20 1\\' OR 1=1 -- --"]),
        ("MScgT1IgMT0xIC0tIA==", &["0..20 1\\' OR 1=1 -- "]),
        ("MScgT1IgMT0xIC0tIA", &["0..18 1\\' OR 1=1 -- "]),
        ("data:text/html;base64,PHNjcmlwdD4xPC9zY3JpcHQ+", &["22..46 <script>1</script>"]),
        ("echo Y2F0IC9ldGMvcGFzc3dk | base64 -d", &["5..25 cat /etc/passwd"]),
        (
            "a=MScgT1IgMT0xIC0tIC0t;b=Y2F0IC9ldGMvcGFzc3dk",
            &["2..22 1\\' OR 1=1 -- --", "25..45 cat /etc/passwd"],
        ),
        ("dMOpc3QgdMOpc3QgdMOpc3Q_", &[r"0..24 t\xc3\xa9st t\xc3\xa9st t\xc3\xa9st?"]),
        ("VwByAGkAdABlAC0ASABvAHMAdAA=", &["0..28 Write-Host"]),
    ];
    for (value, expected) in cases {
        check(value, expected);
    }
}

#[test]
fn words_are_no_base64() {
    let cases = [
        "",
        "MTIzNDU2Nzg5",
        "internationalization",
        "/usr/share/doc/packages/readme",
        "d41d8cd98f00b204e9800998ecf8427e",
        "550e8400-e29b-41d4-a716-446655440000",
        "an ordinary sentence of several words",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
    ];
    for value in cases {
        check(value, &[]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_once(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut runs = Base64Runs::new(&bytes);
        let (mut decoded, mut last) = (Vec::new(), 0);
        while let Some(range) = runs.next(&mut decoded) {
            prop_assert!(range.start >= last && range.end <= bytes.len());
            prop_assert!(decoded.len() <= range.len());
            last = range.end;
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(text in "[ -~]{12,60}", url: bool, padded: bool) {
        let alphabet: &[u8] = if url {
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        } else {
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        };
        let mut encoded = Vec::new();
        for group in text.as_bytes().chunks(3) {
            let mut bytes = [0; 4];
            bytes[1..=group.len()].copy_from_slice(group);
            let bits = u32::from_be_bytes(bytes);
            let digits = (0..=group.len()).map(|digit| bits >> (18 - 6 * digit) & 63);
            encoded.extend(digits.map(|digit| alphabet[digit as usize]));
        }
        if padded {
            encoded.resize(encoded.len().next_multiple_of(4), b'=');
        }
        let mut decoded = Vec::new();
        let range = Base64Runs::new(&encoded).next(&mut decoded);
        prop_assert_eq!(range, Some(0..encoded.len()));
        prop_assert_eq!(String::from_utf8(decoded).unwrap(), text);
    }
}
