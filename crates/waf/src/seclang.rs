//! ModSecurity's rule language: text becomes a [`RuleSet`] and a report of what it could not become.
//!
//! Files are read by the caller ([`Files`]); nothing here touches a disk. Every error of every file is
//! found in one go. What the language means here is in `docs/reference/seclang.md`.
//!
//! ```
//! use std::collections::BTreeMap;
//! use selvedge_waf::seclang;
//!
//! let rule = br#"SecRule ARGS "@contains <script" "id:1,phase:2,deny,msg:'Script in %{MATCHED_VAR_NAME}'""#;
//! let mut files = BTreeMap::from([("main.conf".to_owned(), rule.to_vec())]);
//! let loaded = seclang::load(&mut files, &["main.conf"]).expect("the rule is right");
//! assert_eq!(loaded.rules.items.len(), 1);
//! assert!(loaded.report.notes.is_empty());
//! ```

use crate::rule::RuleSet;

mod action;
mod assembly;
mod control;
mod directive;
mod exception;
mod files;
mod loader;
mod operator;
mod report;
mod source;
mod target;
mod text;

pub use files::{Files, glob};
pub use report::{Counts, LoadError, Note, NoteKind, Report};

/// What was read, and what of it has no effect here.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules, with defaults, exceptions and updates worked in.
    pub rules: RuleSet,
    /// What the files say that is not in the rules.
    pub report: Report,
}

/// Reads the files named, one after the other, and all they include.
pub fn load(files: &mut impl Files, entry: &[&str]) -> Result<Loaded, Vec<LoadError>> {
    let mut loader = loader::Loader::new(files);
    entry.iter().for_each(|name| loader.enter(name));
    loader.finish()
}
