//! Documents on this machine: where they are stored, and their connection to a relay.
//!
//! `libs/crdt` has documents and the device's side of the session as a machine without disk, socket, clock and chance. Here these
//! are: a [`Shelf`] of documents in a folder, each in a [`Store`] that one process has at a time, and a [`Driver`] that stores what replicas
//! hand out, connects to a relay, and keeps trying.

mod driver;
mod error;
mod shelf;
mod socket;
mod store;

pub use driver::{Dial, Driver, DriverError};
pub use error::StoreError;
pub use shelf::Shelf;
pub use socket::{Socket, SocketError, Wire};
pub use store::{Known, Store};
