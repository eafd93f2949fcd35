//! The crate as its users see it.

mod faults;
mod kinds;
mod laws;
mod life;
mod op;
mod oracle;
mod site;
mod undo;
