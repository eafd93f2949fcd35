use selvedge_waf::detect::{may_be_sqli, may_be_xss, sqli, xss};

/// Whatever is detected passes the gates, and a fingerprint has one to five letters.
pub fn detect(bytes: &[u8]) {
    let set = bytes_of(bytes);
    if let Some(fingerprint) = sqli(bytes) {
        assert!(may_be_sqli(&set), "{fingerprint}: {bytes:?}");
        assert!(matches!(fingerprint.as_str().len(), 1..=5), "{fingerprint}: {bytes:?}");
    }
    assert!(!xss(bytes) || may_be_xss(&set), "{bytes:?}");
}

/// The bytes that occur, as a set.
pub fn bytes_of(text: &[u8]) -> [u64; 4] {
    let mut set = [0; 4];
    for byte in text {
        set[usize::from(byte / 64)] |= 1 << (byte % 64);
    }
    set
}
