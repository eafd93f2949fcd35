//! The language, and the rules that come with Selvedge.

mod language;
mod page;
mod syntax;
