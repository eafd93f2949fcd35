//! The calls of [`selvedge_crdt`] for JavaScript.
//!
//! Browsers and Node edit the same documents as everything else here, with the same code. What is in
//! this crate crosses the boundary and nothing more: `packages/crdt` makes of it what a person
//! writes. Crossings are what costs, so an entity and a field are named once for many values, a value
//! crosses as what it is, and whole entities are read as one text.
//!
//! It knows no clock and no chance: JavaScript brings the time and the random ids. It is built for WASM by
//! `cargo xtask wasm`; on other targets it compiles, and what it asks of JavaScript is not there.
//!
//! Without the feature `bindings` nothing is exported: `libs/client-wasm` takes what crosses, values, rows and JSON, for an engine of its own.

#[cfg(feature = "bindings")]
mod batch;
#[cfg(feature = "bindings")]
mod error;
#[cfg(feature = "bindings")]
mod heads;
#[cfg(feature = "bindings")]
mod history;
pub mod json;
#[cfg(feature = "bindings")]
mod read;
#[cfg(feature = "bindings")]
mod replica;
pub mod rows;
#[cfg(feature = "bindings")]
mod schema;
pub mod value;
#[cfg(feature = "bindings")]
mod write;
