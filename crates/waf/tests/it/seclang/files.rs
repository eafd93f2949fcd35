//! Files and what they include.

use std::collections::BTreeMap;

use selvedge_waf::seclang::load;

/// What is said of these files, entered at `main.conf`: the errors, or else counts and notes.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let found = match load(&mut files.collect::<BTreeMap<_, _>>(), &["main.conf"]) {
        Ok(loaded) => {
            let counts = loaded.report.counts;
            let ids = loaded.rules.items.len();
            format!("{} files, {ids} items\n{}", counts.files, loaded.report)
        }
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    assert_eq!(found, expected);
}

#[test]
fn includes_are_beside_the_file() {
    check(
        &[
            ("main.conf", "Include etc/all.conf\nSecAction id:1"),
            ("etc/all.conf", "Include rules/*.conf\nInclude \"last.conf\""),
            ("etc/rules/b.conf", "SecRule ARGS \"@pmFromFile b.data\" id:2"),
            ("etc/rules/b.data", "x"),
            ("etc/rules/a.conf", "SecAction id:3"),
            ("etc/rules/a.conf.example", "nonsense"),
            ("etc/last.conf", "SecDebugLog x"),
        ],
        "5 files, 3 items\netc/last.conf:1: inert SecDebugLog: the log is configured in selvedge.kdl\n",
    );
}

#[test]
fn what_is_not_there() {
    let missing =
        "cannot be read: entity not found; names are relative to the file they stand in\n";
    check(&[], &format!("main.conf:1: `main.conf` {missing}"));
    check(
        &[("main.conf", "\nInclude a.conf\nInclude b.conf")],
        &format!("main.conf:2: `a.conf` {missing}main.conf:3: `b.conf` {missing}"),
    );
    check(&[("main.conf", "IncludeOptional a.conf\nIncludeOptional b/*")], "1 files, 0 items\n");
    check(
        &[("main.conf", "Include b/*")],
        "1 files, 0 items\nmain.conf:1: unmatched b/*: no file fits this pattern\n",
    );
}

#[test]
fn no_file_includes_itself() {
    let circle = "is included by itself, or more than 16 deep; include each file once\n";
    check(
        &[("main.conf", "Include a.conf"), ("a.conf", "\nInclude main.conf")],
        &format!("a.conf:2: `main.conf` {circle}"),
    );
    let names: Vec<(String, String)> = (0..20)
        .map(|at| (format!("{at}.conf"), format!("Include {}.conf", at + 1)))
        .chain([("main.conf".to_owned(), "Include 0.conf".to_owned())])
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|(name, text)| (&**name, &**text)).collect();
    check(&files, &format!("14.conf:1: `15.conf` {circle}"));
}

#[test]
fn the_same_file_twice_reads_twice() {
    check(
        &[("main.conf", "Include a.conf\nInclude a.conf"), ("a.conf", "SecAction id:1")],
        "a.conf:1: rule 1 is already at a.conf:1; give it another number, or remove one of the two\n",
    );
}

#[test]
fn doubling_includes_end_at_a_bound() {
    let names: Vec<(String, String)> = (0..14)
        .map(|at| (format!("{at}.conf"), format!("Include {0}.conf\nInclude {0}.conf", at + 1)))
        .chain([
            ("main.conf".to_owned(), "Include 0.conf".to_owned()),
            ("14.conf".to_owned(), String::new()),
        ])
        .collect();
    let files = names.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    let errors = load(&mut files.collect::<BTreeMap<_, _>>(), &["main.conf"]).unwrap_err();
    assert!(errors.iter().any(|error| error.message == "more than 10000 files"));
}

#[test]
fn errors_are_in_the_order_of_the_files() {
    check(
        &[
            ("main.conf", "Include b.conf\nSecX\nInclude a.conf\nSecAction id:1,skipAfter:A"),
            ("a.conf", "SecAction id:2,skipAfter:A"),
            ("b.conf", "SecX"),
        ],
        "main.conf:2: no directive `SecX`; docs/reference/seclang.md lists what there is\n\
         main.conf:4: `skipAfter:A` leads nowhere; write `SecMarker \"A\"` behind the rule\n\
         b.conf:1: no directive `SecX`; docs/reference/seclang.md lists what there is\n\
         a.conf:1: `skipAfter:A` leads nowhere; write `SecMarker \"A\"` behind the rule\n",
    );
}
