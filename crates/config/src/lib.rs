//! The only crate that knows KDL: `selvedge.kdl` becomes Parts with spans, and these a [`Config`].
//!
//! It does not open sockets or know HTTP beyond its names. Variables and files come through an
//! [`Environment`]; its one thread gives the KDL parser a stack that fits and ends before
//! [`load`] returns.
//!
//! ```
//! use selvedge_config::{MemoryEnvironment, parse_str};
//!
//! let text = r#"
//!     listener "http" { address "127.0.0.1:8080" }
//!     route "hello" { respond 200 "hello" }
//! "#;
//! let loaded = parse_str("selvedge.kdl", text, &MemoryEnvironment::default()).unwrap();
//! assert_eq!(loaded.config.routes.len(), 1);
//!
//! let report = parse_str("selvedge.kdl", "listner \"http\"", &MemoryEnvironment::default());
//! assert!(report.unwrap_err().to_string().contains("did you mean `listener`?"));
//! ```

mod action;
mod address;
mod agent;
mod audit;
mod bounds;
mod breaker;
mod code;
mod config_part;
mod core;
mod core_audit;
mod core_log;
mod core_push;
mod core_streams;
mod core_sync;
mod core_views;
mod cursor;
mod diagnostic;
mod diff;
mod environment;
mod header_ops;
mod http;
mod include;
mod listener;
mod listener_tls;
mod load;
mod matches;
mod model;
mod process;
mod reading;
mod rewrite;
mod route;
mod source;
mod syntax;
mod telemetry;
mod upstream;
mod upstream_by;
mod upstream_health;
mod value;

pub use agent::{auth, bridge, rate_limit, schema, waf};
pub use bounds::{Bound, BoundOrigin, Origins, bounds};
pub use code::{Code, explain};
pub use diagnostic::{Diagnostic, Report, Severity};
pub use diff::{Changes, Diff, diff};
pub use environment::{Entry, Environment, MemoryEnvironment, SystemEnvironment};
pub use load::{Loaded, load, parse_str};
pub use model::*;
pub use source::Place;
