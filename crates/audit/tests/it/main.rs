//! The crate at the boundary that its users see.

mod merkle;
mod note;
mod proof;
mod vectors;
