//! The engine of `packages/client`: a device's documents, its session with a relay, and its keys.
//!
//! All of it is sans I/O below: `libs/crdt` has documents and the device's side of the session, `libs/seal` keys. Here it becomes one
//! [`Session`], which JavaScript drives as `crates/replica` drives it natively: it carries messages, stores transactions,
//! and says the time. Random bytes are the browser's. It is built for WASM by `cargo xtask wasm`; on other targets it compiles, and what it asks
//! of JavaScript is not there.

mod chance;
mod document;
mod edits;
mod error;
mod event;
mod inspect;
mod link;
mod members;
mod presence;
mod read;
mod session;

pub use link::Invitation;
pub use session::Session;
