//! The crate as its users see it.

mod faults;
mod golden;
mod history;
mod kinds;
mod laws;
mod life;
mod op;
mod oracle;
mod schema;
mod scripted;
mod session_device;
mod session_frames;
mod session_stories;
mod site;
mod size;
mod undo;
