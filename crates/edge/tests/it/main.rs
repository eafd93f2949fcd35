//! The dataplane at the boundary that its users see: sockets in front, scripted servers behind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod agents;
mod agents_reload;
mod agents_telemetry;
mod bounds;
mod client;
mod descriptors;
mod drain;
mod exchange;
mod faults;
mod harness;
mod heavy;
mod http2;
mod http2_upstream;
mod peer;
mod pool;
mod reload;
mod routing;
mod server;
mod site;
mod smuggling;
mod targets;
mod tls;
mod upgrade;
mod upstream;
