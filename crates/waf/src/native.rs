//! Rules in KDL, and those that come with Selvedge.
//!
//! The language is described in `docs/reference/waf-rules.md`. A text becomes nodes (`syntax`), nodes become rules
//! (`reading`), with words and their meanings in tables (`words`). Whatever is wrong is reported, all of it at once.

use std::{fmt, sync::Arc};

use crate::rule::{Item, Rule, RuleSet, Variable};

mod bundled;
mod case;
mod reading;
mod syntax;
#[cfg(test)]
mod tests;
mod words;

pub use case::{Case, Exchange, Expectation, Part, Response};

/// What is wrong with a rule file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeError {
    /// The file as it was named to [`parse`].
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, help } = self;
        write!(f, "{file}:{line}:{column}: {message}; {help}")
    }
}

impl std::error::Error for NativeError {}

/// Reads a rule file; `name` is what places and errors call it.
///
/// ```
/// let text = r##"
///     category "sql"
///     rule "sql/union" id=1000001 {
///         about "Rows of another query are appended."
///         points 25
///         on "args"
///         text "squeezed"
///         matches #"\bunion select\b"#
///         attack "1 UNION SELECT 2"
///     }
/// "##;
/// let (set, cases) = selvedge_waf::native::parse("my.kdl", text).unwrap();
/// assert_eq!((set.items.len(), cases.len()), (1, 1));
///
/// let errors = selvedge_waf::native::parse("my.kdl", "ruel \"sql/union\"").unwrap_err();
/// assert!(errors[0].to_string().ends_with("did you mean `rule`?"));
/// ```
pub fn parse(name: &str, text: &str) -> Result<(RuleSet, Vec<Case>), Vec<NativeError>> {
    let (rules, cases) = reading::read(name, text)?;
    Ok((in_order(rules), cases))
}

/// Returns the rules that come with Selvedge, by number.
pub fn bundled() -> RuleSet {
    in_order(bundled::all().0)
}

/// Returns the cases of the rules that come with Selvedge.
pub fn cases() -> Vec<Case> {
    bundled::all().1
}

/// Returns how rules and exclusions write one entry of a variable, or all of it: `args:id`, `header:referer`, `path`.
/// `None`: the language has no word for it.
pub fn target_word(variable: Variable, key: Option<&str>) -> Option<String> {
    words::target(variable, key)
}

fn in_order(mut rules: Vec<Rule>) -> RuleSet {
    rules.sort_by_key(|rule| rule.id);
    let items = rules.into_iter().map(|rule| Item::Rule(Box::new(rule))).collect();
    RuleSet { items, ..RuleSet::default() }
}
