//! The config as operators meet it: text in, a config or a report out.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod agent_errors;
mod agent_waf;
mod agent_waf_counters;
mod agents;
mod bounds;
mod core_log;
mod diff;
mod documents;
mod errors;
mod includes;
mod language;
mod mutations;
mod secrets;
mod spec;
mod system;
