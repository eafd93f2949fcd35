//! What must hold for every input of a parser, however strange.
//!
//! The fuzz targets feed these functions with random bytes, a test feeds them the committed corpora,
//! and the conformance suite compares [`framing`] with what other parsers understood. They panic when
//! a property does not hold. The crate knows no socket and no file.

mod agent;
mod audit;
mod body;
mod config;
mod crdt;
mod detect;
mod document_keys;
mod event_log;
pub mod framing;
mod head_gate;
mod hex;
mod native;
mod path;
mod relay;
mod schema;
mod seclang;
mod session;
mod stored;
mod text;
mod transformations;
mod views;
mod websocket;

pub use agent::{agent_answers, agent_questions};
pub use audit::audit_formats;
pub use body::body;
pub use config::config;
pub use crdt::crdt;
pub use detect::detect;
pub use document_keys::document_keys;
pub use event_log::event_log;
pub use head_gate::head_gate;
pub use hex::{from_hex, to_hex};
pub use native::native;
pub use path::path;
pub use relay::session_relay;
pub use schema::{agent_settings, api_description};
pub use seclang::seclang;
pub use session::{session_device, session_frames};
pub use stored::session_stored;
pub use text::text;
pub use transformations::transformations;
pub use views::views;
pub use websocket::websocket;

/// A property by the name of its fuzz target.
pub type Property = fn(&[u8]);

/// Every property, with the folder under `fuzz/corpus` that belongs to it.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("agent_answers", agent_answers),
    ("agent_questions", agent_questions),
    ("agent_settings", agent_settings),
    ("api_description", api_description),
    ("audit_formats", audit_formats),
    ("body", body),
    ("config", config),
    ("crdt", crdt),
    ("detect", detect),
    ("document_keys", document_keys),
    ("event_log", event_log),
    ("head_gate", head_gate),
    ("native", native),
    ("path", path),
    ("seclang", seclang),
    ("session_device", session_device),
    ("session_frames", session_frames),
    ("session_relay", session_relay),
    ("session_stored", session_stored),
    ("text", text),
    ("transformations", transformations),
    ("views", views),
    ("websocket", websocket),
];
