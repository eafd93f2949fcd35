//! The relay as devices meet it: their machine on a WebSocket, in one process.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod hostile;
mod life;
mod load;
mod push;
mod relay;
mod rosters;
mod schema;
mod wakes;
