//! The only crate that knows KDL: `selvedge.kdl` becomes Parts with spans, and these a [`Config`].
//!
//! It does not open sockets, start threads or know HTTP.

mod model;

pub use model::*;
