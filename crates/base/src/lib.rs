//! What every layer shares and none owns: sizes, durations, secrets.
//!
//! It knows no runtime, no file and no socket.

mod secret;
mod units;

pub use secret::Secret;
pub use units::{ByteSize, UnitError, format_duration, parse_duration};
