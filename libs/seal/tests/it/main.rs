//! The crate as its users see it.

mod golden;
mod link;
mod records;
mod roster;
mod roster_rules;
mod scene;
mod sealing;
mod snapshots;
mod token;
mod token_refusals;
mod tokens_of_others;
mod vault;
