//! The crate at the boundary that its users see.

#![expect(clippy::unwrap_used, reason = "a test that fails here says where")]

mod integrate;
mod keys;
mod merkle;
mod note;
mod proof;
mod service;
mod sim;
mod spool;
mod vectors;
mod verify;
mod witness;
