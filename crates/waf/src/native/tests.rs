//! The language, and the rules that come with Selvedge.

mod cases;
mod catalogue;
mod language;
mod page;
mod syntax;
