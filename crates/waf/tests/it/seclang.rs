//! ModSecurity's language: text in, rules and a report out.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use selvedge_waf::{
    rule::{Item, Rule, Selector, Target},
    seclang::{Files, LoadError, Loaded, glob, load},
};

mod actions;
mod core_rule_set;
mod document;
mod errors;
mod exceptions;
mod files;
mod operators;
mod properties;
mod targets;

/// Files below a folder, by their names relative to it; a name with a slash in front stands for itself.
struct Disk(PathBuf);

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let folder = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let mut names = Vec::new();
        for entry in fs::read_dir(self.0.join(folder))? {
            let name = folder.join(entry?.file_name()).to_string_lossy().into_owned();
            names.extend(glob(pattern, &name).then_some(name));
        }
        names.sort();
        Ok(names)
    }
}

/// Where third-party test data is.
#[expect(clippy::print_stdout, reason = "a test that checks nothing says so")]
fn vectors(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = env::var_os("SELVEDGE_VECTORS").map_or("../shared/data".into(), PathBuf::from);
    let found = root.join(data).join(name);
    if !found.exists() {
        println!("skipped: {} is missing", found.display());
        return None;
    }
    Some(found)
}

/// Loads `main.conf` with this text beside some data files.
fn read(text: &str) -> Result<Loaded, Vec<LoadError>> {
    let files = [
        ("main.conf", text),
        ("words.data", "# comment\n\n  union select \nsleep(\r\n"),
        ("more.data", "drop table"),
        ("empty.data", "# nothing\n"),
        ("nets.data", "# office\n192.0.2.0/24\n2001:db8::1\n"),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    load(&mut BTreeMap::from(files), &["main.conf"])
}

#[track_caller]
fn right(text: &str) -> Loaded {
    read(text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{text}\n{}", lines.join("\n"))
    })
}

/// The rules of a text without an error.
#[track_caller]
fn rules(text: &str) -> Vec<Rule> {
    let items = right(text).rules.items.into_iter();
    let rules = items.filter_map(|item| match item {
        Item::Rule(rule) => Some(*rule),
        Item::Marker(_) => None,
    });
    rules.collect()
}

#[track_caller]
fn rule(text: &str) -> Rule {
    let rules = rules(text);
    let [rule] = <[Rule; 1]>::try_from(rules).expect("the text has one rule");
    rule
}

/// The report, without the file's name.
#[track_caller]
fn notes(text: &str) -> String {
    right(text).report.to_string().replace("main.conf:", "")
}

/// The errors, without the file's name; empty if there is none.
fn errors(text: &str) -> String {
    let errors = read(text).err().unwrap_or_default();
    let lines = errors.iter().map(|error| format!("{error}\n"));
    lines.collect::<String>().replace("main.conf:", "")
}

/// Targets as rules write them.
fn written(targets: &[Target]) -> String {
    let one = |target: &Target| {
        let exclude = if target.exclude { "!" } else { "" };
        let count = if target.count { "&" } else { "" };
        let selector = match &target.selector {
            Selector::All => String::new(),
            Selector::Key(key) => format!(":{key}"),
            Selector::Pattern(pattern) => format!(":/{pattern}/"),
        };
        format!("{exclude}{count}{}{selector}", target.variable.name())
    };
    targets.iter().map(one).collect::<Vec<_>>().join("|")
}
