//! The language, and the rules that come with Selvedge.

mod cases;
mod catalogue;
mod evasion;
mod language;
mod ordinary;
mod page;
mod syntax;
