//! The log at the boundary that programs use, on a real disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod basics;
mod format;
mod kill;
mod reader;
mod reads;
