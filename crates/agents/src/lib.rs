//! The agents that come with Selvedge, kept out of the edge so that a fault in one costs what the
//! operator configured and nothing else.
//!
//! They know their settings and the agent protocol. Of the edge, its listeners, routes and upstreams
//! they know what a request's attributes say.

pub mod auth;
pub mod rate_limit;
pub mod schema;
