//! HTTP/2 towards upstreams: each exchange is a stream on a shared connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use h2::client::ResponseFuture;
use http::{Method, Request, Uri, uri::Authority};
use selvedge_http1::{Fields, ResponseHead};

use super::{http1::HeadAsk, http2_pool::Http2Slot};
use crate::{
    http2_body::{Http2In, Http2Out, append},
    message::{BodyFault, BodySink, BodySource, Filled},
    outbound::{Outbound, RequestBody},
};

/// One exchange on a connection to a target.
pub(crate) struct Http2Upstream {
    response: Option<ResponseFuture>,
    out: Http2Out,
    input: Http2In,
    /// Given back after the stream itself.
    slot: Http2Slot,
}

/// Why a stream could not be opened or brought no head.
#[derive(Debug)]
pub(crate) enum StreamFault {
    /// The request names a host that HTTP/2 cannot say.
    Authority,
    /// The request's target or method cannot be said in HTTP/2.
    Unspeakable,
    /// The connection or stream failed.
    Http2(h2::Error),
}

impl StreamFault {
    /// Whether the target certainly did not process the request (RFC 9113 §8.7).
    pub(crate) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Http2(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() && error.is_remote())
    }
}

impl std::fmt::Display for StreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authority => f.write_str("the host has no form in HTTP/2"),
            Self::Unspeakable => f.write_str("the request has no form in HTTP/2"),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

impl Http2Slot {
    /// A fault of the connection, and not of one stream, ends it for new streams.
    fn failed(&self, error: h2::Error) -> StreamFault {
        if !error.is_reset() {
            self.usage.retire();
        }
        StreamFault::Http2(error)
    }
}

impl Http2Upstream {
    /// Sends the head on a connection that has room for a stream.
    pub(crate) fn open(mut slot: Http2Slot, request: &Outbound<'_>) -> Result<Self, StreamFault> {
        let message = translate(request)?;
        let ended = request.body == RequestBody::None;
        let sent = slot.send.send_request(message, ended);
        let (response, stream) = sent.map_err(|error| slot.failed(error))?;
        let mut out = Http2Out::default();
        out.start(stream, ended);
        Ok(Self { response: Some(response), out, input: Http2In::empty(), slot })
    }

    /// No head came in time: the connection may be dead, and then nobody else should wait for it.
    pub(crate) fn give_up(&self) {
        self.slot.retire_if_silent();
    }

    /// Reads the next response head, interim ones included.
    pub(crate) fn poll_head(
        &mut self,
        head: &mut ResponseHead,
        ask: &HeadAsk<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamFault>> {
        let Some(future) = &mut self.response else { return Poll::Pending };
        if let Poll::Ready(Some(Ok(interim))) = future.poll_informational(context) {
            head.start(interim.status().as_u16());
            fill(head, interim.headers());
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(future).poll(context));
        let response = response.map_err(|error| self.slot.failed(error))?;
        self.slot.usage.answered.set(true);
        self.response = None;
        let (parts, body) = response.into_parts();
        head.start(parts.status.as_u16());
        fill(head, &parts.headers);
        let bodiless = ask.method == "HEAD" || matches!(head.status(), 204 | 304);
        head.take_http2_framing(bodiless, body.is_end_stream());
        self.input = Http2In::new(body);
        Poll::Ready(Ok(()))
    }
}

fn fill(head: &mut ResponseHead, map: &http::HeaderMap) {
    for (name, value) in map {
        head.fields_mut().push(name.as_str().as_bytes(), value.as_bytes());
    }
}

fn translate(request: &Outbound<'_>) -> Result<Request<()>, StreamFault> {
    let mut target = request.path.to_owned();
    if request.head.has_query() {
        target.push('?');
        target.push_str(request.head.query());
    }
    let authority = Authority::try_from(request.authority).map_err(|_| StreamFault::Authority)?;
    let uri = Uri::builder().scheme(request.scheme).authority(authority).path_and_query(target);
    let uri = uri.build().map_err(|_| StreamFault::Unspeakable)?;
    let method = Method::from_bytes(request.head.method().as_bytes());
    let mut message = Request::new(());
    *message.method_mut() = method.map_err(|_| StreamFault::Unspeakable)?;
    *message.uri_mut() = uri;
    *message.version_mut() = http::Version::HTTP_2;
    let map = message.headers_mut();
    for (name, value) in request.fields() {
        append(map, name, value);
    }
    if request.head.accepts_trailers() {
        append(map, b"te", b"trailers");
    }
    if let RequestBody::Sized(length) = request.body {
        map.insert(http::header::CONTENT_LENGTH, length.into());
    }
    Ok(message)
}

impl BodySink for Http2Upstream {
    fn push(&mut self, data: &[u8]) {
        self.out.push(data);
    }

    fn push_end(&mut self, trailers: Option<&Fields>) {
        self.out.push_end(trailers);
    }

    fn pending(&self) -> usize {
        self.out.pending()
    }

    fn written(&self) -> u64 {
        self.out.written()
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        self.out.poll_flush(context)
    }
}

impl BodySource for Http2Upstream {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        let filled = ready!(self.input.poll_fill(context));
        self.slot.usage.answered.set(true);
        Poll::Ready(filled)
    }

    fn chunk(&self) -> &[u8] {
        self.input.chunk()
    }

    fn consume(&mut self) {
        self.input.consume();
    }

    fn trailers(&self) -> Option<&Fields> {
        self.input.trailers()
    }
}
