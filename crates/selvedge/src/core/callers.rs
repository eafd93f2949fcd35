//! How a request came in, and who sent it.

use std::{sync::atomic::Ordering::Relaxed, time::SystemTime};

use axum::http::HeaderMap;
use selvedge_config::{CORE_FIELDS, LINK_FIELD};
use selvedge_identity::{Caller, Desk, Refusal, Via};
use selvedge_telemetry::{Hub, Level};

use super::{link::Link, metrics::Metrics};

/// The door that a connection came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The unix socket: a process of our own user.
    Unix,
    /// TLS: an edge with a certificate.
    Tls,
}

impl Door {
    /// `unix` or `tls`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tls => "tls",
        }
    }
}

/// Tells the edge from others.
pub(super) struct Gatekeeper {
    pub(super) link: Link,
    pub(super) hub: Hub,
}

impl Gatekeeper {
    /// Who sent a request with these fields; takes off what no service needs to see.
    pub(super) fn admit(
        &self,
        (door, desk): (Door, &Desk),
        fields: &mut HeaderMap,
        metrics: &Metrics,
    ) -> Result<Caller, Refusal> {
        let via = self.via(door, fields, metrics);
        let caller = desk.identify(fields, via, SystemTime::now());
        for name in CORE_FIELDS {
            fields.remove(name);
        }
        caller
    }

    fn via(&self, door: Door, fields: &HeaderMap, metrics: &Metrics) -> Via {
        let sent = fields.get(LINK_FIELD);
        match (door, sent) {
            (Door::Tls, _) => Via::Edge,
            (Door::Unix, None) => Via::Unknown,
            (Door::Unix, Some(sent)) if self.link.is(sent.as_bytes()) => Via::Edge,
            (Door::Unix, Some(_)) => {
                metrics.wrong_links.fetch_add(1, Relaxed);
                let message = "a request came with a secret that is not the edge's; nothing it says of \
                               its caller counts. Start edge and core with the same config";
                self.hub.event(Level::Warn, message, &[]);
                Via::Unknown
            }
        }
    }
}
