//! The web application firewall's engine, kept free of I/O so that the same code judges a live
//! request, a recorded one and a test.
//!
//! Rules come in two languages, [`seclang`] and [`native`], and become one [`rule::RuleSet`]. Of
//! sockets, agents and routes it knows nothing: callers bring bytes and get findings.

pub mod body;
pub mod detect;
pub mod engine;
pub mod native;
pub mod policy;
pub mod rule;
pub mod seclang;
pub mod transform;
