//! The agents at the boundary that their users see: tokens, files, sockets and verdicts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod asked;
mod auth;
mod bridge;
mod measured;
mod rate_limit;
mod schema;
mod waf;
