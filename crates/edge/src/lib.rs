//! The dataplane: what stands between a client's bytes and an upstream's.
//!
//! It knows no KDL and decides no policy: `config` says what is meant, `routing` says which route,
//! and this crate carries it out.

mod client_address;
mod compress;
mod problem;
mod proxy_protocol;
mod site;
mod tls;
mod upstream;
