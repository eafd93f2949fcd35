//! The agents that come with Selvedge, kept out of the edge so that a fault in one costs what the
//! operator configured and nothing else.
//!
//! They know their settings and the agent protocol. Of the edge, its listeners, routes and upstreams
//! they know what a request's attributes say.

pub mod auth;
pub mod bridge;
mod coding;
mod problem;
pub mod rate_limit;
pub mod roots;
pub mod schema;
pub mod waf;

use std::{ffi::OsString, process::ExitCode};

use selvedge_agent::{Options, serve};

pub use problem::Problem;

/// What can follow `selvedge agent`.
pub const KINDS: [&str; 5] = ["auth", "bridge", "rate-limit", "schema", "waf"];

/// Runs the agent of this kind until it is told to end. `arguments` are those of [`Options::arguments`].
/// `None`: there is no such kind.
pub fn run(kind: &str, arguments: Vec<OsString>) -> Option<ExitCode> {
    let options = Options::new(format!("selvedge-{kind}"), env!("CARGO_PKG_VERSION"));
    let options = options.arguments(arguments);
    match kind {
        "auth" => Some(serve::<auth::Auth>(options)),
        "bridge" => Some(serve::<bridge::Bridge>(options)),
        "rate-limit" => Some(serve::<rate_limit::RateLimit>(options)),
        "schema" => Some(serve::<schema::Schema>(options)),
        "waf" => Some(serve::<waf::Waf>(options)),
        _ => None,
    }
}
