//! Configs of several files.

use std::path::PathBuf;

use expect_test::{Expect, expect};
use selvedge_config::{Action, MemoryEnvironment, parse_str};

#[track_caller]
fn check(environment: MemoryEnvironment, text: &str, expected: Expect) {
    let report = parse_str("/etc/selvedge.kdl", text, &environment).unwrap_err();
    expected.assert_eq(&report.to_string());
}

#[test]
fn nodes_of_an_include_stand_where_it_stands_and_paths_start_there() {
    let environment = MemoryEnvironment::default()
        .with_file("/etc/sites/a.kdl", "route \"b\" { static \"./public\" }\ninclude \"c.kdl\"")
        .with_file("/etc/sites/c.kdl", "route \"c\" { respond 200 }")
        .with_file("/etc/sites/public/index.html", "");
    let text = "route \"a\" { respond 200 }\ninclude \"sites/a.kdl\"\nroute \"d\" { respond 200 }";
    let config = parse_str("/etc/selvedge.kdl", text, &environment).unwrap().config;
    let ids: Vec<&str> = config.routes.iter().map(|route| route.id.as_ref()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
    let Action::Static(site) = &config.routes[1].action else { panic!("not a site") };
    assert_eq!(site.root, PathBuf::from("/etc/sites/public"));
    assert_eq!(&*config.routes[2].origin.file, "/etc/sites/c.kdl");
    let files = ["/etc/selvedge.kdl", "/etc/sites/a.kdl", "/etc/sites/c.kdl"];
    assert_eq!(config.files, files.map(PathBuf::from));
}

#[test]
fn errors_name_the_file_they_are_in() {
    let environment = MemoryEnvironment::default()
        .with_file("/etc/a.kdl", "\nworkers 0\n")
        .with_file("/etc/b.kdl", "workers 2");
    check(
        environment,
        "include \"a.kdl\"\ninclude \"b.kdl\"\n",
        expect![[r#"
            error[E0109]: 0 is out of range
             --> /etc/a.kdl:2:9
              |
            2 | workers 0
              |         ^
            help: allowed: 1 to 1024

            error[E0111]: `workers` is written twice
             --> /etc/b.kdl:1:1
              |
            1 | workers 2
              | ^^^^^^^
            note: first written here
             --> /etc/a.kdl:2:1
              |
            2 | workers 0
              | ^^^^^^^
            help: keep one of them

            2 errors; `selvedge explain E0109` says more
        "#]],
    );
}

#[test]
fn circles_repetitions_and_depth_are_refused() {
    let circle = MemoryEnvironment::default()
        .with_file("/etc/a.kdl", "include \"./x/../selvedge.kdl\"")
        .with_file("/etc/b.kdl", "");
    check(
        circle,
        "include \"a.kdl\"\ninclude \"b.kdl\"\ninclude \"b.kdl\"",
        expect![[r#"
        error[E0123]: this file is included already
         --> /etc/selvedge.kdl:3:9
          |
        3 | include "b.kdl"
          |         ^^^^^^^
        help: remove one of the two includes

        error[E0123]: this file is being read already: a circle
         --> /etc/a.kdl:1:9
          |
        1 | include "./x/../selvedge.kdl"
          |         ^^^^^^^^^^^^^^^^^^^^^
        help: remove one of the includes that lead back here

        2 errors; `selvedge explain E0123` says more
    "#]],
    );

    let mut deep = MemoryEnvironment::default();
    for level in 0..20 {
        let (name, next) = (format!("/etc/{level}.kdl"), format!("include \"{}.kdl\"", level + 1));
        deep = deep.with_file(&name, &next);
    }
    check(
        deep,
        "include \"0.kdl\"",
        expect![[r#"
        error[E0123]: includes nest deeper than 8
         --> /etc/7.kdl:1:9
          |
        1 | include "8.kdl"
          |         ^^^^^^^
        help: include it from further up

        1 error; `selvedge explain E0123` says more
    "#]],
    );
}

#[test]
fn an_include_that_is_not_there_is_named() {
    check(
        MemoryEnvironment::default(),
        "include \"a.kdl\"\ninclude",
        expect![[r#"
            error[E0122]: /etc/a.kdl cannot be read: entity not found
             --> /etc/selvedge.kdl:1:9
              |
            1 | include "a.kdl"
              |         ^^^^^^^
            help: names start at the folder of the including file

            error[E0106]: `include` needs a file
             --> /etc/selvedge.kdl:2:1
              |
            2 | include
              | ^^^^^^^
            help: write a file behind `include`

            2 errors; `selvedge explain E0122` says more
        "#]],
    );
}

#[test]
fn a_misspelt_include_is_recognised() {
    check(
        MemoryEnvironment::default(),
        "inclde \"a.kdl\"",
        expect![[r#"
            error[E0102]: unknown node `inclde`
             --> /etc/selvedge.kdl:1:1
              |
            1 | inclde "a.kdl"
              | ^^^^^^
            help: did you mean `include`?

            1 error; `selvedge explain E0102` says more
        "#]],
    );
}
