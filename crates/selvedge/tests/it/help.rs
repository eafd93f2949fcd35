use std::{process::Stdio, sync::LazyLock};

use expect_test::{expect, expect_file};

use crate::process::Place;

const COMMANDS: [&str; 13] = [
    "up",
    "edge",
    "check",
    "explain",
    "bounds",
    "diff",
    "init",
    "reload",
    "agents",
    "waf",
    "audit",
    "backup",
    "completions",
];
/// Commands of commands whose help is looked at too.
const INNER: [&str; 18] = [
    "waf check",
    "waf test",
    "waf replay",
    "waf suggest",
    "waf bench",
    "audit tail",
    "audit search",
    "audit verify",
    "audit prove",
    "audit export",
    "backup create",
    "backup list",
    "backup verify",
    "backup restore",
    "backup prune",
    "audit status",
    "audit erase",
    "audit prune",
];

/// What every `--help` says, one after the other.
static HELP: LazyLock<String> = LazyLock::new(|| {
    let place = Place::new();
    let help = |args: &str| format!("$ selvedge {args}\n{}\n", place.run(args));
    let commands = COMMANDS.map(|command| help(&format!("{command} --help")));
    let inner = INNER.map(|command| help(&format!("{command} --help")));
    let whole = help("--help") + &commands.join("") + &inner.join("");
    // clap ends some lines with blanks.
    whole.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
});

#[test]
fn help_is_as_it_was() {
    expect_file!["help.txt"].assert_eq(&HELP);
}

#[test]
fn every_command_and_flag_is_in_the_reference() {
    let reference = include_str!("../../../../docs/reference/cli.md");
    let flags =
        HELP.split([' ', ',', '\n']).filter(|word| word.starts_with("--") && word.len() > 2);
    let missing: Vec<&str> = flags.filter(|flag| !reference.contains(*flag)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    for command in COMMANDS
        .iter()
        .filter(|command| !["waf", "audit", "backup"].contains(*command))
        .chain(&INNER)
    {
        assert!(reference.contains(&format!("## `selvedge {command}")), "{command}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let place = Place::new();
    for args in ["", "frob", "check --frob", "explain", "completions tcsh", "reload --pid x"] {
        assert!(place.run(args).starts_with("exit 64\n"), "{args}");
    }
    expect![[r#"
        exit 64
        --- stderr
        error: unrecognized subcommand 'chek'

          tip: a similar subcommand exists: 'check'

        Usage: selvedge <COMMAND>

        For more information, try '--help'.
    "#]]
    .assert_eq(&place.run("chek"));
}

#[test]
fn the_version_is_told() {
    let told = Place::new().run("--version");
    assert!(told.starts_with(concat!("exit 0\n--- stdout\nselvedge ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn completions_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&format!("completions {shell}"));
        assert!(script.starts_with("exit 0\n"), "{shell}");
        for word in COMMANDS.iter().chain(&["deny-warnings"]) {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = Place::new();
    let command = place.command(["completions", "zsh"]).stdout(Stdio::piped()).spawn();
    let mut child = command.unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
