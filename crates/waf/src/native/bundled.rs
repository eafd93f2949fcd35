//! The rule files that come with Selvedge.

use super::{case::Case, reading};
use crate::rule::Rule;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Names and texts.
        pub(super) const FILES: &[(&str, &str)] = &[$(
            (concat!("waf/", $name, ".kdl"), include_str!(concat!("../../rules/", $name, ".kdl")))
        ),*];
    };
}

files![
    "sql",
    "nosql",
    "xss",
    "traversal",
    "command",
    "code",
    "template",
    "ldap",
    "xpath",
    "xxe",
    "ssrf",
    "deserialization",
    "protocol",
    "scanner",
    "lookup",
    "upload",
    "smuggling",
    "sensitive-file",
    "api",
    "session",
    "leak",
    "webshell",
];

/// Rules and cases of all files.
pub(super) fn all() -> (Vec<Rule>, Vec<Case>) {
    let (mut rules, mut cases) = (Vec::new(), Vec::new());
    for (name, text) in FILES {
        let (more_rules, more_cases) =
            reading::read_known(name, text).expect("a test reads every file that is compiled in");
        rules.extend(more_rules);
        cases.extend(more_cases);
    }
    (rules, cases)
}
