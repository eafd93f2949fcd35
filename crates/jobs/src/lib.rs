//! Work that follows the event log.
mod views;
