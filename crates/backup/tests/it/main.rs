//! Backups as a program makes them: of a log that is written to, cut short, damaged, pruned, put back.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod audit;
mod damage;
mod place;
mod prune;
mod story;
