use super::Transformation;

#[track_caller]
fn check(name: &str, expected: Option<Transformation>) {
    assert_eq!(Transformation::from_name(name), expected, "{name}");
}

#[test]
fn each_name_leads_back() {
    for one in Transformation::ALL {
        check(one.name(), Some(*one));
        check(&one.to_string().to_uppercase(), Some(*one));
    }
}

#[test]
fn spellings_in_use_are_known() {
    check("normalisePath", Some(Transformation::NormalizePath));
    check("normalisepathwin", Some(Transformation::NormalizePathWin));
    check("base64decodeext", Some(Transformation::Base64DecodeExt));
    check("utf8ToUnicode", Some(Transformation::Utf8ToUnicode));
    check("cmdline", Some(Transformation::CmdLine));
}

#[test]
fn what_is_none_is_not_one() {
    check("none", None);
    check("", None);
    check("urlDecode ", None);
}
