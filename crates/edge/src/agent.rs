//! Agents, seen from the edge: processes beside it that advise on each exchange and can die, hang or
//! lie without more harm than the operator chose.
//!
//! `process` and `supervise` keep them running, `confine` is what they may not do, `state` is what
//! all cores share of one, `link` is one core's connection to one, `call` one question with all that
//! may go wrong, `session` one agent in one exchange, `advice` what the answers come to,
//! `minutes` what is written down of it, `measures` what it counts itself.

pub(crate) mod advice;
pub(crate) mod call;
pub(crate) mod confine;
pub(crate) mod held;
pub(crate) mod link;
pub(crate) mod measures;
pub(crate) mod minutes;
pub(crate) mod process;
pub(crate) mod session;
pub(crate) mod sieve;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod supervise;
