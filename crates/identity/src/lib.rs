//! Who calls the core: services come with tokens, users with what the edge's agents said of them.
//!
//! It opens no socket and knows no route: a [`Desk`] is shown the fields of a request, and whether
//! it came through the edge, and names a [`Caller`] or says why not. Services ask the caller for a
//! scope and never look at a credential.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use http::HeaderMap;
//! use selvedge_identity::{Desk, Via};
//!
//! let desk = Desk::new(Vec::new(), Vec::new(), None);
//! let mut fields = HeaderMap::new();
//! fields.insert("x-user-id", "alice".parse()?);
//!
//! // The edge has asked its agents; anybody else could have written that.
//! let through_edge = desk.identify(&fields, Via::Edge, SystemTime::now())?;
//! assert_eq!(through_edge.principal.name(), "alice");
//! let direct = desk.identify(&fields, Via::Unknown, SystemTime::now())?;
//! assert!(direct.is_anonymous());
//! assert_eq!(direct.require("streams:read").unwrap_err().status(), 401);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod caller;
mod desk;
pub mod guarded_file;
mod problem;
mod refusal;
mod scope;
mod token;
mod token_file;
mod usage;

pub use caller::{Caller, Means, Principal};
pub use desk::{Desk, Via};
pub use problem::{Codes, Problem};
pub use refusal::{CODES, Refusal};
pub use scope::{Scope, ScopeError, Scopes};
pub use token::{PREFIX as TOKEN_PREFIX, Token, TokenError};
pub use token_file::{Entry, NewToken, TokenFile, TokenFileError};
pub use usage::Usage;
