//! TLS on both sides: what listeners show to clients, and what upstreams must show to us.
//!
//! rustls does the protocol, aws-lc-rs the arithmetic; this module decides which certificate is
//! shown, who may connect, what may be resumed, and what is told of it. Only `files` reads the
//! file system, and only when something is loaded; handshakes touch memory alone.

mod accept;
mod certificate;
pub(crate) mod client;
mod error;
mod facts;
pub(crate) mod files;
mod resolver;
mod self_signed;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use accept::{AcceptError, accept};
pub use certificate::{CertificateFacts, Warning};
pub(crate) use client::ClientTls;
pub use error::TlsError;
pub(crate) use facts::{Alpn, TlsFacts};
pub use server::ServerTls;

/// ALPN's name of HTTP/1.1.
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
/// ALPN's name of HTTP/2 over TLS.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";

/// The one source of cryptography; named explicitly wherever rustls asks, never process-wide.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
