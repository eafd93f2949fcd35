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
mod session_admission;
mod session_credit;
mod session_device;
mod session_frames;
mod session_leases;
mod session_losses;
mod session_model;
mod session_relay;
mod session_rosters;
mod session_stories;
mod session_time;
mod session_trust;
mod site;
mod size;
mod undo;
