//! The calls of [`selvedge_crdt`] for JavaScript.
//!
//! Browsers and Node edit the same documents as everything else here, with the same code. What is in
//! this crate crosses the boundary and nothing more: `packages/crdt` makes of it what a person
//! writes. Crossings are what costs, so an entity and a field are named once for many values, a value
//! crosses as what it is, and whole entities are read as one text.
//!
//! It knows no clock and no chance: JavaScript brings the time and the random ids. It is built for WASM by
//! `cargo xtask wasm`; on other targets it compiles, and what it asks of JavaScript is not there.

mod batch;
mod error;
mod heads;
mod history;
mod json;
mod read;
mod replica;
mod rows;
mod schema;
mod value;
mod write;
