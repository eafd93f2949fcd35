//! The crate as its users see it.

mod driver;
mod store;
