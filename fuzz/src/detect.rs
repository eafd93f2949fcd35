use selvedge_waf::{
    detect::{may_be_sqli, may_be_xss, sqli, sqli_text, xss, xss_text},
    transform::ByteSet,
};

/// Whatever is detected passes the gates, a fingerprint has one to five letters, and with more evidence less is SQL.
pub fn detect(bytes: &[u8]) {
    let set = ByteSet::from_bytes(bytes);
    if let Some(fingerprint) = sqli(bytes) {
        assert!(may_be_sqli(&set), "{fingerprint}: {bytes:?}");
        assert!(matches!(fingerprint.as_str().len(), 1..=5), "{fingerprint}: {bytes:?}");
    }
    assert!(sqli_text(bytes).is_none() || sqli(bytes).is_some(), "{bytes:?}");
    assert!(!(xss(bytes) || xss_text(bytes)) || may_be_xss(&set), "{bytes:?}");
}
