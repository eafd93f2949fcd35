//! Whether an edge itself speaks, and no client through it.
//!
//! What a client sends comes over the same doors, and the edge vouches for it. So what only the edge may
//! say comes with a proof that no client can show: on the socket the link's secret in a field of its own,
//! which the edge takes off all that it passes on; over TLS a secret of that very connection (RFC 8446
//! §7.5), which nobody but its two ends knows.

use std::sync::Arc;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use axum::http::HeaderMap;
use data_encoding::HEXLOWER;
use rustls::{ServerConnection, client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::ServerName;
use selvedge_config::COURIER_FIELD;
use selvedge_edge::COURIER_BINDING;

use super::link::Link;

/// The edge at the other end of a connection over TLS.
#[derive(Clone, Debug)]
pub(super) struct EdgePeer {
    name: Arc<str>,
    /// In hexadecimal.
    binding: Arc<str>,
}

/// A request that an edge itself sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Courier {
    /// The edge of this machine.
    Here,
    /// One elsewhere, by what its certificate proves.
    Elsewhere(Arc<str>),
}

impl EdgePeer {
    /// Who is at the other end of `session`: the first of `edges` that its certificate names, or its key
    /// where no names are expected. The handshake has made sure that it is genuine.
    pub(super) fn of(session: &ServerConnection, edges: &[ServerName<'_>]) -> Option<Self> {
        let leaf = ParsedCertificate::try_from(session.peer_certificates()?.first()?).ok()?;
        let named = edges.iter().find(|name| verify_server_name(&leaf, name).is_ok());
        let name = match named {
            Some(name) => name.to_str().into_owned(),
            None => {
                let key = digest(&SHA256, &leaf.subject_public_key_info());
                format!("key-{}", &HEXLOWER.encode(key.as_ref())[..16])
            }
        };
        let binding = session.export_keying_material([0; 32], COURIER_BINDING, None).ok()?;
        Some(Self { name: name.into(), binding: HEXLOWER.encode(&binding).into() })
    }
}

impl Courier {
    /// The edge that sent these fields, if one itself did; `peer` is the edge whose connection over TLS it
    /// came by, and `None` means the socket.
    pub(super) fn of(fields: &HeaderMap, link: &Link, peer: Option<&EdgePeer>) -> Option<Self> {
        let sent = fields.get(COURIER_FIELD)?.as_bytes();
        match peer {
            None => link.is(sent).then_some(Self::Here),
            Some(EdgePeer { name, binding }) => verify_slices_are_equal(binding.as_bytes(), sent)
                .is_ok()
                .then(|| Self::Elsewhere(name.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_has_its_proof_and_no_other_counts() {
        let link = Link::generate().unwrap();
        let secret = link.line().trim_end().to_owned();
        let peer = EdgePeer { name: "edge-1".into(), binding: "ab".repeat(32).into() };
        let of = |sent: &str, peer| {
            let mut fields = HeaderMap::new();
            fields.insert(COURIER_FIELD, sent.parse().unwrap());
            Courier::of(&fields, &link, peer)
        };
        assert_eq!(of(&secret, None), Some(Courier::Here));
        assert_eq!(of(&secret, Some(&peer)), None);
        assert_eq!(of(&peer.binding, Some(&peer)), Some(Courier::Elsewhere("edge-1".into())));
        assert_eq!(of(&peer.binding, None), None);
        assert_eq!(of("", None), None);
        assert_eq!(Courier::of(&HeaderMap::new(), &link, None), None);
    }
}
