//! The crate as its users see it.

mod driver;
mod relay;
mod store;
