//! An API's description made ready.

mod paths;
mod style;
