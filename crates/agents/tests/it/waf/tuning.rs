//! What operators make of rules.

use std::fs;

use expect_test::expect;

use super::*;

#[test]
fn detection_reports_and_lets_pass() {
    check(
        "mode \"detect\"",
        get(INJECTION),
        expect![[r#"
            request head: allow, done
              value waf-score: 55
              finding sql/union-behind-value: Behind a value a second query is united with the page's own, whose rows the page then shows: any table can be read.: ARGS:id, bytes 1 to 30 of the decoded text: 1»' union select password from «users--
              finding sql/parsed: Put into a query, the value would be read as SQL and not as a value: the query does what the client wants.: ARGS:id, bytes 0 to 38 of the decoded text: »1' union select password from users-- «
              finding sql/union-select: Two queries united, as an attack appends them; a lesson in SQL has them too.: ARGS:id, bytes 3 to 30 of the decoded text: 1' »union select password from «users--
        "#]],
    );
}

#[test]
fn off_is_off() {
    check(
        "mode \"off\"",
        get(INJECTION),
        expect![[r#"
        request head: allow, done
    "#]],
    );
}

/// Each case is a profile of one agent: whether an injection into `id` passes.
#[track_caller]
fn check_all(cases: &[(&str, bool)]) {
    let profiles = cases.iter().enumerate();
    let profiles = profiles.map(|(at, (nodes, _))| format!("profile \"p{at}\" {{ {nodes} }}\n"));
    let agent = start(&profiles.collect::<String>());
    for (at, (nodes, passes)) in cases.iter().enumerate() {
        let said = said(&agent, &get(INJECTION).option("profile", &format!("p{at}")), None);
        assert_eq!(said.starts_with("request head: allow"), *passes, "{nodes}\n{said}");
    }
}

#[test]
fn exceptions_hold_where_they_are_for() {
    check_all(&[
        ("", false),
        ("exclude target=\"args:id\"", true),
        ("exclude target=\"args:ID\"", true),
        ("exclude target=\"args:other\"", false),
        ("exclude target=\"args:id\" path=\"/items\"", true),
        ("exclude target=\"args:id\" path=\"/orders\"", false),
        ("exclude target=\"args:id\" method=\"GET\"", true),
        ("exclude target=\"args:id\" method=\"POST\"", false),
        ("exclude rule=\"1-999999999\"", true),
        ("exclude rule=\"1-999999999\" target=\"args:id\"", true),
        ("exclude rule=\"1-999999999\" target=\"cookies\"", false),
    ]);
}

#[test]
fn exceptions_name_rules_by_their_tags() {
    check_all(&[
        ("exclude tag=\"attack-sqli\"", true),
        ("exclude tag=\"attack-sqli\" target=\"args:id\"", true),
        ("exclude tag=\"attack-sqli\" target=\"args:other\"", false),
        ("exclude tag=\"sql\"", true),
        ("exclude tag=\"capec/66\"", true),
        ("exclude tag=\"sqli\"", true),
        ("exclude tag=\"nosql\"", false),
        ("exclude tag=\"attack-xss\"", false),
        ("shadow tag=\"attack-sqli\"", true),
    ]);
}

#[test]
fn weights_and_thresholds_decide() {
    check_all(&[
        ("weight \"sql\" 0", true),
        ("block-at 1000000", true),
        ("block-at 1000; weight \"sql\" 150", true),
        ("paranoia 4", false),
        ("early #true", false),
    ]);
}

#[test]
fn rules_that_are_only_watched_are_reported() {
    let said = said(&start("shadow rule=\"1-999999999\""), &get(INJECTION), None);
    assert!(said.starts_with("request head: allow, done\n  value waf-score: 0\n"), "{said}");
    assert!(said.contains("  finding sql/union-select: "), "{said}");
}

#[test]
fn a_status_of_the_operators() {
    let said = said(&start("status 406"), &get(INJECTION), None);
    assert!(said.starts_with("request head: block 406"), "{said}");
}

#[test]
fn routes_choose_profiles() {
    let agent = start("profile \"lax\" { mode \"detect\" }\nprofile \"off\" { mode \"off\" }");
    let ask = |profile: &str| said(&agent, &get(INJECTION).option("profile", profile), None);
    assert!(said(&agent, &get(INJECTION), None).starts_with("request head: block 403"));
    assert!(ask("lax").starts_with("request head: allow, done\n  value waf-score"));
    assert_eq!(ask("off"), "request head: allow, done\n");
}

#[test]
fn a_profile_that_is_not_there_abandons_the_exchange() {
    let agent = start("");
    let runtime = Builder::new_current_thread().build().unwrap();
    let verdict = runtime.block_on(async {
        let request = get("/").option("profile", "gone");
        crate::schema::message::head_verdict(&agent, &request).await
    });
    assert_eq!(verdict.flaw(), Some("the route names a profile that this agent does not have"));
}

const OWN: &str = r##"
category "api"
rule "api/secret" id=9000001 {
    about "Nobody asks for this."
    points 25
    on "args"
    text "lower"
    matches #"\bopen sesame\b"#
    attack "open sesame"
}
"##;

#[test]
fn rules_of_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.kdl"), OWN).unwrap();
    let agent = start_in(folder.path(), "rules \"own.kdl\"").unwrap();
    let said = said(&agent, &get("/?q=Open+Sesame"), None);
    assert!(
        said.contains("finding api/secret: Nobody asks for this.: ARGS:q, bytes 0 to 11"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_with_rules_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.kdl"), OWN.replace("points", "pionts")).unwrap();
    fs::write(folder.path().join("a.conf"), "SecRule ARGS \"@rx (\" \"id:1,phase:2\"\nSecRlue\n")
        .unwrap();
    let nodes = "rules \"own.kdl\"\nseclang \"*.conf\"";
    let error = start_in(folder.path(), nodes).unwrap_err();
    let faults = check_files(&settings_in(folder.path(), nodes)).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| fault.message.clone()).collect();
    assert_eq!(told.join("\n"), error);
    let folder = folder.path().display();
    assert!(error.contains(&format!("{folder}/own.kdl:5:5: ")), "{error}");
    assert!(error.contains("did you mean `points`?"), "{error}");
    assert!(error.contains(&format!("{folder}/a.conf:2: ")), "{error}");
}

#[test]
fn exceptions_from_no_rule_are_mistakes() {
    let nodes =
        "exclude rule=5\nexclude tag=\"no-such\"\nshadow rule=\"sql/none\"\nexclude rule=\"3-9\"";
    let error = start_in(Path::new("/"), nodes).unwrap_err();
    expect![[r#"
        no rule has the name `sql/none`, which `exclude` or `shadow` names; remove it, or load the rules that it is about
        no rule has the number 5, which `exclude` or `shadow` names; remove it, or load the rules that it is about
        no rule has a tag with `no-such` in it, which `exclude` or `shadow` names; remove it, or load the rules that it is about
        no rule has a number from 3 to 9, which `exclude` or `shadow` names; remove it, or load the rules that it is about"#]].assert_eq(&error);
}
