use selvedge_routing::normalise_path;

/// A path has one spelling: normal paths stay, and no segment climbs.
pub fn path(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let Ok(once) = normalise_path(raw) else { return };
    let twice = normalise_path(&once);
    assert_eq!(twice.as_deref(), Ok(&*once), "{raw:?}");
    assert!(once.starts_with('/') && !once.contains("//"), "{once:?}");
    assert!(once.split('/').all(|segment| segment != "." && segment != ".."), "{once:?}");
    assert!(once.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{once:?}");
    let decoded = once.replace("%2F", "/").replace("%5C", "\\");
    assert!(decoded.split(['/', '\\']).all(|segment| segment != ".."), "{once:?}");
}
