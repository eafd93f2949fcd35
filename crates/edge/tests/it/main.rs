//! The dataplane at the boundary that its users see: sockets in front, scripted servers behind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod exchange;
mod harness;
mod smuggling;
mod upstream;
