//! Clients, whatever protocol they speak: a body that comes in, a response that goes out.

pub(crate) mod http1;
pub(crate) mod http2;

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use selvedge_http1::{Fields, Known, ResponseHead};

use crate::{
    message::{BodySink, BodySource},
    transport::{Input, Transport},
};

/// One exchange, seen from the client's side.
pub(crate) trait Client {
    type Source: BodySource + ClientGone;
    type Sink: ResponseSink;

    /// The two directions, to be used at once.
    fn split(&mut self) -> (&mut Self::Source, &mut Self::Sink);

    /// Nobody wants the rest of the request's body; to be said before the response begins. A protocol
    /// whose messages follow each other settles here whether another exchange may follow.
    fn discard_body(&mut self) {}

    /// A response is about to begin: the client is not asked for its body any more.
    fn begin_response(&mut self);

    /// After a 101 was sent: the bare connection and what was read ahead. `None` where a protocol
    /// has no such thing.
    fn tunnel(&mut self) -> Option<(Rc<Transport>, Input)>;
}

/// Notices that a client left while it waits.
pub(crate) trait ClientGone {
    /// Ready when the client has gone; to be called once its request is complete. That it says no
    /// more does not mean that it has gone.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// How much of a body goes with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// None, and `Content-Length` stays as it is: answers to HEAD, 304.
    Bodiless,
    /// Exactly so many bytes.
    Sized(u64),
    /// Nobody knows yet.
    Streamed,
}

/// Takes one response.
pub(crate) trait ResponseSink: BodySink {
    /// Sends an interim response, such as 103.
    fn push_interim(&mut self, head: &ResponseHead);

    /// Sends the head. Hop-by-hop fields and framing are the sink's business.
    fn push_head(&mut self, head: &ResponseHead, delivery: Delivery);

    /// Whether a final head was pushed.
    fn has_head(&self) -> bool;

    /// The response cannot be completed; the client must be able to tell.
    fn abort(&mut self);

    /// The connection must not carry another exchange after this one.
    fn close_after(&mut self);
}

/// The fields of a response that go on to the client.
pub(crate) fn passed_on(
    head: &ResponseHead,
    delivery: Delivery,
) -> impl Iterator<Item = (&[u8], &[u8])> {
    let keeps_length =
        delivery == Delivery::Bodiless && head.status() >= 200 && head.status() != 204;
    head.fields()
        .iter()
        .filter(move |(_, _, known)| match known {
            Known::ContentLength => keeps_length,
            known => !known.is_hop_by_hop(),
        })
        .map(|(name, value, _)| (name, value))
}

/// Trailers as pairs.
pub(crate) fn trailer_pairs(trailers: Option<&Fields>) -> impl Iterator<Item = (&[u8], &[u8])> {
    trailers.into_iter().flat_map(Fields::iter).map(|(name, value, _)| (name, value))
}
