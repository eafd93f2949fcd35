use selvedge_waf::transform::{ByteSet, Transformation};

/// Each transformation keeps what is before it, writes only what differs, stays within its bound, and is
/// the identity where it says so.
pub fn transformations(bytes: &[u8]) {
    let set = ByteSet::from_bytes(bytes);
    let backwards: Vec<u8> = bytes.iter().rev().copied().collect();
    for one in Transformation::ALL {
        let changed = changes(*one, bytes) | changes(*one, &backwards);
        assert!(!changed || !one.is_identity_on(&set), "{one} of {}", bytes.escape_ascii());
    }
}

fn changes(one: Transformation, bytes: &[u8]) -> bool {
    let mut out = b"before".to_vec();
    let changed = one.apply(bytes, &mut out);
    let value = out.strip_prefix(b"before").expect("what is there stays");
    let said = || format!("{one} of {}", bytes.escape_ascii());
    assert!(value.len() <= 4 * bytes.len() + 20, "{}", said());
    if changed {
        assert_ne!(value, bytes, "{}", said());
    } else {
        assert_eq!(value, b"", "{}", said());
    }
    changed
}
