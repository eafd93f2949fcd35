//! The engine as its callers meet it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod seclang;
