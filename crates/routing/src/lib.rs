//! Which route a request takes, and why: the head of a request and a `Config` go in, a route comes out.
//!
//! It does no I/O, reads no clock and starts no thread, so that the same decision can be asked of a
//! running edge, of `selvedge explain` and of a page in the browser. It does not know what happens to
//! a request that has its route.
//!
//! ```
//! use selvedge_routing::{PathError, normalise_path};
//!
//! assert_eq!(normalise_path("/a//b/%2e./%7euser")?, "/a/~user");
//! assert_eq!(normalise_path("/../etc/passwd"), Err(PathError::AboveRoot { at: 1 }));
//! # Ok::<(), PathError>(())
//! ```

mod cache;
mod condition;
mod explain;
#[cfg(test)]
mod fixture;
mod index;
mod lint;
mod path;
mod rank;
mod request;
mod rewrite;
mod router;

pub use cache::RouteCache;
pub use explain::{Chosen, Condition, Explanation, Finding, LostBy, Passed, RunnerUp};
pub use lint::{Lint, LintCode, Severity, lint};
pub use path::{PathError, normalise_path};
pub use request::{Headers, RequestView};
pub use rewrite::{redirect_target, rewrite_path};
pub use router::{Routed, Router};
