//! What the documents tell people to do.

use std::process::Command;

use crate::process::Place;

const GETTING_STARTED: &str = include_str!("../../../../docs/guide/getting-started.md");
const EXIT_CODES: &str = include_str!("../../../../docs/reference/exit-codes.md");

/// Fenced blocks of one language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn shell_blocks_of_the_first_guide_run_in_order() {
    let place = Place::new();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_selvedge")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let blocks = blocks(GETTING_STARTED, "sh");
    assert!(!blocks.is_empty());
    for block in blocks {
        let mut shell = Command::new("sh");
        shell.args(["-euc", block]).env("PATH", &path).current_dir(place.path("."));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{block}\n{}", place.show(&output));
    }
}

#[test]
fn configs_of_the_first_guide_pass_the_check() {
    let blocks = blocks(GETTING_STARTED, "kdl");
    assert!(!blocks.is_empty());
    for block in blocks {
        let place = Place::new();
        std::fs::create_dir(place.path("public")).unwrap();
        let said = place.write("selvedge.kdl", block).run("check --deny-warnings");
        assert!(said.starts_with("exit 0\n"), "{block}\n{said}");
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let documented: Vec<u8> = EXIT_CODES
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(documented, [0, 1, 2, 3, 64, 65, 69, 70]);
}
