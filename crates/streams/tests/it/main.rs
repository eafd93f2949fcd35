//! Streams as their callers see them, without a socket. The protocol itself is checked by its own suite
//! (`cargo xtask conformance durable-streams`); here is what that suite does not ask.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod bounds;
mod callers;
mod chronicle;
mod disk;
mod follow;
mod restart;
mod retention;
mod world;
