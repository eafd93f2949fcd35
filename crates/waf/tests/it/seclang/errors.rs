//! What keeps rules from being loaded: all of it in one go, with place and remedy.

use selvedge_waf::rule::Mode;

use super::{errors, notes, right};

#[test]
fn all_errors_of_a_text_at_once() {
    let text = "SecRuleEngin On\n\
                SecRule ARG \"@contain a\" \\\n  \"id:1,dney\"\n\
                SecRule ARGS a \"id:2,deny\"\n\
                SecRule ARGS \"a\n\
                SecRule ARGS b \"id:2\"";
    assert_eq!(
        errors(text),
        "1: no directive `SecRuleEngin`; did you mean `SecRuleEngine`?\n\
         2: no variable `ARG`; did you mean `ARGS`?\n\
         2: no operator `@contain`; did you mean `@contains`?\n\
         2: no action `dney`; did you mean `deny`?\n\
         5: a quote \" that is not closed; close it, or write \\\" inside\n\
         6: rule 2 is already at 4; give it another number, or remove one of the two\n"
    );
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(errors(text), format!("{expected}\n"), "{text}");
}

#[test]
fn rules() {
    check(
        "SecRule ARGS",
        "1: 1 arguments of `SecRule` instead of 2 or 3; write SecRule VARIABLES \"OPERATOR\" \"ACTIONS\"",
    );
    check(
        "SecRule ARGS a deny",
        "1: a rule without a number; write `id:` and a number that no other rule has",
    );
    check(
        "SecRule ARGS a",
        "1: a rule without a number; write `id:` and a number that no other rule has",
    );
    check(
        "SecRule ARGS a id:0",
        "1: `0` is no number of a rule; write a whole number from 1\n1: a rule without a number; write `id:` and a number that no other rule has",
    );
    check(
        "SecAction a b",
        "1: 2 arguments instead of one; put quotes around what belongs together",
    );
    check("SecMarker", "1: no argument; write one");
    assert_eq!(right("SecAction nolog").report.counts.actions, 1);
}

#[test]
fn chains() {
    let missing =
        "a chain whose next rule is missing; write it behind this one, or leave out `chain`";
    check("SecRule ARGS a id:1,chain", &format!("1: {missing}"));
    check("SecRule ARGS a id:1,chain\nSecMarker A\nSecAction id:2", &format!("1: {missing}"));
    check("SecRule ARGS a id:1,chain\nSecRule ARGS b chain", &format!("2: {missing}"));
    for action in ["id:2", "phase:1", "deny", "block", "pass"] {
        check(
            &format!("SecRule ARGS a id:1,chain\nSecRule ARGS b {action}"),
            "2: `id`, `phase` or a disruptive action in a later link of a chain; write it in the first rule of the chain",
        );
    }
}

#[test]
fn jumps() {
    let nowhere = "1: `skipAfter:END` leads nowhere; write `SecMarker \"END\"` behind the rule";
    check("SecAction id:1,skipAfter:END", nowhere);
    check("SecAction id:1,skipAfter:END\nSecMarker end", nowhere);
    check("SecMarker END\nSecAction id:1,skipAfter:END", &nowhere.replacen('1', "2", 1));
}

#[test]
fn defaults() {
    check(
        "SecDefaultAction deny",
        "1: `SecDefaultAction` without a phase; write `phase:2`, for instance",
    );
    check(
        "SecDefaultAction phase:1,log",
        "1: `SecDefaultAction` does not say what `block` does; write `deny` or `pass`",
    );
    check(
        "SecDefaultAction phase:1,deny,id:1",
        "1: `SecDefaultAction` says what only a rule can say; leave out id, msg, tag, severity, ver, logdata, chain, skip and capture",
    );
}

#[test]
fn settings() {
    let settings = right(
        "SecRuleEngine DetectionOnly\nsecrequestbodyaccess on\nSecResponseBodyAccess Off\n\
         SecRequestBodyLimit 10\nSecResponseBodyLimit 20\nSecArgumentsLimit 30\n\
         SecRequestBodyJsonDepthLimit 40\nSecArgumentSeparator \";\"\n\
         SecResponseBodyMimeType text/HTML text/plain\nSecResponseBodyMimeType \"text/css a/b\"\n\
         SecComponentSignature \"a b\"\nSecComponentSignature c",
    )
    .rules
    .settings;
    assert_eq!(settings.mode, Some(Mode::DetectionOnly));
    assert_eq!((settings.request_body, settings.response_body), (Some(true), Some(false)));
    assert_eq!((settings.request_body_max, settings.response_body_max), (Some(10), Some(20)));
    assert_eq!((settings.arguments_max, settings.json_depth_max), (Some(30), Some(40)));
    assert_eq!(settings.argument_separator, Some(b';'));
    assert_eq!(settings.response_types.unwrap(), ["text/html", "text/plain", "text/css", "a/b"]);
    assert_eq!(settings.signatures, ["a b", "c"]);
    let cleared =
        right("SecResponseBodyMimeType a/b\nSecResponseBodyMimeTypesClear").rules.settings;
    assert_eq!(cleared.response_types, Some(Vec::new()));
    assert_eq!(right("").rules.settings.mode, None);
}

#[test]
fn wrong_settings() {
    check("SecRuleEngine", "1: no argument; write one");
    check("SecRuleEngine Maybe", "1: `Maybe` is no mode; write On, Off or DetectionOnly");
    check("SecRequestBodyAccess 1", "1: `1` is neither On nor Off; write On or Off");
    check("SecRequestBodyLimit 1m", "1: `1m` is no number; write a whole number, without a unit");
    check("SecArgumentSeparator ab", "1: `ab` is not one character; write `&` or `;`");
    check(
        "<IfModule mod_a.c>",
        "1: `<IfModule` is a section of Apache's configuration; keep what stands in it, and say in selvedge.kdl for which routes it holds",
    );
}

#[test]
fn other_directives_are_noted() {
    for name in [
        "SecAuditEngine",
        "SecAuditLogParts",
        "SecCollectionTimeout",
        "SecCookieFormat",
        "SecDebugLog",
        "SecPcreMatchLimit",
        "SecRequestBodyLimitAction",
        "SecTmpDir",
        "SecUnicodeMapFile",
        "SecUploadDir",
        "SecWebAppId",
        "SecXmlExternalEntity",
    ] {
        let found = notes(&format!("{} a b", name.to_uppercase()));
        assert!(found.starts_with(&format!("1: inert {name}: ")), "{found}");
    }
    for name in
        ["SecConnEngine", "SecGeoLookupDb", "SecHashEngine", "SecRemoteRules", "SecRuleScript"]
    {
        let found = notes(&format!("{name} a"));
        assert!(found.starts_with(&format!("1: unsupported {name}: ")), "{found}");
    }
}

#[test]
fn there_are_bounds() {
    let long = format!("SecAction \"id:1,msg:'{}'\"", "a".repeat(1 << 20));
    check(&long, "1: a directive of more than 1 MiB; cut it into several");
    let many = "SecRuleEngin\n".repeat(2_000);
    assert_eq!(errors(&many).lines().count(), 1_000);
    let notes = "SecDebugLog a\n".repeat(10_002);
    let report = right(&notes).report;
    assert_eq!((report.notes.len(), report.notes_left_out), (10_000, 2));
    assert!(report.to_string().ends_with("and 2 more\n"));
}
