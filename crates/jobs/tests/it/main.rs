//! Views at the boundary that users see: requests to a router, on a log in a folder.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod follow;
mod forks;
mod rows;
mod world;
