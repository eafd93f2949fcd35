//! Telemetry at the boundary that its users see: pages, lines and what a collector receives.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access_log;
mod collector;
mod exchanges;
mod metrics;
mod otlp;
mod reported;
mod settings;
