//! The dataplane: what stands between a client's bytes and an upstream's.
//!
//! It knows no KDL and decides no policy: `config` says what is meant, `routing` says which route,
//! and this crate carries it out.

mod admin;
mod agent;
mod audit;
mod bounds;
mod client;
mod client_address;
mod compress;
mod connection;
mod control;
mod core;
mod crew;
mod deadline;
mod dial;
mod encoded;
mod fixed;
mod http1_body;
mod http2_body;
mod message;
mod outbound;
mod plan;
mod problem;
mod proxy;
mod proxy_protocol;
mod reason;
mod serve;
mod server;
mod site;
mod tls;
mod transport;
mod tunnel;
mod upstream;
mod websocket;

pub use admin::ReloadRequest;
pub use agent::confine::{ConfineError, Confinement, Files};
pub use audit::{AuditFeed, AuditNews, AuditTrail, events::Asker};
pub use dial::{COURIER_BINDING, Dialer, Dialled};
pub use fixed::fixed_bounds;
pub use plan::{PlanError, preflight, revision};
pub use server::{Drained, Edge, StartError, provide_descriptors};
pub use site::SiteError;
pub use tls::{CertificateFacts, ServerTls, TlsError, Warning as CertificateWarning};
