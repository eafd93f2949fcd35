//! The agent protocol at its boundary: bytes, books and faults.

mod adversary;
mod books;
mod conversation;
mod golden;
mod metrics;
mod serve;
