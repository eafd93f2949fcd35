use std::collections::BTreeMap;

use selvedge_waf::{
    rule::{Item, Place, RuleSet},
    seclang::{LoadError, Loaded, load},
};

/// Files are rules or a list of errors, each at a place that exists. Between files is a 0xFF.
pub fn seclang(bytes: &[u8]) {
    let names = ["main.conf", "a.conf", "a.data"].map(str::to_owned);
    let files = names.into_iter().zip(bytes.splitn(3, |&byte| byte == 0xFF).map(<[u8]>::to_vec));
    let mut files: BTreeMap<String, Vec<u8>> = files.collect();
    match load(&mut files, &["main.conf"]) {
        Ok(loaded) => is_right(&loaded, &mut files),
        Err(errors) => is_wrong(&errors, &files),
    }
}

fn is_right(loaded: &Loaded, files: &mut BTreeMap<String, Vec<u8>>) {
    for note in &loaded.report.notes {
        is_in(&note.place, files);
        assert!(!note.to_string().contains(char::is_control), "{note}");
    }
    is_whole(&loaded.rules);
    let again = load(files, &["main.conf"]).expect("the same files are read in the same way");
    assert_eq!(format!("{:?}", again.rules), format!("{:?}", loaded.rules));
    assert_eq!(again.report, loaded.report);
}

fn is_wrong(errors: &[LoadError], files: &BTreeMap<String, Vec<u8>>) {
    assert!(!errors.is_empty());
    for error in errors {
        is_in(&error.place, files);
        assert!(!error.message.is_empty() && !error.remedy.is_empty(), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

/// Rules have links, and only the first ones of a chain may be followed by another.
fn is_whole(rules: &RuleSet) {
    for item in &rules.items {
        if let Item::Rule(rule) = item {
            assert!(!rule.links.is_empty() && (1..=4).contains(&rule.paranoia));
            assert_eq!(rule.place, rule.links[0].place);
        }
    }
}

fn is_in(place: &Place, files: &BTreeMap<String, Vec<u8>>) {
    let bytes = files.get(&*place.file).map_or(&b""[..], Vec::as_slice);
    let lines = bytes.split(|&byte| byte == b'\n').count();
    assert!((1..=lines).contains(&(place.line as usize)), "{place}");
}
