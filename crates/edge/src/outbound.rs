//! A request as it leaves for an upstream: what of the client's head goes on, and what we add.

use selvedge_http1::{Known, RequestHead, Version};

/// A request to be sent, on borrowed parts.
pub(crate) struct Outbound<'a> {
    pub(crate) head: &'a RequestHead,
    /// Path as routed and rewritten.
    pub(crate) path: &'a str,
    /// `Host` or `:authority` for the target.
    pub(crate) authority: &'a str,
    /// `https` when the client came over TLS.
    pub(crate) scheme: &'static str,
    pub(crate) forwarding: Forwarding<'a>,
    pub(crate) traceparent: &'a [u8],
    /// The `tracestate` that belongs to the trace passed on.
    pub(crate) tracestate: Option<&'a str>,
    /// Protocol asked for with `Upgrade`.
    pub(crate) upgrade: Option<&'a str>,
    pub(crate) body: RequestBody,
}

/// How much of a body goes with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestBody {
    None,
    Sized(u64),
    Streamed,
}

/// Values of the forwarding fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarding<'a> {
    pub(crate) for_: &'a str,
    pub(crate) proto: &'a str,
    pub(crate) host: &'a str,
    /// An extended `Forwarded` field; only if a trusted proxy sent one.
    pub(crate) forwarded: Option<&'a str>,
}

impl Outbound<'_> {
    /// Calls `emit` with each field but `Host`, those that frame the message, and hop-by-hop ones.
    pub(crate) fn each_field(&self, mut emit: impl FnMut(&[u8], &[u8])) {
        let mut via = None;
        for (name, value, known) in self.head.fields().iter() {
            match known {
                Known::Host
                | Known::ContentLength
                | Known::Expect
                | Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedProto
                | Known::XForwardedHost
                | Known::Traceparent
                | Known::Tracestate => {}
                Known::Via => match &mut via {
                    None => via = Some(value.to_vec()),
                    Some(list) => {
                        list.extend_from_slice(b", ");
                        list.extend_from_slice(value);
                    }
                },
                Known::Other if self.head.is_nominated(name) => {}
                Known::Other => emit(name, value),
                known if known.is_hop_by_hop() || self.head.is_nominated(name) => {}
                _ => emit(name, value),
            }
        }
        emit(b"x-forwarded-for", self.forwarding.for_.as_bytes());
        emit(b"x-forwarded-proto", self.forwarding.proto.as_bytes());
        emit(b"x-forwarded-host", self.forwarding.host.as_bytes());
        if let Some(forwarded) = self.forwarding.forwarded {
            emit(b"forwarded", forwarded.as_bytes());
        }
        if !self.traceparent.is_empty() {
            emit(b"traceparent", self.traceparent);
        }
        if let Some(state) = self.tracestate {
            emit(b"tracestate", state.as_bytes());
        }
        match via {
            None => emit(b"via", self.via_entry()),
            Some(mut list) => {
                list.extend_from_slice(b", ");
                list.extend_from_slice(self.via_entry());
                emit(b"via", &list);
            }
        }
    }

    fn via_entry(&self) -> &'static [u8] {
        match self.head.version() {
            Version::Http10 => b"1.0 selvedge",
            Version::Http11 => b"1.1 selvedge",
            Version::Http2 => b"2 selvedge",
        }
    }
}
