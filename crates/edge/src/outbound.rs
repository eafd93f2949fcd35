//! A request as it leaves for an upstream.

use selvedge_http1::{Known, RequestHead};

/// A request to be sent, on borrowed parts. Its head has been prepared: what is in it goes out, but
/// for what frames the message and belongs to one connection.
pub(crate) struct Outbound<'a> {
    pub(crate) head: &'a RequestHead,
    /// Path as routed and rewritten.
    pub(crate) path: &'a str,
    /// `Host` or `:authority` for the target.
    pub(crate) authority: &'a str,
    /// `https` when the client came over TLS.
    pub(crate) scheme: &'static str,
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

impl Outbound<'_> {
    /// The fields that go out, but for `Host` and those that frame the message.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head
            .fields()
            .iter()
            .filter(|(_, _, known)| match known {
                Known::Host | Known::ContentLength | Known::Expect => false,
                // What the client sent is gone already: this one the operator wrote.
                Known::ProxyAuthorization => true,
                known => !known.is_hop_by_hop(),
            })
            .map(|(name, value, _)| (name, value))
    }
}
