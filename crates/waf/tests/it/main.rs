//! The engine as its callers meet it.

mod engine;
mod seclang;
