use std::fs;

use expect_test::expect;

use crate::process::Place;

#[test]
fn what_is_written_passes_the_check_without_a_warning() {
    let place = Place::new();
    expect![[r#"
        exit 0
        --- stdout
        wrote site/selvedge.kdl
        wrote site/public/index.html

        Next   cd site
               selvedge check
               selvedge up
    "#]]
    .assert_eq(&place.run("init site"));
    expect![[r#"
        exit 0
        --- stdout
        ok: site/selvedge.kdl: 1 listener, 1 route, 0 upstreams, the core
    "#]]
    .assert_eq(&place.run("check --deny-warnings site/selvedge.kdl"));
}

#[test]
fn the_usual_folder_is_this_one() {
    let place = Place::new();
    expect![[r#"
        exit 0
        --- stdout
        wrote selvedge.kdl
        wrote public/index.html

        Next   selvedge check
               selvedge up
    "#]]
    .assert_eq(&place.run("init"));
    assert!(place.run("check").starts_with("exit 0\n"));
}

#[test]
fn nothing_is_overwritten_unasked() {
    let place = Place::new();
    place.write("selvedge.kdl", "mine");
    expect![[r#"
        exit 1
        --- stderr
        error: selvedge.kdl is there already; --force overwrites it
    "#]]
    .assert_eq(&place.run("init"));
    assert_eq!(fs::read_to_string(place.path("selvedge.kdl")).unwrap(), "mine");
    assert!(!place.path("public").exists());
    assert!(place.run("init --force").starts_with("exit 0\n"));
    assert!(place.run("check").starts_with("exit 0\n"));
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let place = Place::new();
    place.write("file", "");
    expect![[r#"
        exit 1
        --- stderr
        error: folder file cannot be made: File exists (os error 17)
    "#]]
    .assert_eq(&place.run("init file"));
}
